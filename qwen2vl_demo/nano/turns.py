"""What the world hands out: one conversation with its media and the truth under every merged token."""

from dataclasses import dataclass

import numpy as np

from qwen2vl_demo.nano.focus import Focus
from qwen2vl_demo.nano.questions import Asked


@dataclass(frozen=True)
class Turn:
    """One question with its answer. `media` are indices into `Sample.media` that this turn's message brings, placed
    before its text; `choices` is how many answers were equally plausible: guessing is right 1/choices of the time;
    `focus` is what the parts of the answer rest on, as far as it is known.
    """

    question: str
    answer: str
    family: str
    media: tuple[int, ...]
    choices: int
    focus: tuple[Focus, ...] = ()


@dataclass(frozen=True)
class Sample:
    """One conversation. A medium is (H, W, 3) for a picture or (T, H, W, 3) for a clip, uint8, T even; `cells` holds
    per medium the (t, h, w) int64 labels of its merged tokens, indices into `CELL_LABELS`, with t = 1 for a picture.
    """

    media: tuple[np.ndarray, ...]
    turns: tuple[Turn, ...]
    cells: tuple[np.ndarray, ...]


def make_turn(
    asked: Asked, media: tuple[int, ...] = (), family: str | None = None, focus: tuple[Focus, ...] = ()
) -> Turn:
    """The turn that asks this; `family` overrides the question's own."""
    return Turn(asked.question, asked.answer, family or asked.family, media, asked.choices, focus)

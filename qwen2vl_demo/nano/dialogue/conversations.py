"""What the world hands out: one conversation with its media and the truth under every merged token."""

from dataclasses import dataclass

import numpy as np

from qwen2vl_demo.nano.dialogue.question import Asked
from qwen2vl_demo.nano.training.attention_targets import Focus
from qwen2vl_demo.nano.world.drawing import Cells


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
    per medium the truth of its merged tokens, one `Cells` for a picture and one for each pair of frames of a clip.
    """

    media: tuple[np.ndarray, ...]
    turns: tuple[Turn, ...]
    cells: tuple[tuple[Cells, ...], ...]

    def labels(self, medium: int) -> np.ndarray:
        """(t, h, w) int64: what lies under each merged token of a medium, indices into `CELL_LABELS`."""
        return np.stack([truth.labels for truth in self.cells[medium]])


def make_turn(
    asked: Asked, media: tuple[int, ...] = (), family: str | None = None, focus: tuple[Focus, ...] = ()
) -> Turn:
    """The turn that asks this; `family` overrides the question's own."""
    return Turn(asked.question, asked.answer, family or asked.family, media, asked.choices, focus)

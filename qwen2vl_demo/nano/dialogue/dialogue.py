"""The data of one dialogue: its media, its turns, and the ground truth under every merged token."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qwen2vl_demo.nano.world.drawing import CellTruth


@dataclass(frozen=True)
class Question:
    """A question with its answer.

    `about` is what the question refers to, for follow-up questions: (), ("count",), ("exists",), ("describe",), or a
    word and the Thing in question, ("thing" | "colour" | "where", thing), or ("pair", thing, thing).
    """

    text: str
    answer: str
    family: str  # one of generator.FAMILIES
    plausible_answers: int  # equally plausible answers: a guess is right 1 / plausible_answers of the time
    about: tuple = ()


@dataclass(frozen=True)
class AttentionTarget:
    """The characters [start, end) of an answer depend on the merged tokens `cells` (flat, raster order) of `medium`.

    `copied`: they are print that is copied character by character.
    """

    start: int
    end: int
    medium: int
    cells: tuple[int, ...]
    copied: bool = False


@dataclass(frozen=True)
class DialogueTurn:
    """A question and its answer as one turn of a dialogue.

    `media` are indices into `Dialogue.media`: the media that this turn's message brings, placed before its text.
    `plausible_answers` is as in `Question`. `attention_targets` cover the parts of the answer whose source is known.
    """

    question: str
    answer: str
    family: str
    media: tuple[int, ...]
    plausible_answers: int
    attention_targets: tuple[AttentionTarget, ...] = ()

    @classmethod
    def from_question(
        cls,
        question: Question,
        media: tuple[int, ...] = (),
        *,
        family: str | None = None,
        attention_targets: tuple[AttentionTarget, ...] = (),
    ) -> DialogueTurn:
        """The turn that asks this question; `family` overrides the question's own."""
        return cls(
            question.text,
            question.answer,
            family or question.family,
            media,
            question.plausible_answers,
            attention_targets,
        )


@dataclass(frozen=True)
class Dialogue:
    """One dialogue. A medium is a picture (H, W, 3) or a clip (T, H, W, 3) with T even, uint8. `cells` holds per medium
    the ground truth of its merged tokens: one `CellTruth` for a picture, one per pair of frames for a clip.
    """

    media: tuple[np.ndarray, ...]
    turns: tuple[DialogueTurn, ...]
    cells: tuple[tuple[CellTruth, ...], ...]

    def labels(self, medium: int) -> np.ndarray:
        """The label of each merged token of a medium, (t, h, w) int64 indices into `CELL_LABELS`."""
        return np.stack([truth.labels for truth in self.cells[medium]])

"""In what the coordinates of an answer's boxes count: thousandths of the picture's sides, or pixels of the picture as
it was resized for the model.

Qwen2-VL and Qwen3-VL write thousandths, Qwen2.5-VL and what was trained from it write pixels, and both write the same
JSON. What an answer says is the last resort: first counts what the visitor chose, then which reading is possible at
all, then the family of the model, then the dialect.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from qwen2vl_demo.box_forms import Units, box_form
from qwen2vl_demo.geometry import Size
from qwen2vl_demo.viz.plain_boxes import FoundBox

KnownUnits = Literal["", "thousandths", "pixels"]  # "": it is not known
UnitsChoice = Literal["auto", "thousandths", "pixels"]
KNOWN: tuple[KnownUnits, ...] = ("", "thousandths", "pixels")
CHOICES: tuple[UnitsChoice, ...] = ("auto", "thousandths", "pixels")

THOUSANDTHS = 1000  # coordinates run over [0, 1000)
SLACK = 28  # px, a merged token: a model may miss the edge of its picture by so much
SAME = 10  # thousandths: readings that are nowhere further apart are one
CERTAIN = ("tags", "pairs")  # Qwen2-VL's own, with its tokens or where a server left them out: always thousandths


@dataclass(frozen=True)
class Reading:
    """How the boxes of an answer are read."""

    units: Units
    doubtful: bool = False  # the other reading is as likely
    by: Literal["choice", "range", "model", "dialect", "same", "doubt"] = "dialect"  # what decided


def units_of_model(name: str) -> KnownUnits:
    """What a model writes, as far as its name tells."""
    form = box_form(name)
    return form.units if form else ""


def settle(
    boxes: Sequence[tuple[FoundBox, Size | None]], model: KnownUnits = "", choice: UnitsChoice = "auto"
) -> Reading:
    """How to read the boxes of one answer, each given with the (height, width) in px at which the model saw its
    picture (None: not known). In doubt the units are thousandths."""
    if not boxes or any(resized is None for _, resized in boxes):
        return Reading("thousandths")  # there is nothing to measure pixels by
    if choice != "auto":
        return Reading(choice, by="choice")
    if any(max(point) > THOUSANDTHS for found, _ in boxes for point in found.points):
        return Reading("pixels", by="range")
    if any(_outside(found, resized) for found, resized in boxes if resized):
        return Reading("thousandths", by="range")
    if model:
        return Reading(model, by="model")
    if all(found.dialect in CERTAIN for found, _ in boxes):
        return Reading("thousandths")
    if all(_apart(found, resized) <= SAME for found, resized in boxes if resized):
        return Reading("thousandths", by="same")
    return Reading("thousandths", doubtful=True, by="doubt")


def _outside(found: FoundBox, resized: Size) -> bool:
    """Whether it would lie outside the picture if its coordinates were pixels."""
    height, width = resized
    return any(x > width + SLACK or y > height + SLACK for x, y in found.points)


def _apart(found: FoundBox, resized: Size) -> float:
    """How far the two readings of a box lie apart, in thousandths."""
    height, width = resized
    across, down = abs(THOUSANDTHS / width - 1), abs(THOUSANDTHS / height - 1)
    return max(max(x * across, y * down) for x, y in found.points)

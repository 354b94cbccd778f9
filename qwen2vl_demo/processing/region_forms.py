"""How families of models write boxes, told by their names, and the regions of questions in the form of each.

Qwen2-VL writes thousandths of the sides between two tokens of its own, `<|box_start|>(x1,y1),(x2,y2)<|box_end|>`.
Qwen2.5-VL writes `[x1, y1, x2, y2]` in pixels of the picture as it was resized for the model, and Qwen3-VL the same in
thousandths. For their answers the model cards say so; in questions these are the forms in which ms-swift, with which
many of them are trained further, writes a box (`Qwen2VLTemplate.replace_bbox`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from qwen2vl_demo.geometry import Size
from qwen2vl_demo.processing.messages import REGION_SCALE, Message, Part, Region, Text

Units = Literal["thousandths", "pixels"]
_NUMBERED = re.compile(r"\bpicture (\d{1,3})\b", re.IGNORECASE)


@dataclass(frozen=True)
class BoxForm:
    """How one family of models writes boxes."""

    units: Units
    tokens: bool = False  # between Qwen2-VL's tokens
    asked: bool = True  # questions with a box in this form are known from its training


# What occurs first in the name of a model, with its version's marks left out or not
_FAMILIES: tuple[tuple[re.Pattern[str], BoxForm], ...] = (
    (re.compile(r"qwen-?3(?:[.-]?5)?-?vl"), BoxForm("thousandths")),
    (re.compile(r"qwen-?2-?vl"), BoxForm("thousandths", tokens=True)),
    (re.compile(r"qwen-?2[.-]?5-?vl"), BoxForm("pixels")),
    (re.compile(r"ui-?tars-?1[.-]?5"), BoxForm("pixels", asked=False)),
    (re.compile(r"ui-?tars"), BoxForm("thousandths", tokens=True, asked=False)),
)


def box_form(name: str) -> BoxForm | None:
    """How a model writes boxes, as far as its name tells."""
    name = name.lower().replace("_", "-")
    return next((form for pattern, form in _FAMILIES if pattern.search(name)), None)


def pointed_picture(question: str, before: int, own: int) -> int | None:
    """On which of the pictures of a prompt the regions of a question lie, by its index: the one that the question names
    by its number, else the first of the question's own, else the last before. `before` and `own` are the numbers of
    pictures before the question and in it. None: there is none."""
    named = _NUMBERED.search(question)
    if named and 1 <= int(named[1]) <= before + own:
        return int(named[1]) - 1
    return before if own else before - 1 if before else None


def with_regions(messages: Sequence[Message], sizes: Sequence[Size | None], form: BoxForm | None) -> list[Message]:
    """The messages with each region as text of the form. `sizes` are the resized (height, width) in px of their
    media, in order, None for a clip. Without a form, and for pixels where there is no picture, a region stays one."""
    if form is None or form.tokens:
        return list(messages)
    written: list[Message] = []
    pictures: list[Size] = []
    rest = iter(sizes)
    for message in messages:
        own = [size for part in message.parts if not isinstance(part, Text) and (size := next(rest)) is not None]
        at = pointed_picture(message.text, len(pictures), len(own))
        pictures += own
        size = None if at is None else pictures[at]
        written.append(Message(message.role, [_in_form(part, size, form) for part in message.parts]))
    return written


def _in_form(part: Part, size: Size | None, form: BoxForm) -> Part:
    if not isinstance(part, Region):
        return part
    numbers = [part.x1, part.y1, part.x2, part.y2]
    if form.units == "pixels":
        if size is None:
            return part
        height, width = size
        numbers = [round(n * side / REGION_SCALE) for n, side in zip(numbers, (width, height) * 2, strict=True)]
    return Text(str(numbers))

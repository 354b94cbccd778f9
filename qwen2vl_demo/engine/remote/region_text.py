"""The regions of questions as the family of a server's model writes boxes (`box_forms.py`)."""

from __future__ import annotations

from collections.abc import Sequence

from qwen2vl_demo.box_forms import BoxForm
from qwen2vl_demo.geometry import Size
from qwen2vl_demo.processing.messages import REGION_SCALE, Message, Part, Region, Text, pointed_picture


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

"""Boxes and points drawn on a picture, with labels beside them (`label_places.py`)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from PIL import Image, ImageDraw, ImageFont

from qwen2vl_demo.geometry import Size
from qwen2vl_demo.viz.boxes import Box
from qwen2vl_demo.viz.label_places import Rect, label_places

COLOURS = ("#7c5cff", "#ff8a3d", "#12b886", "#e64980", "#228be6", "#f2b705", "#15aabf", "#be4bdb")
DASH = 5  # widths of a line in a dash, and again to the next one
MAX_TAG = 28  # characters


@dataclass(frozen=True)
class DrawnBox:
    """A box with what stands beside it."""

    box: Box
    number: int  # among the boxes of its answer, from 1
    colour: str  # "#rrggbb", that of all boxes with its name
    other: Box | None = None  # where it would be if its coordinates counted in something else: drawn in dashes


def coloured(boxes: Sequence[Box]) -> tuple[DrawnBox, ...]:
    """One colour for each name, and for each box without one."""
    names = list(dict.fromkeys(box.label for box in boxes))
    colours = [COLOURS[(names.index(box.label) if box.label else n) % len(COLOURS)] for n, box in enumerate(boxes)]
    return tuple(DrawnBox(box, n, colour) for n, (box, colour) in enumerate(zip(boxes, colours, strict=True), 1))


def draw_boxes(picture: Image.Image, boxes: Sequence[DrawnBox]) -> Image.Image:
    """An RGB copy of the picture with the boxes drawn on it, each with a label: its name or its number."""
    canvas = picture.convert("RGB")
    draw = ImageDraw.Draw(canvas)
    size = (canvas.height, canvas.width)
    line = max(2, round(math.hypot(*size) / 300))
    font = ImageFont.load_default(max(11, round(math.hypot(*size) / 45)))
    subjects: list[Rect] = []
    for drawn in boxes:
        if drawn.other is not None:
            _draw_dashed(draw, _inside(drawn.other, size, line), drawn, line)
    for drawn in boxes:
        around = _inside(drawn.box, size, line)
        if drawn.box.is_point:
            draw.ellipse(around, fill=drawn.colour, outline="white", width=line)
        else:
            draw.rectangle(around, outline="white", width=line + 2)
            draw.rectangle(around, outline=drawn.colour, width=line)
        subjects.append((around[0], around[1], around[2] + 1, around[3] + 1))
    labels = [_writable(drawn.box.label) or str(drawn.number) for drawn in boxes]
    extents = [draw.textbbox((0, 0), label, font=font) for label in labels]
    pads = [max(2, int(y1 - y0) // 4) for _, y0, _, y1 in extents]
    sizes = [
        (int(y1 - y0) + 2 * pad + 1, int(x1 - x0) + 2 * pad + 1)
        for (x0, y0, x1, y1), pad in zip(extents, pads, strict=True)
    ]
    for drawn, label, (x0, y0, _, _), pad, (height, width), (left, top) in zip(
        boxes, labels, extents, pads, sizes, label_places(size, subjects, sizes), strict=True
    ):
        draw.rectangle((left, top, left + width - 1, top + height - 1), fill=drawn.colour)
        draw.text((left + pad - x0, top + pad - y0), label, font=font, fill=_ink(drawn.colour))
    return canvas


def _inside(box: Box, size: Size, line: int) -> tuple[int, int, int, int]:
    """The pixels of a box within the picture, the last ones included; of a point those of its dot."""
    left, top, right, bottom = box.pixels(size)
    right, bottom = min(right, size[1] - 1), min(bottom, size[0] - 1)
    left, top = min(left, right), min(top, bottom)
    reach = 4 * line if box.is_point else 0
    return left - reach, top - reach, right + reach, bottom + reach


def _draw_dashed(draw: ImageDraw.ImageDraw, around: tuple[int, int, int, int], drawn: DrawnBox, line: int) -> None:
    """A dashed rectangle, white below its colour; of a point a dashed ring."""
    left, top, right, bottom = around
    dash = DASH * line
    if drawn.box.is_point:
        for start in range(0, 360, 60):
            draw.arc(around, start, start + 35, fill="white", width=line + 2)
            draw.arc(around, start, start + 35, fill=drawn.colour, width=line)
        return
    for colour, width in (("white", line + 2), (drawn.colour, line)):
        for x in range(left, right + 1, 2 * dash):
            end = min(x + dash, right)
            draw.rectangle((x, top, end, min(top + width - 1, bottom)), fill=colour)
            draw.rectangle((x, max(bottom - width + 1, top), end, bottom), fill=colour)
        for y in range(top, bottom + 1, 2 * dash):
            end = min(y + dash, bottom)
            draw.rectangle((left, y, min(left + width - 1, right), end), fill=colour)
            draw.rectangle((max(right - width + 1, left), y, right, end), fill=colour)


def _writable(label: str) -> str:
    """The label, shortened; "" if the bundled font lacks one of its characters."""
    short = label if len(label) <= MAX_TAG else label[: MAX_TAG - 1] + "…"
    return short if all(_has_glyph(c) for c in short) else ""


@lru_cache(maxsize=2048)
def _has_glyph(character: str) -> bool:
    if character == " ":
        return True
    font = ImageFont.load_default(16)
    missing = font.getmask("\U0010ffff")
    mask = font.getmask(character)
    return bytes(mask) != bytes(missing) or mask.size != missing.size


@lru_cache(maxsize=64)
def _ink(colour: str) -> str:
    """Black or white, whichever contrasts more with the colour (relative luminance, WCAG 2)."""
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return "black" if 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2] > 0.18 else "white"

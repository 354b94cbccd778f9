"""Boxes in an answer: parsed from its text and drawn on a picture.

Qwen2-VL writes a box as `<|object_ref_start|>cat<|object_ref_end|><|box_start|>(x1,y1),(x2,y2)<|box_end|>`, with x and
y in [0, 1000) of the picture's width and height, whatever its size. The markup is untrusted text: anything that is not
exactly a box stays text.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from PIL import Image, ImageDraw, ImageFont

SCALE = 1000  # coordinates run over [0, 1000)
MAX_BOXES = 100  # a model may repeat itself without end

_REF = re.compile(r"<\|object_ref_start\|>(.*?)<\|object_ref_end\|>", re.DOTALL)
_REGION = re.compile(r"<\|(box|quad)_start\|>(.*?)<\|\1_end\|>", re.DOTALL)
_POINT = re.compile(r"\(\s*(\d{1,4}(?:\.\d{1,4})?)\s*,\s*(\d{1,4}(?:\.\d{1,4})?)\s*\)")
_MARKUP = re.compile(r"<\|(?:object_ref|box|quad)_(?:start|end)\|>")
_OPEN = re.compile(r"<\|(?:box|quad)_start\|>(?:(?!<\|(?:box|quad)_end\|>).)*\Z", re.DOTALL)
_HALF_TOKEN = re.compile(r"<(?:\|[a-z_]*\|?)?\Z")

COLOURS = ("#7c5cff", "#ff8a3d", "#12b886", "#e64980", "#228be6", "#f2b705", "#15aabf", "#be4bdb")


@dataclass(frozen=True)
class Box:
    """A rectangle in thousandths of the picture's sides; x1 <= x2 and y1 <= y2."""

    label: str  # as the model named it; "" for none
    x1: float
    y1: float
    x2: float
    y2: float

    def pixels(self, size: tuple[int, int]) -> tuple[int, int, int, int]:
        """(left, top, right, bottom) in pixels of a picture of `size` (height, width)."""
        height, width = size
        return (
            round(self.x1 / SCALE * width),
            round(self.y1 / SCALE * height),
            round(self.x2 / SCALE * width),
            round(self.y2 / SCALE * height),
        )


def parse_boxes(text: str) -> tuple[Box, ...]:
    """Every complete box of an answer, in order. Corners may come in either order; values are clipped to the picture.

    A box takes the name before it, and several boxes may follow one name. A quad becomes its bounding rectangle.
    """
    boxes: list[Box] = []
    label, at = "", 0
    for region in _REGION.finditer(text):
        before = text[at : region.start()]
        refs = _REF.findall(before)
        if refs:
            label = " ".join(refs[-1].split())
        elif _MARKUP.sub("", before).strip(" ,;\n"):
            label = ""  # text in between: the earlier name no longer applies
        at = region.end()
        points = [(_clip(x), _clip(y)) for x, y in _POINT.findall(region.group(2))]
        step = 4 if region.group(1) == "quad" else 2
        for start in range(0, len(points) - step + 1, step):
            xs, ys = zip(*points[start : start + step], strict=True)
            boxes.append(Box(label, min(xs), min(ys), max(xs), max(ys)))
    return tuple(boxes[:MAX_BOXES])


def text_without_boxes(text: str) -> str:
    """The answer without box markup: names stay, coordinates go, a box without a name becomes "box 1".

    A box that is still being written, at the end of half an answer, is left out.
    """
    number = 0
    named_until = -1  # a box that starts here continues a name

    def region(match: re.Match[str]) -> str:
        nonlocal number, named_until
        count = len(_POINT.findall(match.group(2))) // (4 if match.group(1) == "quad" else 2)
        if not count:
            return match.group(2)
        first = number + 1
        number += count
        before = text[: match.start()].rstrip(" ,;\n")
        if before.endswith("<|object_ref_end|>") or len(before) == named_until:
            named_until = match.end()
            return ""
        return f"box {first}" if count == 1 else f"boxes {first} to {number}"

    clean = _REGION.sub(region, text)
    clean = _OPEN.sub("", clean)
    clean = _MARKUP.sub("", clean)
    clean = _HALF_TOKEN.sub("", clean) if "<|" in clean[-24:] else clean
    return re.sub(r"[ \t]+([,.;])", r"\1", re.sub(r"(?:,[ \t]*)+(?=[.;]|\Z)", "", clean)) if number else clean


def draw_boxes(picture: Image.Image, boxes: Sequence[Box]) -> Image.Image:
    """An RGB copy of the picture with the boxes drawn on it: one colour for each name, a tag with name or number."""
    canvas = picture.convert("RGB")
    draw = ImageDraw.Draw(canvas)
    size = (canvas.height, canvas.width)
    line = max(2, round(math.hypot(*size) / 300))
    font = ImageFont.load_default(max(11, round(math.hypot(*size) / 45)))
    names = list(dict.fromkeys(box.label for box in boxes))
    placed: list[tuple[int, int, int, int]] = []
    for number, box in enumerate(boxes, 1):
        colour = COLOURS[(names.index(box.label) if box.label else number - 1) % len(COLOURS)]
        left, top, right, bottom = box.pixels(size)
        right, bottom = min(right, size[1] - 1), min(bottom, size[0] - 1)
        left, top = min(left, right), min(top, bottom)
        draw.rectangle((left, top, right, bottom), outline="white", width=line + 2)
        draw.rectangle((left, top, right, bottom), outline=colour, width=line)
        placed.append(_tag(draw, _writable(box.label) or str(number), (left, top), size, font, colour, placed))
    return canvas


def _tag(
    draw: ImageDraw.ImageDraw,
    words: str,
    corner: tuple[int, int],
    size: tuple[int, int],
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
    colour: str,
    placed: Sequence[tuple[int, int, int, int]],
) -> tuple[int, int, int, int]:
    """Draws a tag above the corner, or inside the box if there is no room, below tags that it would overlap."""
    x0, y0, x1, y1 = draw.textbbox((0, 0), words, font=font)
    pad = max(2, int(y1 - y0) // 4)
    width, height = int(x1 - x0) + 2 * pad, int(y1 - y0) + 2 * pad
    left = max(0, min(corner[0], size[1] - width))
    top = corner[1] - height if corner[1] >= height else corner[1]
    for _ in placed:
        overlap = [p for p in placed if left < p[2] and p[0] < left + width and top < p[3] and p[1] < top + height]
        if not overlap or top + 2 * height > size[0]:
            break
        top = max(p[3] for p in overlap)
    draw.rectangle((left, top, left + width, top + height), fill=colour)
    draw.text((left + pad - x0, top + pad - y0), words, font=font, fill=_ink(colour))
    return left, top, left + width, top + height


def _writable(label: str) -> str:
    """The label, shortened; "" if the bundled font lacks one of its characters."""
    short = label if len(label) <= 28 else label[:27] + "…"
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


def _clip(number: str) -> float:
    return min(max(float(number), 0.0), float(SCALE))

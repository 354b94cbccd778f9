"""Boxes and points in an answer: parsed from its text and drawn on a picture.

Qwen2-VL writes a box as `<|object_ref_start|>cat<|object_ref_end|><|box_start|>(x1,y1),(x2,y2)<|box_end|>`, with x and
y in [0, 1000) of the picture's width and height, whatever its size. Text without a single token of this markup is read
in the other ways in which such models write boxes (`plain_boxes.py`). An answer is untrusted text: anything that is not
exactly a box stays text. It may also be long and hostile, so every step here is linear in its length: no regular
expression looks further than the token, point or run of spaces that it reads.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from PIL import Image, ImageDraw, ImageFont

from qwen2vl_demo.viz.plain_boxes import NamedPoints, plain_boxes, without_half_pair

SCALE = 1000  # coordinates run over [0, 1000)
MAX_BOXES = 100  # a model may repeat itself without end

_MARKUP = re.compile(r"<\|(?:object_ref|box|quad)_(?:start|end)\|>")
_POINT = re.compile(r"\(\s*(\d{1,4}(?:\.\d{1,4})?)\s*,\s*(\d{1,4}(?:\.\d{1,4})?)\s*\)")
_HALF_TOKEN = re.compile(r"<(?:\|[a-z_]*\|?)?\Z")
_COMMAS = re.compile(r",[, \t]*")
_SPACES = re.compile(r"[ \t]+")

_NAME_START, _NAME_END = "<|object_ref_start|>", "<|object_ref_end|>"
_CORNERS = {"<|box_start|>": 2, "<|quad_start|>": 4}  # points of one box
_REGION_ENDS = ("<|box_end|>", "<|quad_end|>")
_SEPARATORS = " ,;\n"  # what may stand between a name and its boxes

COLOURS = ("#7c5cff", "#ff8a3d", "#12b886", "#e64980", "#228be6", "#f2b705", "#15aabf", "#be4bdb")


@dataclass(frozen=True)
class Box:
    """A rectangle in thousandths of the picture's sides; x1 <= x2 and y1 <= y2. A point has its two corners in one."""

    label: str  # as the model named it; "" for none
    x1: float
    y1: float
    x2: float
    y2: float

    @property
    def is_point(self) -> bool:
        return (self.x1, self.y1) == (self.x2, self.y2)

    def pixels(self, size: tuple[int, int]) -> tuple[int, int, int, int]:
        """(left, top, right, bottom) in pixels of a picture of `size` (height, width)."""
        height, width = size
        return (
            round(self.x1 / SCALE * width),
            round(self.y1 / SCALE * height),
            round(self.x2 / SCALE * width),
            round(self.y2 / SCALE * height),
        )


@dataclass(frozen=True)
class _Region:
    """Points between two tokens of a kind, and the name that stands before them."""

    start: int  # its place in the text, tokens included
    end: int
    label: str  # "" for none
    named: bool  # a name or another box of that name stands right before it
    inside: str  # the text between its tokens
    points: tuple[tuple[float, float], ...]
    corners: int  # points of one box

    @property
    def groups(self) -> list[tuple[tuple[float, float], ...]]:
        """The points of each box; a single point between the tokens of a box is one by itself."""
        if self.corners == 2 and len(self.points) == 1:
            return [self.points]
        ends = range(self.corners, len(self.points) + 1, self.corners)
        return [self.points[end - self.corners : end] for end in ends]


def parse_boxes(text: str, resized: tuple[int, int] | None = None) -> tuple[Box, ...]:
    """Every complete box or point of an answer, in order. Corners may come in either order; values are clipped to the
    picture.

    A box takes the name before it, and several boxes may follow one name. A quad becomes its bounding rectangle.
    `resized` is the (height, width) in px that the model saw the picture at: where an answer names a coordinate beyond
    1000, which no thousandth is, its coordinates are pixels of that picture.
    """
    named: list[NamedPoints] = []
    if _MARKUP.search(text):
        for region in _regions(text)[0]:
            named += [NamedPoints(region.label, points) for points in region.groups]
            if len(named) >= MAX_BOXES:
                break
    else:
        named = plain_boxes(text, MAX_BOXES).named
    return tuple(_box(item, _scale(named, resized)) for item in named[:MAX_BOXES])


def text_without_boxes(text: str, *, growing: bool = False) -> str:
    """The answer without box markup: names stay, coordinates go, a box without a name becomes "box 1".

    Markup of a box that is still being written, at the end of half an answer, is left out; with `growing` so are
    brackets that may become one.
    """
    if not _MARKUP.search(text):
        words = plain_boxes(text, MAX_BOXES).words
        words = without_half_pair(words) if growing else words
        return words[:-24] + _HALF_TOKEN.sub("", words[-24:]) if "<|" in words[-24:] else words
    regions, unfinished = _regions(text)
    pieces: list[str] = []
    number = at = 0
    for region in regions:
        pieces.append(text[at : region.start])
        at = region.end
        count = len(region.groups)
        if not count:
            pieces.append(region.inside)
            continue
        first, number = number + 1, number + count
        if not region.named:
            noun = "point" if len(region.groups[0]) == 1 else "box"
            pieces.append(f"{noun} {first}" if count == 1 else f"boxes {first} to {number}")
    pieces.append(text[at:unfinished])
    clean = _MARKUP.sub("", "".join(pieces))
    clean = clean[:-24] + _HALF_TOKEN.sub("", clean[-24:]) if "<|" in clean[-24:] else clean
    return _without_gaps(clean) if number else clean


def _regions(text: str) -> tuple[list[_Region], int]:
    """All complete regions, in order, and where one begins that is still being written (the text's end for none).

    Linear in the text: a start token takes the nearest end token of its kind, and what lies between is read once.
    """
    tokens = list(_MARKUP.finditer(text))
    ends, last_end = _nearest_ends([token.group() for token in tokens])
    regions: list[_Region] = []
    label, at, unfinished = "", 0, len(text)
    named_until = -1  # up to here the text ends in a name, or in a box that has one
    name, name_start = None, -1  # the last name since `at`, and where the one begins that is being read
    index = 0
    while index < len(tokens):
        token, kind, end_index = tokens[index], tokens[index].group(), ends[index]
        if kind == _NAME_START and name_start < 0:
            name_start = token.end()
        elif kind == _NAME_END:
            named_until = token.end()
            if name_start >= 0:
                name, name_start = text[name_start : token.start()], -1
        elif kind in _CORNERS and end_index >= 0:
            before, inside = text[at : token.start()], text[token.end() : tokens[end_index].start()]
            if name is not None:
                label = " ".join(name.split())
            elif _MARKUP.sub("", before).strip(_SEPARATORS):
                label = ""  # text in between: the earlier name no longer applies
            named = at + len(before.rstrip(_SEPARATORS)) == named_until
            points = tuple((float(x), float(y)) for x, y in _POINT.findall(inside))
            at = tokens[end_index].end()
            regions.append(_Region(token.start(), at, label, named, inside, points, _CORNERS[kind]))
            if named and regions[-1].groups:
                named_until = at
            name, name_start, index = None, -1, end_index
        elif kind in _CORNERS and index > last_end:
            unfinished = min(unfinished, token.start())
        index += 1
    return regions, unfinished


def _nearest_ends(tokens: Sequence[str]) -> tuple[list[int], int]:
    """Of each token that starts a region, the index of the next end token of its kind (-1 for none); and the index of
    the last end token of any kind."""
    nearest: dict[str, int] = {}
    ends = [-1] * len(tokens)
    for index in range(len(tokens) - 1, -1, -1):
        ends[index] = nearest.get(tokens[index].replace("start", "end"), -1) if tokens[index] in _CORNERS else -1
        nearest[tokens[index]] = index
    return ends, max((i for i, token in enumerate(tokens) if token in _REGION_ENDS), default=-1)


def _without_gaps(text: str) -> str:
    """The text without what a box left behind: commas before a full stop or the end, spaces before a mark."""
    commas = _COMMAS.sub(lambda run: "" if _next(run) in ("", ".", ";") else run.group(), text)
    return _SPACES.sub(lambda run: "" if _next(run) in (",", ".", ";") else run.group(), commas)


def _next(match: re.Match[str]) -> str:
    """The character behind a match; "" at the end of the text."""
    return match.string[match.end() : match.end() + 1]


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
        if box.is_point:
            reach = 4 * line
            around = (left - reach, top - reach, left + reach, top + reach)
            draw.ellipse(around, fill=colour, outline="white", width=line)
            left, top = left + reach, max(0, top - reach)  # the tag stands beside it
        else:
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


def _scale(named: Sequence[NamedPoints], resized: tuple[int, int] | None) -> tuple[float, float]:
    """What x and y are multiplied by to become thousandths."""
    beyond = any(max(point) > SCALE for item in named for point in item.points)
    return (SCALE / resized[1], SCALE / resized[0]) if resized and beyond else (1.0, 1.0)


def _box(item: NamedPoints, scale: tuple[float, float]) -> Box:
    xs = [min(x * scale[0], SCALE) for x, _ in item.points]
    ys = [min(y * scale[1], SCALE) for _, y in item.points]
    return Box(item.label, min(xs), min(ys), max(xs), max(ys))

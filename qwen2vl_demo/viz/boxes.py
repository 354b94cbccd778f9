"""Boxes and points in an answer, read from its text; `drawn_boxes.py` draws them.

Qwen2-VL writes a box as `<|object_ref_start|>cat<|object_ref_end|><|box_start|>(x1,y1),(x2,y2)<|box_end|>`, with x and
y in [0, 1000) of the picture's width and height, whatever its size. Text without a single token of this markup is read
in the other ways in which such models write boxes (`plain_boxes.py`). An answer is untrusted text: anything that is not
exactly a box stays text. It may also be long and hostile, so every step here is linear in its length: no regular
expression looks further than the token, point or run of spaces that it reads.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from qwen2vl_demo.viz.box_units import THOUSANDTHS, Size, Units, UnitsChoice, settle
from qwen2vl_demo.viz.plain_boxes import BoxedAnswer, BoxName, FoundBox, plain_boxes, without_half_pair

SCALE = THOUSANDTHS
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

# They mark the names in the text while it is cleaned; in the text itself they are replaced.
_OPEN, _CLOSE = "\ufdd2", "\ufdd3"
_MARKS = re.compile(f"([{_OPEN}{_CLOSE}])")
_UNMARKED = dict.fromkeys(map(ord, (_OPEN, _CLOSE)), "\ufffd")


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
    name: tuple[int, int] | None  # where its name stands in the text
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


def parse_boxes(text: str, resized: Size | None = None, choice: UnitsChoice = "auto") -> tuple[Box, ...]:
    """Every complete box or point of an answer, in order. Corners may come in either order; values are clipped to the
    picture.

    A box takes the name before it, and several boxes may follow one name. A quad becomes its bounding rectangle.
    `resized` is the (height, width) in px that the model saw the picture at, for answers whose coordinates are pixels
    of it (`box_units.py`).
    """
    found = read_boxes(text).boxes
    units = settle([(item, resized) for item in found], choice=choice).units
    return tuple(box_of(item, units, resized) for item in found)


def box_of(found: FoundBox, units: Units, resized: Size | None) -> Box:
    """The box, read in these units."""
    down, across = (SCALE / resized[0], SCALE / resized[1]) if resized and units == "pixels" else (1.0, 1.0)
    xs = [min(x * across, SCALE) for x, _ in found.points]
    ys = [min(y * down, SCALE) for _, y in found.points]
    return Box(found.label, min(xs), min(ys), max(xs), max(ys))


def text_without_boxes(text: str, *, growing: bool = False) -> str:
    """The answer without box markup: names stay, coordinates go, a box without a name becomes "box 1".

    Markup of a box that is still being written, at the end of half an answer, is left out; with `growing` so are
    brackets that may become one.
    """
    return read_boxes(text, growing=growing).words


def read_boxes(text: str, *, growing: bool = False) -> BoxedAnswer:
    """The boxes of an answer, at most MAX_BOXES, and its words as in `text_without_boxes`."""
    if not _MARKUP.search(text):
        plain = plain_boxes(text, MAX_BOXES)
        words = without_half_pair(plain.words) if growing else plain.words
        words = words[:-24] + _HALF_TOKEN.sub("", words[-24:]) if "<|" in words[-24:] else words
        return BoxedAnswer(words, plain.boxes, plain.names)
    text = text.translate(_UNMARKED)
    regions, unfinished = _regions(text)
    boxes = [FoundBox(region.label, points, region.start, "tags") for region in regions for points in region.groups]
    named: dict[tuple[int, int], list[int]] = {}  # the boxes of each name, by where it stands
    first = 0
    for region in regions:
        if region.name and first < MAX_BOXES:
            named.setdefault(region.name, []).extend(range(first, min(first + len(region.groups), MAX_BOXES)))
        first += len(region.groups)
    named = {place: numbers for place, numbers in named.items() if numbers}
    owners: list[Sequence[int]] = []  # of each marked piece
    pieces: list[str] = []
    places = iter(sorted(named))
    place = next(places, None)
    number = at = 0

    def mark(piece: str, numbers: Sequence[int]) -> None:
        owners.append(numbers)
        pieces.extend((_OPEN, piece, _CLOSE))

    def copy(start: int, end: int) -> None:
        nonlocal place
        while place is not None and place[1] <= end:
            pieces.append(text[start : place[0]])
            mark(text[place[0] : place[1]], named[place])
            start, place = place[1], next(places, None)
        pieces.append(text[start:end])

    for region in regions:
        copy(at, region.start)
        at = region.end
        count = len(region.groups)
        if not count:
            pieces.append(region.inside)
            continue
        first, number = number + 1, number + count
        if not region.named:
            noun = "point" if len(region.groups[0]) == 1 else "box"
            words = f"{noun} {first}" if count == 1 else f"boxes {first} to {number}"
            mark(words, range(first - 1, min(number, MAX_BOXES)))
    copy(at, unfinished)
    clean = _MARKUP.sub("", "".join(pieces))
    clean = clean[:-24] + _HALF_TOKEN.sub("", clean[-24:]) if "<|" in clean[-24:] else clean
    words, names = _unmarked(_without_gaps(clean) if number else clean, owners)
    return BoxedAnswer(words, tuple(boxes[:MAX_BOXES]), names)


def _unmarked(text: str, owners: Sequence[Sequence[int]]) -> tuple[str, tuple[BoxName, ...]]:
    """The text without the marks, and the names that stood between them."""
    pieces: list[str] = []
    names: list[BoxName] = []
    length = start = 0
    for piece in _MARKS.split(text):
        if piece == _OPEN:
            start = length
        elif piece == _CLOSE:
            names.append(BoxName(start, length, tuple(owners[len(names)])))
        else:
            pieces.append(piece)
            length += len(piece)
    return "".join(pieces), tuple(name for name in names if name.boxes and name.end > name.start)


def _regions(text: str) -> tuple[list[_Region], int]:
    """All complete regions, in order, and where one begins that is still being written (the text's end for none).

    Linear in the text: a start token takes the nearest end token of its kind, and what lies between is read once.
    """
    tokens = list(_MARKUP.finditer(text))
    ends, last_end = _nearest_ends([token.group() for token in tokens])
    regions: list[_Region] = []
    label_at: tuple[int, int] | None
    label, label_at, at, unfinished = "", None, 0, len(text)
    named_until = -1  # up to here the text ends in a name, or in a box that has one
    name: tuple[int, int] | None = None  # where the last name since `at` stands
    name_start = -1  # and where the one begins that is being read
    index = 0
    while index < len(tokens):
        token, kind, end_index = tokens[index], tokens[index].group(), ends[index]
        if kind == _NAME_START and name_start < 0:
            name_start = token.end()
        elif kind == _NAME_END:
            named_until = token.end()
            if name_start >= 0:
                name, name_start = (name_start, token.start()), -1
        elif kind in _CORNERS and end_index >= 0:
            before, inside = text[at : token.start()], text[token.end() : tokens[end_index].start()]
            if name is not None:
                words = text[name[0] : name[1]]
                label, label_at = " ".join(words.split()), (name[0], name[0] + len(words.rstrip()))
            elif _MARKUP.sub("", before).strip(_SEPARATORS):
                label, label_at = "", None  # text in between: the earlier name no longer applies
            named = at + len(before.rstrip(_SEPARATORS)) == named_until
            points = tuple((float(x), float(y)) for x, y in _POINT.findall(inside))
            at = tokens[end_index].end()
            regions.append(_Region(token.start(), at, label, label_at, named, inside, points, _CORNERS[kind]))
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
    """The text without what a box left behind: commas before a full stop or the end, all but one of several in a row,
    spaces before a mark."""
    commas = _COMMAS.sub(_one_comma, text)
    return _SPACES.sub(lambda run: "" if _next(run) in (",", ".", ";") else run.group(), commas)


def _one_comma(run: re.Match[str]) -> str:
    if _next(run) in ("", ".", ";"):
        return ""
    return ", " if run.group().count(",") > 1 else run.group()


def _next(match: re.Match[str]) -> str:
    """The character behind a match; "" at the end of the text."""
    return match.string[match.end() : match.end() + 1]

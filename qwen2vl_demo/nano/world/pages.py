"""Random pages of free text: one to ten lines in one or two columns, on any ground, as a screen, sign or photo has it.

`random_page` is the entry point. A `TextPage` is a `PrintedPage` that knows its lines in reading order.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from qwen2vl_demo.nano.world.fonts import HELD_OUT, TRAIN, faces, load_face
from qwen2vl_demo.nano.world.page_looks import (
    Look,
    distractor_marks,
    emphasis_colour,
    line_marks,
    random_look,
)
from qwen2vl_demo.nano.world.print_text import random_lines, shortened
from qwen2vl_demo.nano.world.scene import CHARACTERS, choose
from qwen2vl_demo.nano.world.typesetting import Mark, PrintedPage, TextRun, text_width

CHARACTERS_A_PAGE = 360
LEAST_PRINT = 11  # px; what is asked for may be smaller
_SMALL, _MIDDLE = (11.0, 17.0), (17.0, 28.0)  # px
_BLANK_SHARE = 0.03
_EMPHASES = ("word", "word", "word", "line", "large", "large", "underline", "box", "rule")
_SAMPLE = "The quick brown fox jumps over 13 lazy dogs"  # for the mean width of a character
# The sizes that are drawn, in pixels, a few per cent apart, so that faces that are already loaded are used again.
_SIZES = sorted({round(11 * 1.085**step) for step in range(70)})


@dataclass(frozen=True)
class TextLine:
    """A line of print: runs that continue each other, so that their texts together are the text of the line.

    `emphasis` is the index of the run that has a colour of its own or is larger than the others, or -1.
    """

    runs: tuple[TextRun, ...]
    emphasis: int = -1

    @property
    def text(self) -> str:
        return "".join(run.text for run in self.runs)


@dataclass(frozen=True)
class TextPage(PrintedPage):
    """A page of lines in reading order: column by column, each from top to bottom."""

    lines: tuple[TextLine, ...] = ()
    columns: int = 1
    heading: bool = False  # the first line is larger than the others

    @property
    def text(self) -> str:
        return "\n".join(line.text for line in self.lines)


@dataclass(frozen=True)
class _Set:
    """A line whose runs begin at (0, 0), with its ink (left, top, right, bottom) and the room for marks around it."""

    line: TextLine
    ink: tuple[float, float, float, float]
    room: float = 0.0


def random_page(
    rng: np.random.Generator,
    size: tuple[int, int],
    *,
    split: str = "train",
    print_size: int | None = None,
    lines: int | None = None,
) -> TextPage:
    """A random page of a (height, width) in multiples of 28 px.

    `split` "held_out" takes the faces that are held out. `print_size` fixes the size of the print in pixels of the
    picture, and `lines` the number of lines; where these do not fit, the print is smaller or the lines are fewer.
    Without either, a few pages have marks or nothing instead of print.
    """
    look = random_look(rng, size)
    if print_size is None and lines is None and rng.random() < _BLANK_SHARE:
        return _page(look, size, (), distractor_marks(rng, size, look))
    face = choose(rng, faces(HELD_OUT if split == HELD_OUT else TRAIN))
    wanted = float(print_size or random_print_size(rng, size))
    fill = print_size is None and wanted > _MIDDLE[1] and bool(rng.random() < 0.4)
    while wanted > 3:
        page = _typeset(rng, look, size, face, wanted, lines, fill, exact=print_size is not None)
        if page is not None:
            return page
        wanted *= 0.85
    return _page(look, size, (), ())


def random_print_size(rng: np.random.Generator, size: tuple[int, int]) -> float:
    """A size of print in pixels of a picture (height, width): ordinary, small, or up to what fits."""
    dice = rng.random()
    most = max(LEAST_PRINT, min(0.7 * size[0], 0.4 * size[1]))
    if dice < 0.25 and most > _MIDDLE[1]:
        return float(np.exp(rng.uniform(math.log(_MIDDLE[1]), math.log(most))))
    return min(most, float(rng.uniform(*(_SMALL if dice > 0.7 else _MIDDLE))))


def _drawn_size(pixels: float) -> int:
    """The largest of the sizes that are drawn that is not larger."""
    return _SIZES[max(0, bisect_right(_SIZES, pixels) - 1)]


def _page(look: Look, size: tuple[int, int], lines: tuple[TextLine, ...], marks: tuple[Mark, ...]) -> TextPage:
    runs = tuple(run for line in lines for run in line.runs)
    return TextPage(*size, look.background, runs, marks, look.zoom, look.angle, look.blur, look.jpeg, lines)


def _typeset(
    rng: np.random.Generator,
    look: Look,
    size: tuple[int, int],
    face: str | None,
    wanted: float,
    lines: int | None,
    fill: bool,
    exact: bool,
) -> TextPage | None:
    """A page with print of the size `wanted`, or None if not even one line of it fits. `fill`: it may be larger."""
    look = replace(look, blur=min(look.blur, 0.3 if wanted < 14 else 0.02 * wanted))
    pixels = wanted * look.zoom
    drawn = max(6, round(pixels)) if exact or pixels < 11 else _drawn_size(pixels)
    height, width = (side * look.zoom for side in size)
    margin_x, margin_y = (look.margin_x * look.zoom, look.margin_y * look.zoom)
    room_x, room_y = width - 2 * margin_x, height - 2 * margin_y
    character = text_width(_SAMPLE, face, drawn) / len(_SAMPLE)
    columns = 1 if lines == 1 or room_x < 26 * character or rng.random() > 0.15 else 2
    gap = max(2 * drawn, 0.04 * width)
    column = (room_x - (columns - 1) * gap) / columns
    pitch = drawn * float(rng.uniform(1.1, 1.8))
    rows = min(10, int(room_y / pitch) + 1) * columns
    if lines is None:
        most = max(1, min(10, rows))
        lines = 1 if fill or rng.random() < 0.08 else int(rng.integers(1, most + 1, 2).max())
    texts = random_lines(rng, min(lines, rows), max(1, int(column / character)), CHARACTERS_A_PAGE)
    heading = columns == 1 and len(texts) > 1 and bool(rng.random() < 0.2)
    emphasised = int(rng.integers(len(texts))) if rng.random() < 0.5 else -1
    made: list[_Set] = []
    marked: tuple[int, str] = (-1, "")
    for index, text in enumerate(texts):
        larger = drawn * float(rng.uniform(1.4, 1.9)) if heading and index == 0 else drawn
        own = _drawn_size(larger) if larger != drawn else drawn
        run = TextRun(_fitting(text, face, own, column), face, own, 0.0, 0.0, look.rgb, look.ink)
        if index == emphasised and not (heading and index == 0):
            marked = (index, choose(rng, _EMPHASES))
            made.append(_emphasised(rng, look, run, marked[1], column))
        else:
            made.append(_Set(TextLine((run,)), _ink((run,))))
        left, top, right, bottom = made[-1].ink
        if right - left > column or bottom - top > room_y:
            return None
        if bottom - top + 2 * made[-1].room > room_y:
            made[-1] = replace(made[-1], room=0.0)
    if fill and len(made) == 1 and len(made[0].line.runs) == 1 and not made[0].room:
        made = [_enlarged(made[0], column, room_y, rng)]
    return _placed(rng, look, size, made, columns, column, gap, pitch, heading, marked)


def _fitting(text: str, face: str | None, size: int, room: float) -> str:
    """The text, or as much of it as fits into a width; at least one character."""
    while len(text) > 1 and (wide := 1.015 * text_width(text, face, size) + 0.2 * size) > room:
        text = shortened(text, min(len(text) - 1, int(len(text) * room / wide)))
    return text


@cache
def _ink_of_face(face: str | None) -> tuple[np.ndarray, float, float]:
    """How far the ink of each character reaches out of its advance to the left and right, (95, 2), and how far ink lies
    above and below the baseline at most, in sizes of the face."""
    font, size = load_face(face, 100), 100
    boxes = np.array([font.getbbox(character, anchor="ls") for character in CHARACTERS], float)
    ends = np.array([font.getlength(character) for character in CHARACTERS])
    beyond = np.stack([np.maximum(0, -boxes[:, 0]), np.maximum(0, boxes[:, 2] - ends)], -1)
    return beyond / size, float(-boxes[:, 1].min()) / size, float(boxes[:, 3].max()) / size


def _ink(runs: tuple[TextRun, ...]) -> tuple[float, float, float, float]:
    """What the ink of runs that continue each other from (0, 0) cannot leave: left, top, right and bottom in pixels."""
    size = max(run.size for run in runs)
    beyond, above, below = _ink_of_face(runs[0].face)
    first, last = (CHARACTERS.index(character) for character in (runs[0].text[0], runs[-1].text[-1]))
    right = 1.015 * (runs[-1].x + runs[-1].width) + beyond[last, 1] * size  # kerning may widen it
    return -float(beyond[first, 0]) * size - 1, -above * size - 1, float(right) + 1, below * size + 1


def _enlarged(made: _Set, room_x: float, room_y: float, rng: np.random.Generator) -> _Set:
    """A line of one run as large as fits, or nearly so."""
    (run,) = made.line.runs
    left, top, right, bottom = made.ink
    scale = min(room_x / (right - left), room_y / max(1.0, bottom - top)) * float(rng.uniform(0.7, 0.95))
    larger = replace(run, size=_drawn_size(run.size * scale))
    ink = _ink((larger,))
    fits = larger.size > run.size and ink[2] - ink[0] <= room_x and ink[3] - ink[1] <= room_y
    return _Set(TextLine((larger,)), ink) if fits else made


def _emphasised(rng: np.random.Generator, look: Look, run: TextRun, kind: str, room: float) -> _Set:
    """A line with one word or all of it in a colour, one word that is larger, or room for marks."""
    plain = _Set(TextLine((run,)), _ink((run,)))
    if kind in ("underline", "box", "rule"):
        return replace(plain, room=(0.2 if kind == "underline" else 0.35) * run.size)
    colour, rgb = emphasis_colour(rng, look)
    if kind in ("word", "line") and not colour:
        return plain
    if kind == "line":
        return _Set(TextLine((replace(run, rgb=rgb, colour=colour),), 0), plain.ink)
    words = run.text.split(" ")
    candidates = [index for index, word in enumerate(words) if word.isalnum()]
    if not candidates:
        return plain
    at = choose(rng, candidates)
    start = sum(len(word) + 1 for word in words[:at])
    pieces = (run.text[:start], words[at], run.text[start + len(words[at]) :])
    runs: list[TextRun] = []
    emphasis, x = 0, 0.0
    for index, piece in enumerate(pieces):
        if not piece:
            continue
        made = replace(run, text=piece, x=x)
        if index == 1:
            emphasis = len(runs)
            larger = _drawn_size(run.size * rng.uniform(1.45, 2))
            made = replace(made, size=larger) if kind == "large" else replace(made, rgb=rgb, colour=colour)
        runs.append(made)
        x += made.width
    line = TextLine(tuple(runs), emphasis)
    ink = _ink(line.runs)
    return _Set(line, ink) if ink[2] - ink[0] <= room else plain


def _placed(
    rng: np.random.Generator,
    look: Look,
    size: tuple[int, int],
    made: list[_Set],
    columns: int,
    column: float,
    gap: float,
    pitch: float,
    heading: bool,
    marked: tuple[int, str],
) -> TextPage:
    """The page with these lines at random places; those for which there is no room at the bottom are left out."""
    height = size[0] * look.zoom
    top, bottom = look.margin_y * look.zoom, height - look.margin_y * look.zoom
    columns = columns if len(made) > 1 else 1
    split = (len(made) + 1) // columns if columns > 1 else len(made)
    parts = [part for part in (made[:split], made[split:]) if part]
    baselines = [_baselines(part, bottom - top, pitch) for part in parts]
    parts = [part[: len(at)] for part, at in zip(parts, baselines, strict=True)]
    tall = max(at[-1] + part[-1].ink[3] + part[-1].room for part, at in zip(parts, baselines, strict=True))
    y = top + float(rng.uniform(0, max(0.0, bottom - top - tall)))
    widest = [max(each.ink[2] - each.ink[0] for each in part) for part in parts]
    align = choose(rng, (0.0, 0.0, 0.0, 0.5, 1.0))
    lines: list[TextLine] = []
    marks: tuple[Mark, ...] = ()
    for index, (part, at) in enumerate(zip(parts, baselines, strict=True)):
        left = look.margin_x * look.zoom + index * (column + gap)
        left += float(rng.uniform(0, max(0.0, column - widest[index]))) if columns == 1 else 0.0
        room = widest[index] if columns == 1 else column
        for each, down in zip(part, at, strict=True):
            x = left - each.ink[0] + align * (room - (each.ink[2] - each.ink[0]))
            if each is made[marked[0]] and each.room:
                marks = line_marks(rng, look, marked[1], each.ink, (x, y + down), each.room, (left, left + room))
            runs = tuple(replace(run, x=x + run.x, y=y + down) for run in each.line.runs)
            lines.append(replace(each.line, runs=runs))
    page = _page(look, size, tuple(lines), marks)
    return replace(page, columns=len(parts), heading=heading and len(lines) > 1)


def _baselines(part: list[_Set], room: float, pitch: float) -> list[float]:
    """How far the baseline of each line of a column that fits lies below the column's top; at least one."""
    at: list[float] = []
    for index, each in enumerate(part):
        above = -each.ink[1] + each.room
        if index:
            before = part[index - 1]
            larger = max(1.0, each.line.runs[0].size / part[-1].line.runs[-1].size)
            above = at[-1] + max(pitch * larger, before.ink[3] + before.room + above + 1)
        if index and above + each.ink[3] + each.room > room:
            break
        at.append(above)
    return at

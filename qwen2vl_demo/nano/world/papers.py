"""Random papers of an open vocabulary: receipts, forms, tables, menus, opening hours, tickets, screens and bar charts.

A `Paper` is the complete ground truth of one picture of 84x84 px or more, with less content on small ones.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np

from qwen2vl_demo.nano.world.fonts import TRAIN, faces
from qwen2vl_demo.nano.world.forms import form, screen, ticket
from qwen2vl_demo.nano.world.listings import Layout, menu, opening_hours, receipt
from qwen2vl_demo.nano.world.scene import Background, choose
from qwen2vl_demo.nano.world.sheets import Palette, Paper, Parts, Sheet, random_palette, whole_size
from qwen2vl_demo.nano.world.tables import chart, table
from qwen2vl_demo.nano.world.typesetting import RGB, Mark, PrintedPage

# The share of each kind.
KINDS = {
    "receipt": (0.19, receipt),
    "form": (0.19, form),
    "table": (0.16, table),
    "menu": (0.1, menu),
    "hours": (0.07, opening_hours),
    "ticket": (0.08, ticket),
    "screen": (0.1, screen),
    "chart": (0.11, chart),
}
SMALLEST, LARGEST = 11, 26  # px: the usual print in the picture
LARGE_PRINT = (0.35, 0.6)  # share of the papers whose print may fill the picture, and of large pictures
ATTEMPTS = 12
_MOST_ZOOMED = 1600  # px: sides beyond it take too long


@cache
def _bold(face: str | None, split: str) -> str | None:
    """The bold face of a family, or the face itself."""
    if face is None:
        return None
    path = Path(face)
    stem = path.stem
    for ending in ("Regular", "Roman", "Book", "Medium", "Italic", "-"):
        stem = stem.removesuffix(ending)
    bold = str(path.with_name(f"{stem.rstrip('-')}-Bold{path.suffix}"))
    return bold if bold in faces(split) else face


def _zoom(rng: np.random.Generator, size: tuple[int, int]) -> float:
    """How many times as large it is drawn: a visitor's photograph is often shrunk."""
    if rng.random() >= 0.35:
        return 1.0
    return min(1.3 + 1.7 * float(rng.random()) ** 2.5, max(1.3, _MOST_ZOOMED / max(size)))


def _background(rng: np.random.Generator, palette: Palette, zoom: float, framed: bool) -> Background:
    """Behind a sheet that lies on something, or the paper itself; noise and gradients only where they are fast."""
    first = palette.paper
    if framed:
        low, high = choose(rng, ((20, 90), (90, 170), (150, 235)))
        red, green, blue = (int(v) for v in rng.integers(low, high, 3))
        first = (red, green, blue)
    if zoom != 1 or rng.random() > 0.12:
        return Background(first, first)
    other = int(rng.integers(-14, 15))
    second: RGB = (_level(first[0] + other), _level(first[1] + other), _level(first[2] + other))
    noise = float(rng.uniform(2, 6)) if rng.random() < 0.5 else 0.0
    return Background(first, second, float(rng.uniform(0, 2 * np.pi)), noise)


def _level(value: int) -> int:
    return min(255, max(0, value))


def random_paper(rng: np.random.Generator, size: tuple[int, int], split: str = TRAIN, kind: str | None = None) -> Paper:
    """A paper on a picture of (height, width) pixels; `split` "held_out" takes the typefaces that are held out."""
    zoom = _zoom(rng, size)
    angle = float(rng.uniform(-2.5, 2.5)) if rng.random() < 0.1 else 0.0
    typefaces = "held_out" if split == "held_out" else TRAIN
    face = choose(rng, faces(typefaces))
    bold = _bold(face, typefaces)
    heading = choose(rng, (face, bold, bold, choose(rng, faces(typefaces))))
    palette, framed = random_palette(rng), bool(rng.random() < 0.22) and min(size) >= 168
    edge = 5 + abs(np.sin(np.radians(angle))) * max(size) / 2 + (14 if framed else 0)
    height, width = (size[0] - 2 * edge) * zoom, (size[1] - 2 * edge) * zoom
    pitch, large = float(rng.uniform(1.3, 1.75)), bool(rng.random() < LARGE_PRINT[size[0] * size[1] > 500_000])
    named = kind or str(rng.choice(list(KINDS), p=[share for share, _ in KINDS.values()]))
    for attempt in range(ATTEMPTS):
        room = 0.85**attempt * min(1.0, float(rng.uniform(0.5, 1.4)))
        lines, chars = int(height / zoom / 19 * room), int(width / zoom / 8.5 * min(1.0, 1.1 * room))
        layout = KINDS[named][1](rng, max(2, lines), max(9, chars))
        sheet = Sheet(face, bold, heading, 0, pitch if attempt < 4 else 1.3, width, palette)
        px = _fitting_size(rng, sheet, layout, (height, width), zoom, large)
        if px:
            break
        if attempt == ATTEMPTS // 2:
            named = kind or "form"
    else:
        return random_paper(rng, size, split, kind)  # other typefaces may be narrower
    sheet, parts = _laid_out(sheet, px, layout)
    left = edge * zoom + float(rng.uniform(0, 1)) * (width - sheet.right)
    top = edge * zoom + float(rng.uniform(0, 1)) * (height - sheet.bottom)
    sheet, parts = _laid_out(sheet, px, layout, left, top)
    marks = sheet.marks
    if framed:
        around = 10 * zoom
        board = (left - around, top - around, left + sheet.right + around, top + sheet.bottom + around)
        marks = [Mark(board, palette.paper), *marks]
    page = PrintedPage(
        *size,
        _background(rng, palette, zoom, framed),
        tuple(sheet.runs),
        tuple(marks),
        zoom,
        angle,
        blur=float(rng.uniform(0.3, 0.7)) if rng.random() < 0.08 else 0.0,
        jpeg=int(rng.integers(45, 92)) if rng.random() < 0.25 else 0,
    )
    return Paper(page, parts)


def _laid_out(sheet: Sheet, px: int, layout: Layout, left: float = 0.0, top: float = 0.0) -> tuple[Sheet, Parts]:
    """A sheet like this one with print of `px` pixels at (left, top), and what is on it."""
    sheet = Sheet(sheet.face, sheet.bold, sheet.heading, px, sheet.pitch, sheet.available, sheet.palette, left, top)
    return sheet, layout(sheet)


def _fitting_size(
    rng: np.random.Generator, sheet: Sheet, layout: Layout, room: tuple[float, float], zoom: float, large: bool
) -> int:
    """A size of the print, in pixels of the zoomed picture, at which the layout fits; 0 if it would be too small."""
    wanted = float(np.exp(rng.uniform(np.log(SMALLEST + 1), np.log(LARGEST))))
    px = whole_size(wanted * zoom)
    for _ in range(5):
        tried, _parts = _laid_out(sheet, px, layout)
        ratio = min(room[0] / tried.bottom, room[1] / tried.right)
        if ratio >= 1:
            if large:
                large = False
                grown = whole_size(px * min(ratio, float(rng.uniform(1, 3))) * 0.97)
                if grown > px and _fits(_laid_out(sheet, grown, layout)[0], room):
                    return grown
            return px
        px = whole_size(min(px - 1, px * ratio) * 0.98)
        if px < SMALLEST * zoom:
            return 0
    return 0


def _fits(sheet: Sheet, room: tuple[float, float]) -> bool:
    return sheet.bottom <= room[0] and sheet.right <= room[1]

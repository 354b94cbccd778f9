"""Printed pages: runs of text and plain marks on a background, their pixels, and which characters each cell shows.

A `PrintedPage` is the complete ground truth of one picture; `pages.py` and `papers.py` lay pages out. Positions are
(x, y) in pixels with y pointing down; a cell is the 28x28 px of one merged token.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from qwen2vl_demo.geometry import FACTOR
from qwen2vl_demo.nano.world.drawing import CellTruth, compress_jpeg, draw_background, empty_cells
from qwen2vl_demo.nano.world.fonts import load_face
from qwen2vl_demo.nano.world.scene import CELL_CHARACTERS, CHARACTERS, COLOURS, NOT_ASKED, Background

RGB = tuple[int, int, int]
X_HEIGHT = 0.3  # of the size: how far the middle of a character lies above the baseline


@dataclass(frozen=True)
class TextRun:
    """A text on one baseline, whose left end is (x, y). `colour` is the name of `rgb`, "" where it has none."""

    text: str
    face: str | None  # a file, see fonts.py
    size: int  # px
    x: float
    y: float
    rgb: RGB = (20, 20, 24)
    colour: str = ""

    @property
    def width(self) -> float:
        return float(_ends(self.face, self.size, self.text)[-1])


@dataclass(frozen=True)
class Mark:
    """A rectangle (x1, y1, x2, y2), filled, outlined or both; a line where it has no height or no width."""

    box: tuple[float, float, float, float]
    fill: RGB | None = None
    outline: RGB | None = None
    radius: int = 0


@dataclass(frozen=True)
class PrintedPage:
    """A picture of print of a size in multiples of 28 px.

    It is drawn `zoom` times as large, which is what the positions and sizes of runs and marks refer to, and shrunk.
    `angle` turns it around its middle, in degrees; what is turned out of it is lost.
    """

    height: int
    width: int
    background: Background
    runs: tuple[TextRun, ...]
    marks: tuple[Mark, ...] = ()
    zoom: float = 1.0
    angle: float = 0.0
    blur: float = 0.0  # px
    jpeg: int = 0  # quality, or 0 for no compression

    def cells_of(self, run: TextRun) -> np.ndarray:
        """The cell of each character of a run, (characters,), as a flat index in raster order; -1 outside."""
        ends = _ends(run.face, run.size, run.text)
        x = (run.x + (ends[:-1] + ends[1:]) / 2) / self.zoom
        y = np.full_like(x, (run.y - X_HEIGHT * run.size) / self.zoom)
        if self.angle:
            turn = np.radians(self.angle)
            dx, dy = x - self.width / 2, y - self.height / 2
            x = self.width / 2 + dx * np.cos(turn) + dy * np.sin(turn)
            y = self.height / 2 - dx * np.sin(turn) + dy * np.cos(turn)
        inside = (x >= 0) & (y >= 0) & (x < self.width) & (y < self.height)
        flat = (y // FACTOR).astype(int) * (self.width // FACTOR) + (x // FACTOR).astype(int)
        return np.where(inside, flat, -1)


@cache
def _advances(face: str | None, size: int) -> np.ndarray:
    font = load_face(face, size)
    return np.array([font.getlength(character) for character in CHARACTERS], np.float32)


def _ends(face: str | None, size: int, text: str) -> np.ndarray:
    """Where each character of a text begins, and where the last one ends, (characters + 1,), in pixels. Without
    kerning, which is less than a pixel."""
    codes = np.frombuffer(text.encode("ascii"), np.uint8) - ord(" ")
    return np.concatenate([np.zeros(1, np.float32), np.cumsum(_advances(face, size)[codes])])


def text_width(text: str, face: str | None, size: int) -> float:
    """The width of a text in pixels."""
    return float(_ends(face, size, text)[-1])


def draw_page(page: PrintedPage, rng: np.random.Generator) -> tuple[np.ndarray, CellTruth]:
    """The picture, (H, W, 3) uint8, and the ground truth of its cells. The generator only provides the noise."""
    drawn = (round(page.width * page.zoom), round(page.height * page.zoom))
    ground = page.background
    if page.zoom == 1 or (ground.first == ground.second and not ground.noise and not ground.clouds):
        image = draw_background(ground, drawn[1], drawn[0], rng)
    else:  # drawn small, as drawing it takes most of the time
        image = draw_background(ground, page.height, page.width, rng).resize(drawn, Image.Resampling.BILINEAR)
    pen = ImageDraw.Draw(image)
    for mark in page.marks:
        x1, y1, x2, y2 = mark.box
        if y2 - y1 < 1 or x2 - x1 < 1:
            pen.line(mark.box, fill=mark.fill or mark.outline)
        else:
            pen.rounded_rectangle(mark.box, mark.radius, fill=mark.fill, outline=mark.outline)
    for run in page.runs:
        pen.text((run.x, run.y), run.text, fill=run.rgb, font=load_face(run.face, run.size), anchor="ls")
    if page.zoom != 1:
        image = image.resize((page.width, page.height), Image.Resampling.BICUBIC)
    if page.angle:
        image = image.rotate(page.angle, Image.Resampling.BICUBIC, fillcolor=page.background.first)
    if page.blur:
        image = image.filter(ImageFilter.GaussianBlur(page.blur))
    if page.jpeg:
        image = compress_jpeg(image, page.jpeg)
    return np.array(image), label_page(page)


def label_page(page: PrintedPage) -> CellTruth:
    """The characters of every cell in reading order: lines from top to bottom, each from left to right.

    What cells with print or marks show beside that is not asked.
    """
    grid = (page.height // FACTOR, page.width // FACTOR)
    cells = empty_cells(grid)
    labels, inks = cells.labels.reshape(-1), cells.inks.reshape(-1)
    if page.marks:
        labels[:] = NOT_ASKED
    runs = sorted(page.runs, key=lambda run: (run.y, run.x))
    where = [page.cells_of(run) for run in runs]
    for run, at in zip(runs, where, strict=True):
        if run.colour in COLOURS:
            inks[at[at >= 0]] = 1 + COLOURS.index(run.colour)
    if runs:
        flat = np.concatenate(where)
        codes = np.frombuffer("".join(run.text for run in runs).encode("ascii"), np.uint8).astype(np.int64)
        order = np.argsort(flat, kind="stable")
        flat, codes = flat[order], 1 + codes[order] - ord(CHARACTERS[0])
        rank = np.arange(len(flat)) - np.searchsorted(flat, flat)  # which of the characters of its cell it is
        kept = (flat >= 0) & (rank < CELL_CHARACTERS)
        cells.characters.reshape(-1, CELL_CHARACTERS)[flat[kept], rank[kept]] = codes[kept]
        labels[flat[kept]] = NOT_ASKED
    return cells

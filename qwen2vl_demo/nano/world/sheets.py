"""The parts of a paper, and a sheet on which they are laid out. Positions are in pixels of the zoomed picture."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from itertools import groupby

import numpy as np

from qwen2vl_demo.nano.world.scene import choose
from qwen2vl_demo.nano.world.typesetting import RGB, Mark, PrintedPage, TextRun, text_width

RISE, DROP = 0.95, 0.32  # of the size: how far characters reach above and below the baseline, at most
OVERHANG = 0.12  # of the size: what an italic needs beside its width, on both sides


@dataclass(frozen=True)
class Pair:
    """A key with its value: how the key is said in an answer, and how people may ask for it."""

    said: str
    asked: tuple[str, ...]
    key: TextRun
    value: TextRun

    @property
    def label(self) -> str:
        """The key as it is printed, without a colon."""
        return self.key.text.rstrip(":")


@dataclass(frozen=True)
class Item:
    """What is sold for a price."""

    name: TextRun
    price: TextRun
    cents: int


@dataclass(frozen=True)
class OpeningTimes:
    """A line of opening hours, which covers one or several days; closed if there are no times."""

    days: tuple[str, ...]
    label: TextRun
    opens: TextRun | None
    closes: TextRun | None


@dataclass(frozen=True)
class ChartBar:
    label: TextRun
    value: float
    printed: TextRun | None


@dataclass(frozen=True)
class Parts:
    """What a paper of a `kind` (one of `papers.KINDS`) consists of; what it does not have is empty.

    `rows` are a table's, without its header and with the name of the row first; `header` has as many columns, and
    an empty first one is None. `numbers` are the values of the rows, None where they are no numbers.
    """

    kind: str
    title: TextRun | None = None
    pairs: tuple[Pair, ...] = ()
    items: tuple[Item, ...] = ()
    hours: tuple[OpeningTimes, ...] = ()
    header: tuple[TextRun | None, ...] = ()
    rows: tuple[tuple[TextRun, ...], ...] = ()
    numbers: tuple[tuple[float | None, ...], ...] = ()
    bars: tuple[ChartBar, ...] = ()
    buttons: tuple[TextRun, ...] = ()
    message: TextRun | None = None


@dataclass(frozen=True)
class Paper:
    """A random paper: what is printed, and what it means."""

    page: PrintedPage
    parts: Parts

    @property
    def lines(self) -> list[list[TextRun]]:
        """The runs line by line, each line from left to right."""
        ordered = sorted(self.page.runs, key=lambda run: (run.y, run.x))
        return [list(line) for _, line in groupby(ordered, key=lambda run: run.y)]


@dataclass(frozen=True)
class Palette:
    """The colours of a paper; `soft` is for what is less important, `shade` for shaded rows."""

    paper: RGB
    ink: RGB
    soft: RGB
    accent: RGB
    shade: RGB
    on_accent: RGB = (255, 255, 255)


def whole_size(size: float) -> int:
    """A size of print in whole pixels, and of large print a multiple of 2 or 4: fewer sizes need to be loaded."""
    step = 1 if size < 24 else 2 if size < 48 else 4
    return int(size / step + 0.5) * step


@lru_cache(1024)  # a text is measured several times before it is drawn
def _wide(text: str, face: str | None, size: int) -> float:
    return text_width(text, face, size) + OVERHANG * size


@dataclass
class Sheet:
    """A sheet whose top left corner is (left, top), on which runs and marks are put.

    `size` is that of ordinary print in pixels, `pitch` the distance of lines in sizes, `available` the width in pixels.
    """

    face: str | None
    bold: str | None
    heading: str | None
    size: int
    pitch: float
    available: float
    palette: Palette
    left: float = 0.0
    top: float = 0.0
    runs: list[TextRun] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)
    right: float = 0.0  # of what has been put, from `left`
    bottom: float = 0.0

    @property
    def step(self) -> float:
        """The distance of two lines."""
        return self.size * self.pitch

    def _style(self, style: str, scale: float) -> tuple[str | None, int]:
        face = self.face if not style else self.bold if style == "bold" else self.heading
        return face, whole_size(self.size * scale)

    def wide(self, text: str, style: str = "", scale: float = 1.0) -> float:
        """The width of a text with its overhang."""
        face, size = self._style(style, scale)
        return _wide(text, face, size)

    def put(
        self,
        text: str,
        x: float,
        y: float,
        *,
        style: str = "",
        scale: float = 1.0,
        align: float = 0.0,
        rgb: RGB | None = None,
    ) -> TextRun:
        """Prints a text on the baseline y; `align` 0 begins at x, 0.5 is centred on it, and 1 ends there."""
        face, size = self._style(style, scale)
        wide = _wide(text, face, size)
        x = max(0.0, x - align * wide)
        run = TextRun(
            text, face, size, round(self.left + x + OVERHANG / 2 * size), round(self.top + y), rgb or self.palette.ink
        )
        self.runs.append(run)
        self.right, self.bottom = max(self.right, x + wide), max(self.bottom, y + DROP * size)
        return run

    def box(
        self,
        x1: float,
        y1: float,
        x2: float,
        y2: float,
        fill: RGB | None = None,
        outline: RGB | None = None,
        radius: int = 0,
    ) -> None:
        """A rectangle, or a line where it has no height or no width."""
        edges = (round(self.left + x1), round(self.top + y1), round(self.left + x2), round(self.top + y2))
        self.marks.append(Mark(edges, fill, outline, radius))
        self.right, self.bottom = max(self.right, x2), max(self.bottom, y2)

    def rule(self, y: float, x1: float, x2: float, dotted: bool = False) -> None:
        """A horizontal line, drawn or of dots."""
        if not dotted:
            self.box(x1, y, x2, y + self.size // 16, fill=self.palette.soft)
            return
        for x in np.arange(x1, x2 - 0.2 * self.size, 0.5 * self.size).tolist():
            self.box(x, y, x + 0.15 * self.size, y, fill=self.palette.soft)

    def stretched(self, need: float, share: float) -> float:
        """A width of at least `need` that takes a share of what is left of the available width."""
        return need + share * max(0.0, min(self.available, 2.2 * need) - need)


def random_palette(rng: np.random.Generator) -> Palette:
    """Dark print on white, cream or a tint, or light print on dark or on a colour."""
    accent = choose(
        rng, ((30, 80, 160), (150, 30, 40), (20, 110, 70), (90, 50, 130), (60, 60, 66), (180, 80, 10), (10, 110, 130))
    )
    dice = rng.random()
    if dice < 0.8:
        low = 256 if dice < 0.35 else 244 if dice < 0.5 else 205
        red, green, blue = (min(255, int(v)) for v in rng.integers(low, 257, 3)) if low < 256 else (255, 255, 255)
        dark = int(rng.integers(0, 60))
        ink = (dark, dark, dark + 8) if rng.random() < 0.85 else tuple(int(v * 0.8) for v in accent)
        grey = int(rng.integers(70, 125))
        shade = (red - 22, green - 20, blue - 16)
        return Palette((red, green, blue), (ink[0], ink[1], ink[2]), (grey, grey, grey), accent, shade)
    if dice < 0.92:
        level = int(rng.integers(12, 62))
        bright = int(rng.integers(215, 256))
        paper, shade = (level, level, level + 6), (level + 26, level + 26, level + 34)
    else:
        red, green, blue = accent
        bright = 250
        paper, shade = (
            (int(red * 0.8), int(green * 0.8), int(blue * 0.8)),
            (int(red * 0.6), int(green * 0.6), int(blue * 0.6)),
        )
    dim = bright - int(rng.integers(10, 60))
    light = choose(rng, ((255, 205, 90), (140, 210, 255), (150, 235, 170), (255, 255, 255)))
    return Palette(paper, (bright, bright, bright), (dim, dim, dim), light, shade, (15, 15, 20))

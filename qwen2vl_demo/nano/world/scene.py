"""The vocabulary of nano's drawn world (shapes, colours, words, places) and the description of one scene.

A `Scene` is the complete ground truth of one picture. All lengths are in pixels of that picture; sizes are
(height, width), positions are (x, y) with y pointing down. `layout.py` generates scenes, `drawing.py` draws them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from qwen2vl_demo.nano.world.nouns import NOUNS

T = TypeVar("T")
SHAPES = ("circle", "square", "triangle", "star", "heart", "diamond", "cross", "hexagon")
STYLES = ("flat", "outlined", "hollow", "shaded", "striped")
COLOURS = ("red", "green", "blue", "yellow", "orange", "purple", "pink", "black")
TONES: dict[str, tuple[tuple[int, int, int], ...]] = {
    "red": ((220, 30, 35), (200, 20, 30), (235, 50, 45)),
    "green": ((40, 160, 60), (30, 135, 50), (70, 180, 75)),
    "blue": ((40, 90, 215), (25, 70, 180), (60, 125, 235)),
    "yellow": ((245, 210, 30), (250, 220, 60), (235, 200, 20)),
    "orange": ((245, 135, 25), (240, 120, 15), (250, 150, 45)),
    "purple": ((130, 50, 170), (110, 40, 150), (150, 75, 190)),
    "pink": ((245, 130, 185), (250, 150, 195), (240, 110, 170)),
    "black": ((20, 20, 22), (35, 35, 38), (10, 10, 10)),
}
_WORDS = """
OPEN CLOSED STOP EXIT SALE CAFE HELLO TAXI HOTEL BUS SHOP PIZZA FREE NEW PUSH PULL HOT COLD YES NO LOVE MENU
BAR ZOO PARK BANK FOOD MILK TEA COFFEE FISH CAT DOG SUN MOON HOME WAIT SLOW FIRE HELP
TOTAL BREAD EGGS RICE CAKE SOUP JUICE SALAD SUGAR BEER BOOKS MUSIC ROOM LEFT RIGHT DANGER
"""
SIGN_WORDS: tuple[str, ...] = tuple(_WORDS.split())
CHARACTERS = "".join(map(chr, range(0x20, 0x7F)))  # printable ASCII
CELL_CHARACTERS = 8  # of a merged token that are asked for
NOT_ASKED = -1  # in the place of a label: what the cell shows is not asked
CHART_PARTS = ("bar", "point")
CHART_LETTERS = "ABCDEFGH"  # the names of a chart's bars and points
# What a merged token can show: the classes of the dense labels.
CELL_LABELS: tuple[str, ...] = (
    "background",
    *(f"{colour} {shape}" for colour in COLOURS for shape in (*SHAPES, *CHART_PARTS)),
    *NOUNS,
    *(f"word {word}" for word in SIGN_WORDS),
    *(f"digit {digit}" for digit in range(10)),
    *(f"letter {letter}" for letter in CHART_LETTERS),
    *("symbol $", "symbol :"),
    "other",
)
# What an amount or a bar of a document can belong to.
HEADINGS = (*CHART_LETTERS, *SIGN_WORDS)
LABEL_INDEX = {label: index for index, label in enumerate(CELL_LABELS)}
PLACES = (
    *("at the top left", "at the top", "at the top right"),
    *("on the left", "in the middle", "on the right"),
    *("at the bottom left", "at the bottom", "at the bottom right"),
)


@dataclass(frozen=True)
class Thing:
    """A shape or an icon: centre and half size in pixels, rotation in radians, `rgb` one of the tones of `colour`.

    An icon has a noun as its shape, "" as its colour, and these fields of its own: `icon` is the index of its drawing;
    `ink_extent` the width and height of its ink as a share of the square it is drawn in; `warp` (a, b, c, d, e, f) the
    affine map from a point (x, y) to where it comes from in the drawing, (a x + b y + c, d x + e y + f), in half sides
    around the middle; `tint` the (3, 3) matrix that its RGB colours are multiplied by. Both may be ().
    """

    shape: str
    colour: str
    rgb: tuple[int, int, int]
    x: float
    y: float
    radius: float
    angle: float = 0.0
    big: bool = False
    icon: int | None = None
    ink_extent: tuple[float, float] = (1.0, 1.0)
    warp: tuple[float, ...] = ()
    tint: tuple[tuple[float, float, float], ...] = ()

    @property
    def label(self) -> int:
        return LABEL_INDEX[self.name]

    @property
    def name(self) -> str:
        return f"{self.colour} {self.shape}".strip()

    def half_extents(self) -> tuple[float, float, float, float]:
        """Left, top, right and bottom of the rotated outline relative to the centre, in pixels."""
        if self.icon is not None:
            wide, tall = (self.radius * share for share in self.ink_extent)
            return -wide, -tall, wide, tall
        points = outline(self.shape, self.angle) * self.radius
        (x1, y1), (x2, y2) = points.min(0), points.max(0)
        return float(x1), float(y1), float(x2), float(y2)


@dataclass(frozen=True)
class Sign:
    """A line of text. `box` (x1, y1, x2, y2) bounds its ink; `plate` is the colour of the board behind it, or None."""

    text: str
    colour: str
    rgb: tuple[int, int, int]
    font: int
    size: int
    box: tuple[int, int, int, int]
    plate: tuple[int, int, int] | None = None


@dataclass(frozen=True)
class Background:
    """A plain colour or a gradient between two colours, with noise and clouds.

    `angle` is the gradient's direction in radians. `noise` and `clouds` are standard deviations in grey levels; clouds
    are soft patches of other colours, as in a photo out of focus.
    """

    first: tuple[int, int, int]
    second: tuple[int, int, int]
    angle: float = 0.0
    noise: float = 0.0
    dark: bool = False
    clouds: float = 0.0


@dataclass(frozen=True)
class Scene:
    """The ground truth of one picture. `things` are in reading order, `signs` from top to bottom."""

    height: int
    width: int
    background: Background
    things: tuple[Thing, ...] = ()
    signs: tuple[Sign, ...] = ()
    style: str = "flat"  # of its shapes, one of `STYLES`
    blur: float = 0.0
    jpeg: int = 0  # JPEG quality, or 0 for no compression

    @property
    def shapes(self) -> tuple[Thing, ...]:
        """The things that are shapes and not icons."""
        return tuple(thing for thing in self.things if thing.colour)

    @property
    def noun(self) -> str:
        """The noun that fits all things of this scene."""
        return "shape" if len(self.shapes) == len(self.things) else "thing"

    def place(self, thing: Thing) -> str:
        """The ninth of the picture that contains the thing's centre, as words."""
        return PLACES[self.row(thing) * 3 + min(2, int(3 * thing.x / self.width))]

    def row(self, thing: Thing) -> int:
        return min(2, int(3 * thing.y / self.height))


def _outlines() -> dict[str, np.ndarray]:
    def ring(angles: np.ndarray, radii: np.ndarray | float = 1.0) -> np.ndarray:
        return np.stack([np.cos(angles) * radii, np.sin(angles) * radii], 1)

    steps = np.arange(48) / 48 * 2 * np.pi
    heart = np.stack(
        [
            16 * np.sin(steps) ** 3,
            -(13 * np.cos(steps) - 5 * np.cos(2 * steps) - 2 * np.cos(3 * steps) - np.cos(4 * steps)),
        ],
        1,
    )
    heart[:, 1] -= (heart[:, 1].min() + heart[:, 1].max()) / 2
    a, b = 0.34, 1.0
    cross = [(-a, -b), (a, -b), (a, -a), (b, -a), (b, a), (a, a), (a, b), (-a, b), (-a, a), (-b, a), (-b, -a), (-a, -a)]
    return {
        "circle": ring(steps),
        "square": np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]) * 0.88,
        "triangle": np.array([(0, -0.95), (1, 0.85), (-1, 0.85)]),
        "star": ring(np.arange(10) / 10 * 2 * np.pi - np.pi / 2, np.tile([1.08, 0.45], 5)),
        "heart": heart / 16,
        "diamond": np.array([(0, -1.05), (0.72, 0), (0, 1.05), (-0.72, 0)]),
        "cross": np.array(cross) * 0.96,
        "hexagon": ring(np.arange(6) / 6 * 2 * np.pi),
    }


_OUTLINES = _outlines()


def outline(shape: str, angle: float) -> np.ndarray:
    """The outline of a shape, (points, 2), with half size 1 around the origin, rotated by `angle` radians."""
    c, s = np.cos(angle), np.sin(angle)
    return _OUTLINES[shape] @ np.array([[c, s], [-s, c]])


def choose(rng: np.random.Generator, options: Sequence[T]) -> T:
    """A random option (`rng.choice` would convert the options to an array)."""
    return options[int(rng.integers(len(options)))]


def random_rgb(rng: np.random.Generator, colour: str) -> tuple[int, int, int]:
    """A jittered tone of a colour; grey for no colour."""
    if not colour:
        return (128, 128, 128)
    red, green, blue = (int(np.clip(v + rng.integers(-8, 9), 0, 255)) for v in choose(rng, TONES[colour]))
    return red, green, blue

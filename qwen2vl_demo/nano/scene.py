"""The things of nano's drawn world: what a scene is, how one is laid out, and how its parts are called.

Contract: a `Scene` is the whole truth about one picture, in pixels of that picture (sizes are (height, width),
positions are (x, y) with y downwards). Everything random comes from the generator that is passed in. This module does
not know how a scene is drawn (draw.py) nor what is asked about it (questions.py).
"""

from dataclasses import dataclass, replace

import numpy as np

from qwen2vl_demo.nano import icons
from qwen2vl_demo.nano.nouns import NOUNS

CELL = 28
SHAPES = ("circle", "square", "triangle", "star", "heart", "diamond", "cross", "hexagon")
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
WORDS: tuple[str, ...] = tuple(_WORDS.split())
CHARACTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789$:"
CHART_PARTS = ("bar", "point")
LETTERS = "ABCDEFGH"  # what bars and points of a chart are called
CELL_LABELS: tuple[str, ...] = (
    "background",
    *(f"{colour} {shape}" for colour in COLOURS for shape in (*SHAPES, *CHART_PARTS)),
    *NOUNS,
    *(f"word {word}" for word in WORDS),
    *(f"digit {digit}" for digit in range(10)),
    *(f"letter {letter}" for letter in LETTERS),
    *("symbol $", "symbol :"),
    "other",
)
LABEL_INDEX = {label: index for index, label in enumerate(CELL_LABELS)}
PLACES = (
    *("at the top left", "at the top", "at the top right"),
    *("on the left", "in the middle", "on the right"),
    *("at the bottom left", "at the bottom", "at the bottom right"),
)


@dataclass(frozen=True)
class Thing:
    """One filled shape: centre and half size in pixels, rotation in radians, `rgb` one of the tones of `colour`.

    An icon has a noun for its shape, no colour, and `icon`, the number of its drawing; `spread` is how much of
    the half size its ink takes to the sides and up and down, `mirrored` whether left and right are exchanged, and
    `tint` (3, 3) what its colours are multiplied by, or ().
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
    spread: tuple[float, float] = (1.0, 1.0)
    mirrored: bool = False
    tint: tuple[tuple[float, float, float], ...] = ()

    @property
    def label(self) -> int:
        return LABEL_INDEX[self.name]

    @property
    def name(self) -> str:
        return f"{self.colour} {self.shape}".strip()

    def half_extents(self) -> tuple[float, float, float, float]:
        """Left, top, right, bottom of the rotated outline relative to the centre, in pixels."""
        if self.icon is not None:
            wide, tall = (self.radius * share for share in self.spread)
            return -wide, -tall, wide, tall
        points = outline(self.shape, self.angle) * self.radius
        (x1, y1), (x2, y2) = points.min(0), points.max(0)
        return float(x1), float(y1), float(x2), float(y2)


@dataclass(frozen=True)
class Sign:
    """One line of text; `box` (x1, y1, x2, y2) is the ink's rectangle in pixels, `plate` the board's colour or None."""

    text: str
    colour: str
    rgb: tuple[int, int, int]
    font: int
    size: int
    box: tuple[int, int, int, int]
    plate: tuple[int, int, int] | None = None


@dataclass(frozen=True)
class Background:
    """Two corner colours (equal when plain), the gradient's direction in radians, the noise in grey levels."""

    first: tuple[int, int, int]
    second: tuple[int, int, int]
    angle: float = 0.0
    noise: float = 0.0
    dark: bool = False


@dataclass(frozen=True)
class Scene:
    """One picture's truth. `things` stand in reading order, `signs` from top to bottom."""

    height: int
    width: int
    background: Background
    things: tuple[Thing, ...] = ()
    signs: tuple[Sign, ...] = ()
    outlined: bool = False
    blur: float = 0.0
    jpeg: int = 0  # quality, or 0 for none

    @property
    def shapes(self) -> tuple[Thing, ...]:
        """The things that have a colour of their own, which icons have not."""
        return tuple(thing for thing in self.things if thing.colour)

    @property
    def noun(self) -> str:
        """What all things of this scene can be called."""
        return "shape" if len(self.shapes) == len(self.things) else "thing"

    def place(self, thing: Thing) -> str:
        """The ninth of the picture that holds the thing's centre, as words."""
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
    """The (points, 2) outline of a shape of half size 1 around the origin, turned by `angle` radians."""
    c, s = np.cos(angle), np.sin(angle)
    return _OUTLINES[shape] @ np.array([[c, s], [-s, c]])


def choose(rng: np.random.Generator, options):  # type: ignore[no-untyped-def]
    """One of the options, without numpy turning it into an array."""
    return options[int(rng.integers(len(options)))]


def random_rgb(rng: np.random.Generator, colour: str) -> tuple[int, int, int]:
    """A jittered tone of a colour; grey where there is none."""
    if not colour:
        return (128, 128, 128)
    red, green, blue = (int(np.clip(v + rng.integers(-8, 9), 0, 255)) for v in choose(rng, TONES[colour]))
    return red, green, blue


def random_background(rng: np.random.Generator, dark_share: float = 0.08) -> Background:
    """White, cream, a pale tint, a soft gradient, light noise, and now and then dark grey."""
    dark = bool(rng.random() < dark_share)
    kind = rng.random()
    if dark:
        level = int(rng.integers(52, 80))
        first = second = (level, level, level + int(rng.integers(0, 10)))
    elif kind < 0.35:
        first = second = (255, 255, 255)
    elif kind < 0.5:
        first = second = choose(rng, ((252, 247, 232), (245, 245, 245), (232, 232, 236), (250, 240, 225)))
    else:
        first = second = _pale(rng)
        if kind > 0.75:
            second = _pale(rng)
    noise = float(rng.uniform(2, 7)) if rng.random() < 0.25 else 0.0
    return Background(first, second, float(rng.uniform(0, 2 * np.pi)), noise, dark)


def _pale(rng: np.random.Generator) -> tuple[int, int, int]:
    red, green, blue = (int(v) for v in rng.integers(218, 256, 3))
    return red, green, blue


def random_size(
    rng: np.random.Generator, low: int = 16, high: int = 64, sides: tuple[int, int] = (3, 10)
) -> tuple[int, int]:
    """A (height, width) in multiples of 28 px with `low`..`high` cells and `sides` cells a side."""
    options = [
        (h * CELL, w * CELL)
        for h in range(sides[0], sides[1] + 1)
        for w in range(sides[0], sides[1] + 1)
        if low <= h * w <= high and max(h, w) <= 3 * min(h, w)
    ]
    height, width = choose(rng, options)
    return height, width


def random_names(rng: np.random.Generator, count: int, dark: bool) -> list[tuple[str, str]]:
    """`count` (colour, shape) pairs, often sharing a shape, a colour or both, so that counting has work to do.

    Where there are icons, two scenes in three hold some or nothing else; their colour is "".
    """
    nouns, dice = icons.nouns(), rng.random()
    if nouns and dice < 0.67:
        few = [choose(rng, nouns) for _ in range(2)] if rng.random() < 0.35 else nouns
        named = [("", choose(rng, few)) for _ in range(count)]
        if dice < 0.42:
            return named
        kept = int(rng.integers(1, count + 1))
        return [*named[:kept], *_shape_names(rng, count - kept, dark)]
    return _shape_names(rng, count, dark)


def _shape_names(rng: np.random.Generator, count: int, dark: bool) -> list[tuple[str, str]]:
    colours = [c for c in COLOURS if not (dark and c == "black")]
    mode = rng.random()
    few_shapes = [choose(rng, SHAPES) for _ in range(2)]
    few_colours = [choose(rng, colours) for _ in range(2)]
    if mode < 0.5:
        return [(choose(rng, colours), choose(rng, SHAPES)) for _ in range(count)]
    if mode < 0.7:
        return [(choose(rng, colours), choose(rng, few_shapes)) for _ in range(count)]
    if mode < 0.85:
        return [(choose(rng, few_colours), choose(rng, SHAPES)) for _ in range(count)]
    return [(choose(rng, few_colours), choose(rng, few_shapes)) for _ in range(count)]


def place_things(
    rng: np.random.Generator,
    height: int,
    width: int,
    names: list[tuple[str, str]],
    taken: tuple[tuple[int, int, int, int], ...] = (),
) -> tuple[Thing, ...]:
    """Lay the named things out without overlap, clear of the `taken` rectangles and of the borders between the ninths.

    Names that find no room are left out; at least the first one always fits a picture of 84 px or more without `taken`.
    """
    things: list[Thing] = []
    # A larger picture may show the same at a larger scale, or more of the same scale.
    scale = float(rng.uniform(1, max(1.0, (height * width / (64 * CELL * CELL)) ** 0.5)))
    for colour, shape in names:
        for attempt in range(30):
            big = bool(rng.random() < 0.5) and attempt < 15
            small, large = (13, 16.5) if colour else (14, 18)
            radius = float(rng.uniform(22, min(32, 0.3 * min(height, width))) if big else rng.uniform(small, large))
            radius *= scale
            reach = radius * 1.1 + 2
            x, y = float(rng.uniform(reach, width - reach)), float(rng.uniform(reach, height - reach))
            if any(abs(x / width - edge) < 0.035 or abs(y / height - edge) < 0.035 for edge in (1 / 3, 2 / 3)):
                continue
            if any(np.hypot(x - t.x, y - t.y) < (radius + t.radius) * 1.08 + 3 for t in things):
                continue
            if any(x1 - reach < x < x2 + reach and y1 - reach < y < y2 + reach for x1, y1, x2, y2 in taken):
                continue
            angle = float(np.radians(rng.uniform(-9, 9))) if rng.random() < 0.4 else 0.0
            made = Thing(shape, colour, random_rgb(rng, colour), x, y, radius, angle, big)
            things.append(made if colour else as_icon(rng, made))
            break
    return tuple(things)


def as_icon(rng: np.random.Generator, thing: Thing) -> Thing:
    """The thing with one of the drawings of its noun, mirrored and in other colours now and then."""
    drawings = icons.pictures(thing.shape)
    index = int(rng.integers(len(drawings)))
    ys, xs = np.nonzero(drawings[index, :, :, 3] > 40)
    spread = ((int(np.ptp(xs)) + 1) / icons.SIDE, (int(np.ptp(ys)) + 1) / icons.SIDE)
    tint = random_tint(rng) if rng.random() < 0.5 else ()
    return replace(thing, angle=0.0, icon=index, spread=spread, mirrored=bool(rng.random() < 0.4), tint=tint)


def random_tint(rng: np.random.Generator) -> tuple[tuple[float, float, float], ...]:
    """A (3, 3) matrix on RGB: colours turned by up to half a radian, paler or stronger, darker or lighter."""
    angle, strength, light = rng.uniform(-0.5, 0.5), rng.uniform(0.4, 1.3), rng.uniform(0.8, 1.1)
    grey = np.full((3, 3), 1 / 3)
    # Rodrigues' rotation about the grey axis; what lies along the axis is brightness and stays.
    cross = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / np.sqrt(3)
    turned = np.cos(angle) * (np.eye(3) - grey) + np.sin(angle) * cross
    first, second, third = ((float(r), float(g), float(b)) for r, g, b in light * (grey + strength * turned))
    return first, second, third


def in_reading_order(height: int, things: tuple[Thing, ...]) -> tuple[Thing, ...]:
    """By thirds from top to bottom, and from left to right within a third."""
    return tuple(sorted(things, key=lambda t: (min(2, int(3 * t.y / height)), t.x)))


def random_scene(rng: np.random.Generator, size: tuple[int, int], most: int = 9) -> Scene:
    """A scene of 1..`most` things; small pictures hold fewer."""
    height, width = size
    background = random_background(rng)
    room = max(2, min(most, height * width // 4200))
    count = int(rng.integers(1, room + 1))
    if count > 6 and rng.random() < 0.4:  # many are rarer than few
        count = int(rng.integers(1, 7))
    names = random_names(rng, count, background.dark)
    things: tuple[Thing, ...] = ()
    while not things:
        things = place_things(rng, height, width, names)
    blur = float(rng.uniform(0.3, 0.7)) if rng.random() < 0.15 else 0.0
    outlined, jpeg = bool(rng.random() < 0.12), int(rng.integers(35, 90)) if rng.random() < 0.12 else 0
    return Scene(height, width, background, in_reading_order(height, things), (), outlined, blur, jpeg)

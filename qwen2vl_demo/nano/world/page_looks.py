"""How a page of text looks, apart from its text: grounds, inks, margins, degradations, and marks beside the print."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from qwen2vl_demo.nano.world.scene import COLOURS, Background, choose, random_rgb
from qwen2vl_demo.nano.world.typesetting import RGB, Mark

_CONTRAST = 90.0  # least difference in brightness, of 255, between print and its ground
_LARGEST_DRAWN = 1600  # px a side


@dataclass(frozen=True)
class Look:
    """The looks of a page. `ink` is the name of `rgb`, or ""; margins are in pixels of the picture."""

    background: Background
    rgb: RGB
    ink: str
    margin_x: float
    margin_y: float
    zoom: float
    angle: float
    blur: float
    jpeg: int


def brightness(rgb: RGB) -> float:
    return 0.3 * rgb[0] + 0.59 * rgb[1] + 0.11 * rgb[2]


def _stands_out(rgb: RGB, background: Background) -> bool:
    grounds = (background.first, background.second)
    return all(abs(brightness(rgb) - brightness(ground)) >= _CONTRAST for ground in grounds)


def random_look(rng: np.random.Generator, size: tuple[int, int]) -> Look:
    """A random look for a page of a (height, width), with margins that keep print inside when it is turned."""
    height, width = size
    background = random_ground(rng)
    ink, rgb = random_ink(rng, background)
    zoom = 1.3 + 1.7 * float(rng.random()) ** 2 if rng.random() < 0.35 else 1.0
    zoom = max(1.0, min(zoom, _LARGEST_DRAWN / max(size)))
    angle = 0.0
    if rng.random() < 0.15:
        most = min(3.5, math.degrees(math.asin(min(1.0, 0.2 * min(size) / max(size)))))
        angle = float(rng.uniform(-most, most))
    turn = abs(math.sin(math.radians(angle))) / 2
    margin = float(rng.uniform(0.02, 0.09)) * min(size)
    margin_x, margin_y = (max(2.0, margin) + turn * other for other in (height, width))
    blur = float(rng.uniform(0.3, 0.9)) if rng.random() < 0.2 else 0.0
    jpeg = int(rng.integers(35, 91)) if rng.random() < 0.25 else 0
    return Look(background, rgb, ink, margin_x, margin_y, zoom, angle, blur, jpeg)


def random_ground(rng: np.random.Generator) -> Background:
    """White, paper, a tint, dark, or a colour; sometimes a gradient, noise or slight clouds."""
    dice = rng.random()
    if dice < 0.3:
        first: RGB = (255, 255, 255)
    elif dice < 0.45:
        first = choose(rng, ((252, 247, 232), (245, 245, 245), (232, 232, 236), (250, 240, 225), (238, 238, 230)))
    elif dice < 0.63:
        first = _between(rng, 190, 256)
    elif dice < 0.83:
        first = _between(rng, 0, 75)
    else:
        first = random_rgb(rng, choose(rng, COLOURS)) if rng.random() < 0.5 else _between(rng, 30, 230)
    second = first
    if rng.random() < 0.12:
        change = rng.integers(-35, 36, 3)
        red, green, blue = (int(v) for v in np.clip(np.add(first, change), 0, 255))
        second = (red, green, blue)
    dark = brightness(first) < 110
    noise = float(rng.uniform(2, 7)) if rng.random() < 0.08 else 0.0
    clouds = float(rng.uniform(4, 12)) if rng.random() < 0.05 else 0.0
    return Background(first, second, float(rng.uniform(0, 2 * np.pi)), noise, dark, clouds)


def _between(rng: np.random.Generator, low: int, high: int) -> RGB:
    red, green, blue = (int(v) for v in rng.integers(low, high, 3))
    return red, green, blue


def random_ink(rng: np.random.Generator, background: Background) -> tuple[str, RGB]:
    """The name of a colour, or "", and a shade of it that stands out from the ground."""
    for _ in range(4):
        dice = rng.random()
        if dice < 0.35:
            name = choose(rng, COLOURS)
            rgb = random_rgb(rng, name)
        elif background.dark:
            name, rgb = "", choose(rng, ((255, 255, 255), (240, 240, 240), (225, 230, 235), (250, 245, 220)))
        else:
            level = int(rng.integers(0, 50)) if dice < 0.9 else int(rng.integers(50, 110))
            name, rgb = "black" if level < 50 else "", (level, level, level)
        if _stands_out(rgb, background):
            return name, rgb
    grounds = (brightness(background.first), brightness(background.second))
    return ("black", (5, 5, 8)) if sum(grounds) / 2 > 127 else ("", (255, 255, 255))


def emphasis_colour(rng: np.random.Generator, look: Look) -> tuple[str, RGB]:
    """The name and a shade of a colour that stands out from ground and ink; ("", ink) if none was found."""
    for _ in range(6):
        name = choose(rng, COLOURS)
        rgb = random_rgb(rng, name)
        if name != look.ink and _stands_out(rgb, look.background) and np.abs(np.subtract(rgb, look.rgb)).sum() > 170:
            return name, rgb
    return "", look.rgb


def line_marks(
    rng: np.random.Generator,
    look: Look,
    kind: str,
    ink: tuple[float, float, float, float],
    at: tuple[float, float],
    room: float,
    column: tuple[float, float],
) -> tuple[Mark, ...]:
    """The "underline", "box" or "rule" of a line whose ink, relative to `at`, is given; `column` is (left, right).

    The marks keep within `room` pixels of the ink.
    """
    (x, y), (left, top, right, bottom) = at, ink
    thick = max(1.0, round(look.zoom * float(rng.uniform(0.8, 1.8))))
    if kind == "box":
        pad = 0.6 * room
        sides = max(1.0, x + left - min(pad, look.margin_x * look.zoom - 1)), x + right + min(pad, look.margin_x - 1)
        box = (sides[0], y + top - pad, sides[1], y + bottom + pad)
        return (Mark(box, outline=look.rgb, radius=int(choose(rng, (0, 0, 0.4 * room, room)))),)
    under = y + bottom + 0.4 * room
    ends = (x + left, x + right) if kind == "underline" else column
    return (Mark((ends[0], under, ends[1], under + thick), fill=look.rgb),)


def distractor_marks(rng: np.random.Generator, size: tuple[int, int], look: Look) -> tuple[Mark, ...]:
    """Nothing, lines, or blobs that are no print."""
    height, width = (side * look.zoom for side in size)
    kind, count = rng.random(), int(rng.integers(1, 9))
    if kind < 0.4:
        return ()
    made: list[Mark] = []
    for _ in range(count):
        x, y = float(rng.uniform(0, 0.8 * width)), float(rng.uniform(0, 0.9 * height))
        wide = float(rng.uniform(0.1, 0.9)) * (width - x)
        if kind < 0.7:
            across = rng.random() < 0.8
            box = (x, y, x + wide, y + 2 * look.zoom) if across else (x, y, x + 2 * look.zoom, min(height, y + wide))
            made.append(Mark(box, fill=look.rgb))
        else:
            tall = float(rng.uniform(4, 0.5 * height + 5))
            rgb = random_rgb(rng, choose(rng, COLOURS))
            made.append(Mark((x, y, x + max(4.0, wide), y + tall), fill=rgb, radius=int(rng.integers(0, 20))))
    return tuple(made)

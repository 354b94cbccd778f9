"""Random layouts of scenes: backgrounds, shapes, icons and signs, and where they are placed.

Everything random comes from the generator that is passed in.
"""

from dataclasses import replace

import numpy as np

from qwen2vl_demo.geometry import FACTOR
from qwen2vl_demo.nano.world import icons
from qwen2vl_demo.nano.world.drawing import font_paths, text_box
from qwen2vl_demo.nano.world.icon_variants import as_icon
from qwen2vl_demo.nano.world.scene import (
    COLOURS,
    SHAPES,
    SIGN_WORDS,
    STYLES,
    Background,
    Scene,
    Sign,
    Thing,
    choose,
    random_rgb,
)

WHITE = (255, 255, 255)
CLOSE_UPS = 0.25  # share of the scenes; a visitor's picture often shows one thing that fills it
TINTED = 0.12  # share of the scenes, and of the dense pictures, on a coloured background
BANNERS = 0.25  # share of the signs that may fill the picture


def random_background(
    rng: np.random.Generator, dark_share: float = 0.08, cloudy_share: float = 0.12, tinted_share: float = 0.0
) -> Background:
    """White, cream, a pale tint or a soft gradient, sometimes dark grey or a colour, with noise and clouds."""
    dark = bool(rng.random() < dark_share)
    kind = rng.random()
    if dark:
        level = int(rng.integers(52, 80))
        first = second = (level, level, level + int(rng.integers(0, 10)))
    elif kind < 0.35:
        first = second = WHITE
    elif kind < 0.5:
        first = second = choose(rng, ((252, 247, 232), (245, 245, 245), (232, 232, 236), (250, 240, 225)))
    else:
        least = 120 if rng.random() < 2 * tinted_share else 218  # doubled, as only half of the backgrounds get here
        first = second = _tint(rng, least)
        if kind > 0.75:
            second = _tint(rng, least)
    noise = float(rng.uniform(2, 7)) if rng.random() < 0.25 else 0.0
    clouds = float(rng.uniform(6, 24)) if rng.random() < cloudy_share else 0.0
    return Background(first, second, float(rng.uniform(0, 2 * np.pi)), noise, dark, clouds)


def _tint(rng: np.random.Generator, least: int) -> tuple[int, int, int]:
    red, green, blue = (int(v) for v in rng.integers(least, 256, 3))
    return red, green, blue


def random_size(
    rng: np.random.Generator, low: int = 16, high: int = 64, sides: tuple[int, int] = (3, 10)
) -> tuple[int, int]:
    """A random (height, width) in multiples of 28 px with `low`..`high` cells and `sides` cells a side."""
    options = [
        (h * FACTOR, w * FACTOR)
        for h in range(sides[0], sides[1] + 1)
        for w in range(sides[0], sides[1] + 1)
        if low <= h * w <= high and max(h, w) <= 3 * min(h, w)
    ]
    height, width = choose(rng, options)
    return height, width


def random_names(rng: np.random.Generator, count: int, dark: bool) -> list[tuple[str, str]]:
    """`count` (colour, shape) pairs that often share a shape or a colour, so that counting is not trivial.

    If there are icons, two scenes in three contain some or consist of them; the colour of an icon is "".
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
    close_up: bool = False,
) -> tuple[Thing, ...]:
    """Place the named things at random, clear of the `taken` rectangles and of the borders between the ninths.

    In one scene in ten things may overlap a little. In a close-up a thing may fill the picture. Names for which there
    is no room are left out; the first one always fits in a picture of 84 px or more a side without `taken`.
    """
    things: list[Thing] = []
    apart, gap = (float(rng.uniform(0.75, 1.0)), 0) if rng.random() < 0.1 else (1.08, 3)
    # A larger picture shows things at a larger scale, or more things, or both.
    scale = float(rng.uniform(1, max(1.0, (height * width / (64 * FACTOR * FACTOR)) ** 0.5)))
    for colour, shape in names:
        for attempt in range(30):
            big = bool(rng.random() < 0.5) and attempt < 15
            small, large = (13, 16.5) if colour else (14, 18)
            radius = float(rng.uniform(22, min(32, 0.3 * min(height, width))) if big else rng.uniform(small, large))
            radius *= scale
            reach = radius * 1.1 + 2
            if close_up:
                margin = 1.1 if colour else 1.0
                largest = min(height, width) / 2 / margin
                big, radius = True, float(rng.uniform(28 if rng.random() < 0.6 else 0.8 * largest, largest))
                reach = radius * margin
            x, y = float(rng.uniform(reach, width - reach)), float(rng.uniform(reach, height - reach))
            if any(abs(x / width - edge) < 0.035 or abs(y / height - edge) < 0.035 for edge in (1 / 3, 2 / 3)):
                continue
            if any(np.hypot(x - t.x, y - t.y) < (radius + t.radius) * apart + gap for t in things):
                continue
            if any(x1 - reach < x < x2 + reach and y1 - reach < y < y2 + reach for x1, y1, x2, y2 in taken):
                continue
            angle = float(np.radians(rng.uniform(-9, 9))) if rng.random() < 0.4 else 0.0
            made = Thing(shape, colour, random_rgb(rng, colour), x, y, radius, angle, big)
            things.append(made if colour else as_icon(rng, made))
            break
    return tuple(things)


def in_reading_order(height: int, things: tuple[Thing, ...]) -> tuple[Thing, ...]:
    """Sorted by horizontal thirds from top to bottom, and from left to right within a third."""
    return tuple(sorted(things, key=lambda t: (min(2, int(3 * t.y / height)), t.x)))


def random_scene(rng: np.random.Generator, size: tuple[int, int], max_things: int = 9) -> Scene:
    """A scene of 1..`max_things` things; fewer in small pictures."""
    height, width = size
    background = random_background(rng, tinted_share=TINTED)
    room = max(2, min(max_things, height * width // 4200))
    count = int(rng.integers(1, room + 1))
    if count > 6 and rng.random() < 0.4:  # many things are less likely than few
        count = int(rng.integers(1, 7))
    close_up = bool(rng.random() < CLOSE_UPS)
    if close_up:
        count = 1 if rng.random() < 0.6 else 2
    names = random_names(rng, count, background.dark)
    things: tuple[Thing, ...] = ()
    while not things:
        things = place_things(rng, height, width, names, close_up=close_up)
    blur = float(rng.uniform(0.3, 0.7)) if rng.random() < 0.15 else 0.0
    jpeg = int(rng.integers(35, 90)) if rng.random() < 0.12 else 0
    if any(_hard_to_see(thing, background) for thing in things if thing.colour):
        background = replace(background, first=WHITE, second=WHITE, dark=False)
    return Scene(height, width, background, in_reading_order(height, things), (), random_style(rng), blur, jpeg)


def random_style(rng: np.random.Generator) -> str:
    """One of `STYLES`; flat in six scenes of ten."""
    return STYLES[0] if rng.random() < 0.6 else choose(rng, STYLES[1:])


def _hard_to_see(thing: Thing, background: Background) -> bool:
    """Whether a shape's colour is close to one of the background's."""
    return any(np.abs(np.subtract(thing.rgb, rgb)).sum() < 110 for rgb in (background.first, background.second))


def random_text(rng: np.random.Generator) -> str:
    """A sign word, or a number or price of up to three digits."""
    if rng.random() < 0.68:
        return str(choose(rng, SIGN_WORDS))
    number = str(int(rng.integers(10, 100) if rng.random() < 0.6 else rng.integers(100, 1000)))
    return f"${number}" if rng.random() < 0.3 and len(number) == 2 else number


def _fit_sign(
    rng: np.random.Generator,
    text: str,
    width: int,
    height: int,
    top: int,
    bottom: int,
    background: Background,
    free: bool,
) -> Sign | None:
    """A sign with this text between the rows `top` and `bottom` of pixels, or None if it would be too small to read.

    `free`: it may get a board.
    """
    font = int(rng.integers(len(font_paths())))
    least = 24 if text in SIGN_WORDS else 30
    ratio_x1, ratio_y1, ratio_x2, ratio_y2 = text_box(font, 100, text)
    room = min(100 * (width - 20) / (ratio_x2 - ratio_x1), 100 * (bottom - top - 16) / (ratio_y2 - ratio_y1))
    if room < least:
        return None
    size = int(rng.integers(least, int(min(room, 160 if rng.random() < BANNERS else 64)) + 1))
    x1, y1, x2, y2 = text_box(font, size, text)
    wide, tall = x2 - x1, y2 - y1
    left = int(rng.integers(9, max(10, width - wide - 9)))
    up = int(rng.integers(top + 8, max(top + 9, bottom - tall - 8)))
    plate: tuple[int, int, int] | None = None
    if free and rng.random() < 0.45:
        board = choose(rng, (*(c for c in COLOURS), "white"))
        plate = (255, 255, 255) if board == "white" else random_rgb(rng, board)
        light = board in ("white", "yellow", "pink")
        ink = choose(rng, ("black", "red", "blue") if board == "white" else ("black",) if light else ("white",))
        plate = (60, 60, 64) if board == "black" and background.dark else plate
    else:
        ink = "white" if background.dark else choose(rng, ("black", "black", "red", "blue", "green", "purple"))
    rgb = (255, 255, 255) if ink == "white" else random_rgb(rng, ink)
    return Sign(text, ink, rgb, font, size, (left, up, left + wide, up + tall), plate)


def random_text_scene(rng: np.random.Generator, size: tuple[int, int]) -> Scene:
    """A scene with one or two signs, and in four of ten a few things beside them."""
    height, width = size
    background = random_background(rng)
    count = 2 if height >= 112 and rng.random() < 0.25 else 1
    signs: list[Sign] = []
    while len(signs) < count:
        top, bottom = len(signs) * height // count, (len(signs) + 1) * height // count
        text = random_text(rng)
        if text in [sign.text for sign in signs]:
            continue
        sign = _fit_sign(rng, text, width, height, top, bottom, background, True)
        if sign is not None:
            signs.append(sign)
    things: tuple[Thing, ...] = ()
    if rng.random() < 0.4:
        taken = tuple((s.box[0] - 6, s.box[1] - 6, s.box[2] + 6, s.box[3] + 6) for s in signs)
        names = random_names(rng, int(rng.integers(1, 4)), background.dark)
        things = in_reading_order(height, place_things(rng, height, width, names, taken))
    return Scene(height, width, background, things, tuple(signs))

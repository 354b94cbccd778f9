"""From a scene to pixels, and to one label a merged token.

Contract: pictures are (H, W, 3) uint8 arrays; every shape is drawn at four times its size and averaged down, so that
the scaled-down pictures of a visitor look alike. Cell labels are (1, H/28, W/28) int64 indices into `CELL_LABELS`.
Fonts are whatever the machine has of a short list, and Pillow's own otherwise. This module does not know what is
asked.
"""

from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from qwen2vl_demo.nano.scene import (
    CELL,
    COLOURS,
    LABEL_INDEX,
    WORDS,
    Background,
    Scene,
    Sign,
    Thing,
    choose,
    in_reading_order,
    outline,
    place_things,
    random_background,
    random_names,
    random_rgb,
)

_SCALE = 4
_FONT_FILES = (
    *("dejavu/DejaVuSans-Bold.ttf", "dejavu/DejaVuSans.ttf", "dejavu/DejaVuSansCondensed-Bold.ttf"),
    *("dejavu/DejaVuSerif-Bold.ttf", "dejavu/DejaVuSansMono-Bold.ttf", "liberation/LiberationSans-Bold.ttf"),
    *("liberation/LiberationSans-Regular.ttf", "liberation/LiberationSerif-Bold.ttf"),
)


@lru_cache(maxsize=1)
def font_paths() -> tuple[str | None, ...]:
    """The fonts to write with; None stands for Pillow's own scalable font."""
    root = Path("/usr/share/fonts/truetype")
    return (None, *(str(root / name) for name in _FONT_FILES if (root / name).is_file()))


@lru_cache(maxsize=512)
def load_font(index: int, size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    path = font_paths()[index]
    return ImageFont.load_default(size=size) if path is None else ImageFont.truetype(path, size)


@lru_cache(maxsize=8192)
def text_box(index: int, size: int, text: str) -> tuple[int, int, int, int]:
    """The ink's rectangle (x1, y1, x2, y2) of a text written at (0, 0), in pixels."""
    x1, y1, x2, y2 = load_font(index, size).getbbox(text)
    return int(x1), int(y1), int(np.ceil(x2)), int(np.ceil(y2))


def draw_background(background: Background, height: int, width: int, rng: np.random.Generator) -> Image.Image:
    """Plain or gradient, with noise from the generator."""
    if background.first == background.second and not background.noise:
        return Image.new("RGB", (width, height), background.first)
    ys, xs = np.linspace(-1, 1, height)[:, None], np.linspace(-1, 1, width)[None]
    mix = np.clip((np.cos(background.angle) * xs + np.sin(background.angle) * ys + 1.4) / 2.8, 0, 1)[..., None]
    pixels = np.asarray(background.first) * (1 - mix) + np.asarray(background.second) * mix
    if background.noise:
        pixels = pixels + rng.standard_normal((height, width, 1), dtype=np.float32) * background.noise
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def thing_mask(thing: Thing, inset: float = 0.0) -> tuple[Image.Image, int, int]:
    """The thing's coverage as an 8-bit mask, with its top left corner in pixels; `inset` shrinks it by pixels."""
    reach = int(thing.radius * 1.4) + 2
    left, top = int(np.floor(thing.x)) - reach, int(np.floor(thing.y)) - reach
    points = outline(thing.shape, thing.angle) * max(0.0, thing.radius - inset)
    points = (points + np.array([thing.x - left, thing.y - top])) * _SCALE
    mask = Image.new("L", (2 * reach * _SCALE, 2 * reach * _SCALE))
    ImageDraw.Draw(mask).polygon([(x, y) for x, y in points.tolist()], fill=255)
    return mask.reduce(_SCALE), left, top


def draw_thing(image: Image.Image, thing: Thing, outlined: bool = False) -> np.ndarray:
    """Draw one thing in place; returns its coverage of the picture, (H, W) from 0 to 1."""
    mask, left, top = thing_mask(thing)
    coverage = Image.new("L", image.size)
    coverage.paste(mask, (left, top))
    if outlined:
        image.paste(tuple(int(v * 0.45) for v in thing.rgb), (left, top), mask)
        inner, left, top = thing_mask(thing, inset=max(1.5, thing.radius * 0.1))
        image.paste(thing.rgb, (left, top), inner)
    else:
        image.paste(thing.rgb, (left, top), mask)
    return np.asarray(coverage, dtype=np.float32) / 255


def cell_share(coverage: np.ndarray) -> np.ndarray:
    """(H, W) coverage to the (H/28, W/28) share of every cell."""
    height, width = coverage.shape
    return coverage.reshape(height // CELL, CELL, width // CELL, CELL).mean((1, 3))


def label_cells(shares: list[tuple[int, np.ndarray]], grid: tuple[int, int]) -> np.ndarray:
    """The label with the largest share of each cell, from a fifth on; a thing's own fullest cell counts from 5 %."""
    labels, best = np.zeros(grid, np.int64), np.zeros(grid)
    for label, share in shares:
        enough = (share > 0.2) | ((share == share.max()) & (share > 0.05))
        wins = enough & (share > best)
        labels[wins], best[wins] = label, share[wins]
    return labels


def sign_shares(sign: Sign, height: int, width: int) -> list[tuple[int, np.ndarray]]:
    """A word's rectangle counts as a whole; a number's is cut into its characters."""

    def rectangle(x1: float, x2: float) -> np.ndarray:
        area = np.zeros((height, width), np.float32)
        area[sign.box[1] : sign.box[3], max(0, int(x1)) : int(np.ceil(x2))] = 1
        return cell_share(area)

    x1, _, x2, _ = sign.box
    if sign.text in WORDS:
        return [(LABEL_INDEX[f"word {sign.text}"], rectangle(x1, x2))]
    font = load_font(sign.font, sign.size)
    ends = [font.getlength(sign.text[:i]) for i in range(len(sign.text) + 1)]
    stretch = (x2 - x1) / max(ends[-1], 1)
    return [
        (LABEL_INDEX["symbol $" if c == "$" else f"digit {c}"], rectangle(x1 + a * stretch, x1 + b * stretch))
        for c, a, b in zip(sign.text, ends[:-1], ends[1:], strict=True)
    ]


def draw_scene(scene: Scene, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """The picture, (H, W, 3) uint8, and its cell labels, (1, H/28, W/28) int64. The generator only makes the noise."""
    image = draw_background(scene.background, scene.height, scene.width, rng)
    shares: list[tuple[int, np.ndarray]] = []
    pen = ImageDraw.Draw(image)
    for sign in scene.signs:
        if sign.plate is not None:
            x1, y1, x2, y2 = sign.box
            pen.rounded_rectangle((x1 - 6, y1 - 6, x2 + 5, y2 + 5), radius=4, fill=sign.plate)
    for sign in scene.signs:
        x, y, _, _ = text_box(sign.font, sign.size, sign.text)
        pen.text((sign.box[0] - x, sign.box[1] - y), sign.text, fill=sign.rgb, font=load_font(sign.font, sign.size))
        shares += sign_shares(sign, scene.height, scene.width)
    shares += [(thing.label, cell_share(draw_thing(image, thing, scene.outlined))) for thing in scene.things]
    if scene.blur:
        image = image.filter(ImageFilter.GaussianBlur(scene.blur))
    grid = (scene.height // CELL, scene.width // CELL)
    return np.array(image), label_cells(shares, grid)[None]


def random_text(rng: np.random.Generator) -> str:
    """A sign word, or a number or price of up to three digits."""
    if rng.random() < 0.68:
        return str(choose(rng, WORDS))
    number = str(int(rng.integers(10, 100) if rng.random() < 0.6 else rng.integers(100, 1000)))
    return f"${number}" if rng.random() < 0.3 and len(number) == 2 else number


def _fit_sign(
    rng: np.random.Generator,
    text: str,
    width: int,
    height: int,
    top: int,
    bottom: int,
    backdrop: Background,
    free: bool,
) -> Sign | None:
    """Write a text into the band between two rows of pixels, or None if it cannot stand there with letters of 16 px."""
    font = int(rng.integers(len(font_paths())))
    least = 24 if text in WORDS else 30
    ratio_x1, ratio_y1, ratio_x2, ratio_y2 = text_box(font, 100, text)
    room = min(100 * (width - 20) / (ratio_x2 - ratio_x1), 100 * (bottom - top - 16) / (ratio_y2 - ratio_y1))
    if room < least:
        return None
    size = int(rng.integers(least, int(min(room, 64)) + 1))
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
        plate = (60, 60, 64) if board == "black" and backdrop.dark else plate
    else:
        ink = "white" if backdrop.dark else choose(rng, ("black", "black", "red", "blue", "green", "purple"))
    rgb = (255, 255, 255) if ink == "white" else random_rgb(rng, ink)
    return Sign(text, ink, rgb, font, size, (left, up, left + wide, up + tall), plate)


def random_text_scene(rng: np.random.Generator, size: tuple[int, int]) -> Scene:
    """One or two texts, with a few shapes beside them in a third of the pictures."""
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

"""Out-of-domain pictures and clips, from which nano learns to say that it cannot tell what something is.

They are synthetic stand-ins for photographs: smooth blobs, clouds, stripes, noise, walls, rough landscapes, pages of
small print, and lit solids like pebbles, coins and figures, some of them in black and white. Each comes with its main
colour, counted over the final pixels, or None if it clearly has none.
"""

import colorsys

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from qwen2vl_demo.nano.world.drawing import font_paths, load_font

MAIN_COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "brown", "grey", "white", "black")
CLEAR, DOUBTFUL = 0.55, 0.1  # a main colour's share of the pixels; pictures within this margin of it are discarded
_HUES = {"red": 0.0, "orange": 0.075, "yellow": 0.145, "green": 0.34, "blue": 0.6, "purple": 0.77, "pink": 0.91}


def _field(rng: np.random.Generator, height: int, width: int, octaves: tuple[int, ...]) -> np.ndarray:
    """Value noise from 0 to 1: the sum of enlarged random grids of the given sizes, with more weight on coarse ones."""
    total = np.zeros((height, width), np.float32)
    for index, cells in enumerate(octaves):
        small = Image.fromarray(rng.random((cells, cells), dtype=np.float32))
        total += np.asarray(small.resize((width, height), Image.Resampling.BICUBIC)) * 0.55**index
    low, high = float(total.min()), float(total.max())
    return (total - low) / max(high - low, 1e-6)


def _colour(rng: np.random.Generator) -> str:
    return MAIN_COLOURS[int(rng.integers(len(MAIN_COLOURS)))]


def _tone(rng: np.random.Generator, colour: str) -> np.ndarray:
    if colour in _HUES:
        saturation = rng.uniform(0.55, 0.75) if colour == "pink" else rng.uniform(0.65, 0.95)
        hue = (_HUES[colour] + rng.uniform(-0.02, 0.02)) % 1
        return np.array(colorsys.hsv_to_rgb(hue, saturation, rng.uniform(0.6, 0.95))) * 255
    level = {"brown": None, "grey": rng.uniform(100, 165), "white": 246.0, "black": 18.0}[colour]
    return np.array((115, 70, 35)) * rng.uniform(0.8, 1.15) if level is None else np.full(3, level)


def main_colour(pixels: np.ndarray) -> tuple[str, float]:
    """The most frequent colour word of the pixels, and its share of them."""
    small = pixels[::4, ::4].reshape(-1, 3).astype(np.float32) / 255
    value, least = small.max(1), small.min(1)
    chroma = value - least
    safe = np.maximum(chroma, 1e-6)
    red, green, blue = small.T
    hue = (
        np.where(
            value == red,
            (green - blue) / safe % 6,
            np.where(value == green, (blue - red) / safe + 2, (red - green) / safe + 4),
        )
        / 6
    )
    saturation = chroma / np.maximum(value, 1e-6)
    names = np.full(len(small), "red", dtype="<U6")
    for low, high, name in (
        *((0.04, 0.11, "orange"), (0.11, 0.19, "yellow"), (0.19, 0.46, "green"), (0.46, 0.7, "blue")),
        *((0.7, 0.83, "purple"), (0.83, 0.96, "pink")),
    ):
        names[(hue >= low) & (hue < high)] = name
    names[np.isin(names, ("orange", "red", "yellow")) & (hue > 0.02) & (hue < 0.15) & (value < 0.58)] = "brown"
    grey = saturation < 0.18
    names[grey] = "grey"
    names[grey & (value > 0.88)] = "white"
    names[value < 0.2] = "black"
    words, counts = np.unique(names, return_counts=True)
    return str(words[counts.argmax()]), float(counts.max() / len(names))


def _wall(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Rows of rough bricks or tiles, each of its own brightness: (H, W, 1) from 0 in the joints to 1."""
    tall = rng.uniform(12, 60)
    long = tall * rng.uniform(1, 3)
    bend = (_field(rng, height, width, (3, 7)) - 0.5) * tall * float(rng.uniform(0, 0.5))
    rows = (np.arange(height)[:, None] + bend + rng.uniform(0, tall)) / tall
    shift = float(rng.choice((0.0, 0.5)))
    columns = (np.arange(width)[None] + bend) / long + shift * (np.floor(rows) % 2) + rng.uniform(0, 1)
    joint = rng.uniform(0.03, 0.15)
    inside = (rows % 1 > joint) & (columns % 1 > joint * tall / long)
    brightness = rng.uniform(0.6, 1, (7, 11))[np.floor(rows).astype(int) % 7, np.floor(columns).astype(int) % 11]
    rough = 0.75 + 0.25 * _field(rng, height, width, (9, 24, 52))
    return (np.where(inside, brightness, 0.0) * rough)[..., None]


def _page(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """An unevenly lit page with print too small for nano, slightly rotated and blurred: (H, W, 1) from 0 to 255."""
    size, y = int(rng.integers(5, 12)), float(rng.uniform(-5, 20))
    font = load_font(int(rng.integers(len(font_paths()))), size)
    left, right = float(rng.uniform(-10, 20)), width + float(rng.uniform(-20, 60))
    ink = Image.new("L", (width, height))
    pen = ImageDraw.Draw(ink)
    while y < height:
        letters = rng.integers(97, 123, int(2.5 * width / size))
        letters[rng.random(len(letters)) < 0.18] = 32
        end = right if rng.random() < 0.8 else rng.uniform(left + 20, right)
        text = bytes(letters.tolist()).decode()
        while font.getlength(text) > end - left:
            text = text[: int(0.9 * len(text))]
        pen.text((left, y), text, fill=255, font=font)
        y += size * float(rng.uniform(1.1, 1.5)) * (1 if rng.random() < 0.85 else 2.5)
    ink = ink.rotate(float(rng.uniform(-6, 6)), Image.Resampling.BILINEAR)
    ink = ink.filter(ImageFilter.GaussianBlur(float(rng.uniform(0, 0.8))))
    page = rng.uniform(140, 250) * (0.75 + 0.25 * _field(rng, height, width, (2, 3)))
    return (page * (1 - rng.uniform(0.5, 0.95) * np.asarray(ink, np.float32) / 255))[..., None]


def _solids(rng: np.random.Generator, background: np.ndarray) -> np.ndarray:
    """The picture (H, W, 3) with rough, dented ellipsoids lit from one side: a few, many, or a heap of limbs."""
    pixels = background.copy()
    height, width = pixels.shape[:2]
    least, dice = min(height, width), rng.random()
    many, limbs = dice < 0.4, dice > 0.75
    count = int(rng.integers(5, 20)) if many else int(rng.integers(4, 9)) if limbs else int(rng.integers(1, 4))
    reach = rng.uniform(0.06, 0.14) if many else rng.uniform(0.15, 0.3) if limbs else rng.uniform(0.2, 0.45)
    tone, light = _tone(rng, _colour(rng)), rng.uniform(0, 2 * np.pi)
    middle = rng.uniform(0.35, 0.65, 2) * (height, width)
    rough = 0.7 + 0.6 * _field(rng, height, width, (11, 26, 60))
    ys, xs = np.mgrid[:height, :width].astype(np.float32)
    for _ in range(count):
        if not limbs:
            middle = rng.uniform(0, 1, 2) * (height, width)
        y, x = middle + (rng.normal(0, 0.16 * least, 2) if limbs else 0)
        radius = reach * least * float(rng.uniform(0.7, 1.2))
        flat, turn = float(rng.uniform(0.25, 0.6) if limbs else rng.uniform(0.75, 1)), rng.uniform(0, np.pi)
        dy, dx = (ys - y) / radius, (xs - x) / radius
        u, v = np.cos(turn) * dx + np.sin(turn) * dy, (np.cos(turn) * dy - np.sin(turn) * dx) / flat
        angle = np.arctan2(v, u)
        rim = 1 + 0.06 * np.sin(3 * angle + rng.uniform(0, 6)) + 0.04 * np.sin(5 * angle + rng.uniform(0, 6))
        inside = np.clip((rim - np.hypot(u, v)) * radius, 0, 1)[..., None]
        lit = 0.75 + rng.uniform(0.1, 0.45) * (np.cos(light) * dx + np.sin(light) * dy)
        colour = tone * rng.uniform(0.6, 1.15) if rng.random() < 0.85 else _tone(rng, _colour(rng))
        pixels = pixels * (1 - inside) + colour * (lit * rough)[..., None] * inside
    return pixels


def random_out_of_domain(rng: np.random.Generator, height: int, width: int) -> tuple[np.ndarray, str | None]:
    """A picture (H, W, 3) uint8 and its main colour, or None. Ambiguous pictures are discarded."""
    while True:
        pixels = _outside(rng, height, width)
        word, share = main_colour(pixels)
        if abs(share - CLEAR) > DOUBTFUL:
            return pixels, word if share > CLEAR else None


def random_out_of_domain_clip(
    rng: np.random.Generator, frames: int, height: int, width: int
) -> tuple[np.ndarray, str | None]:
    """The same as a clip, (T, H, W, 3): the camera pans over the picture or stands still."""
    while True:
        reach = rng.integers(0, (height // 2, width // 2), endpoint=True)
        pixels = _outside(rng, height + int(reach[0]), width + int(reach[1]))
        way = np.linspace(0, 1, frames) * (1 if rng.random() < 0.8 else 0)
        downs, rights = (np.rint(far * (way if rng.random() < 0.5 else 1 - way)).astype(int) for far in reach)
        clip = np.stack([pixels[y : y + height, x : x + width] for y, x in zip(downs, rights, strict=True)])
        word, share = main_colour(clip.reshape(-1, width, 3))
        if abs(share - CLEAR) > DOUBTFUL:
            return clip, word if share > CLEAR else None


def _outside(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    main, other = _tone(rng, _colour(rng)), _tone(rng, _colour(rng))
    kind = min(int(rng.integers(9)), 7)  # a page is twice as likely as each of the others
    if kind == 0:  # noise
        spread = float(rng.uniform(20, 70))
        pixels = main + rng.standard_normal((height, width, 3), dtype=np.float32) * spread
    elif kind == 1:  # a landscape: sky, and two ragged ranges of hills
        sky, steps = (
            _tone(rng, "blue" if rng.random() < 0.6 else "white"),
            np.linspace(0.7, 1.15, height)[:, None, None],
        )
        pixels = np.broadcast_to(sky * steps, (height, width, 3)).copy()
        rough = _field(rng, height, width, (4, 9, 20, 44))
        for depth, base in enumerate((rng.uniform(0.2, 0.5), rng.uniform(0.5, 0.8))):
            edge = height * (base + 0.3 * (rough[depth * (height // 2)] - 0.5))
            below = np.arange(height)[:, None] > edge[None]
            pixels[below] = ((main, other)[depth] * (0.6 + 0.6 * rough[..., None]))[below]
    elif kind == 2:  # soft stripes
        angle, period = rng.uniform(0, np.pi), rng.uniform(8, 40)
        ys, xs = np.mgrid[:height, :width]
        bend = _field(rng, height, width, (3, 6)) * period * float(rng.uniform(0, 2))
        wave = np.sin(2 * np.pi * (np.cos(angle) * xs + np.sin(angle) * ys + bend) / period)[..., None]
        pixels = main * (0.85 + 0.2 * wave) if rng.random() < 0.5 else np.where(wave > 0.4, other, main)
    elif kind == 3:  # a wall, its joints darker or lighter
        wall = _wall(rng, height, width)
        pixels = main * wall + (other if rng.random() < 0.5 else main * 0.4) * (1 - wall)
    elif kind == 7:  # a printed page
        pixels = _page(rng, height, width) * np.ones(3) * (1 if rng.random() < 0.7 else rng.uniform(0.7, 1, 3))
    else:  # blobs, clouds, and rough ground
        octaves = ((3, 5), (4, 8, 16), (5, 11, 24, 52))[kind - 4]
        first = _field(rng, height, width, octaves)[..., None]
        shade = 0.65 + 0.5 * _field(rng, height, width, octaves)[..., None]
        mix = np.clip((first - rng.uniform(0.5, 0.8)) * 5 + 0.5, 0, 1)
        pixels = (main * (1 - mix) + other * mix) * shade
    if rng.random() < 0.35 and kind not in (0, 7):
        pixels = _solids(rng, pixels)
    if rng.random() < 0.12:  # out of focus
        blurred = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
        pixels = np.asarray(blurred.filter(ImageFilter.GaussianBlur(float(rng.uniform(1, 7)))), np.float32)
    if rng.random() < 0.4 and kind:
        pixels = pixels + rng.standard_normal((height, width, 1), dtype=np.float32) * float(rng.uniform(3, 12))
    if rng.random() < 0.25:  # black and white
        pixels = np.broadcast_to(pixels.mean(2, keepdims=True), pixels.shape)
    return np.clip(pixels, 0, 255).astype(np.uint8)

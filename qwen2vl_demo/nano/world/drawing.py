"""From a scene to pixels, and to the truth about each merged token.

Contract: pictures are (H, W, 3) uint8 arrays; every shape is drawn at four times its size and averaged down, so that
the scaled-down pictures of a visitor look alike. The truth of a cell of 28x28 px is its label, an index into
`CELL_LABELS`, and its edges (`Cells`).
Fonts are whatever the machine has of a short list, and Pillow's own otherwise. This module does not know what is
asked.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageFont

from qwen2vl_demo.nano.world import icons
from qwen2vl_demo.nano.world.scene import (
    CELL,
    CHARACTERS,
    COLOURS,
    LABEL_INDEX,
    WORDS,
    Background,
    Scene,
    Sign,
    Thing,
    outline,
)

_SCALE = 4
_SMOOTH = Image.Resampling.BILINEAR
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
    """Plain or gradient, with noise and clouds from the generator."""
    if background.first == background.second and not background.noise and not background.clouds:
        return Image.new("RGB", (width, height), background.first)
    ys, xs = np.linspace(-1, 1, height)[:, None], np.linspace(-1, 1, width)[None]
    mix = np.clip((np.cos(background.angle) * xs + np.sin(background.angle) * ys + 1.4) / 2.8, 0, 1)[..., None]
    pixels = np.asarray(background.first) * (1 - mix) + np.asarray(background.second) * mix
    if background.clouds:
        few = rng.standard_normal((*rng.integers(3, 7, 2), 3), dtype=np.float32) * background.clouds
        large = [Image.fromarray(few[..., i]).resize((width, height), Image.Resampling.BICUBIC) for i in range(3)]
        pixels = pixels + np.stack([np.asarray(channel) for channel in large], -1)
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


def _shaded(thing: Thing, side: int) -> Image.Image:
    """Its colour on a square: lit from the upper left, as on a ball."""
    ys, xs = np.linspace(-1, 1, side)[:, None], np.linspace(-1, 1, side)[None]
    light = np.clip(1.2 - 0.45 * np.hypot(xs + 0.4, ys + 0.4), 0.6, 1.2)[..., None]
    return Image.fromarray(np.clip(np.asarray(thing.rgb) * light, 0, 255).astype(np.uint8))


def _striped(thing: Thing, side: int) -> Image.Image:
    """Slanted stripes of its colour and a darker one on a square."""
    ys, xs = np.mgrid[:side, :side]
    bright = ((xs + ys) // max(4, thing.radius * 0.3) % 2 == 0)[..., None]
    return Image.fromarray(np.where(bright, thing.rgb, np.asarray(thing.rgb) * 0.75).astype(np.uint8))


def draw_thing(image: Image.Image, thing: Thing, style: str = "flat") -> np.ndarray:
    """Draw one thing in place, a shape in one of the styles; returns its coverage of the picture, (H, W) from 0 to 1,
    in which a hollow shape counts as if it were filled."""
    if thing.icon is not None:
        return _draw_icon(image, thing)
    mask, left, top = thing_mask(thing)
    coverage = Image.new("L", image.size)
    coverage.paste(mask, (left, top))
    if style == "outlined":
        image.paste(tuple(int(v * 0.45) for v in thing.rgb), (left, top), mask)
        inner, left, top = thing_mask(thing, inset=max(1.5, thing.radius * 0.1))
        image.paste(thing.rgb, (left, top), inner)
    elif style == "hollow":
        inner, _, _ = thing_mask(thing, inset=max(2.5, thing.radius * 0.15))
        image.paste(thing.rgb, (left, top), ImageChops.subtract(mask, inner))
    elif style == "shaded":
        image.paste(_shaded(thing, mask.width), (left, top), mask)
    elif style == "striped":
        image.paste(_striped(thing, mask.width), (left, top), mask)
    else:
        image.paste(thing.rgb, (left, top), mask)
    return np.asarray(coverage, dtype=np.float32) / 255


def _in_pixels(warp: Sequence[float]) -> tuple[float, ...]:
    """A map between points in half sides around the middle as one between the pixels of two drawings."""
    (a, b, c), (d, e, f), half = warp[:3], warp[3:], icons.SIDE / 2
    return a, b, half * (1 + c - a - b), d, e, half * (1 + f - d - e)


def _draw_icon(image: Image.Image, thing: Thing) -> np.ndarray:
    drawing = Image.fromarray(icons.pictures(thing.shape)[thing.icon])
    side = max(2, round(2 * thing.radius))
    if thing.warp:
        drawing = drawing.transform(drawing.size, Image.Transform.AFFINE, _in_pixels(thing.warp), _SMOOTH)
    drawing = drawing.resize((side, side), Image.Resampling.BOX if side <= icons.SIDE else Image.Resampling.BICUBIC)
    if thing.tint:
        colours, alpha = np.split(np.asarray(drawing), (3,), axis=2)
        tinted = np.clip(colours @ np.asarray(thing.tint, np.float32).T, 0, 255).astype(np.uint8)
        drawing = Image.fromarray(np.concatenate([tinted, alpha], 2))
    at = (round(thing.x - side / 2), round(thing.y - side / 2))
    image.paste(drawing, at, drawing)
    coverage = Image.new("L", image.size)
    coverage.paste(drawing.getchannel("A"), at)
    return np.asarray(coverage, dtype=np.float32) / 255


Box = tuple[float, float, float, float]  # left, top, right, bottom, in pixels


@dataclass(frozen=True)
class Mark:
    """Something that lies in a picture: its label, the share of every cell that it takes, its box, and the colour of
    what is written there."""

    label: int
    share: np.ndarray  # (H/28, W/28)
    box: Box
    ink: str = ""


@dataclass(frozen=True)
class Cells:
    """The truth of every cell: its label (h, w), and of what lies there (h, w, 5): whether its centre is in this cell,
    and how far its left, top, right and bottom edges are from the cell's centre, in cells. Not a number where nothing
    lies. And the characters whose centre lies in its left, middle and right third (h, w, 3), 1 + an index into
    `CHARACTERS`, or 0 where there is none. And what the amount or the bar in it belongs to (h, w), 1 + an index into
    `HEADINGS`, or 0: the name of what a price is for stands in other cells, and so does the letter of a bar. And the
    colour of what is written in it (h, w), 1 + an index into `COLOURS`, or 0 for nothing and for white.
    """

    labels: np.ndarray
    edges: np.ndarray
    characters: np.ndarray
    headings: np.ndarray
    inks: np.ndarray


def empty_cells(grid: tuple[int, int], label: int = 0) -> Cells:
    """Cells (h, w) that all have one label, with nothing that has edges or letters."""
    edges = np.full((*grid, 5), np.nan, np.float32)
    characters, headings, inks = (np.zeros((*grid, *more), np.int64) for more in ((3,), (), ()))
    return Cells(np.full(grid, label, np.int64), edges, characters, headings, inks)


def box_of(thing: Thing) -> Box:
    x1, y1, x2, y2 = thing.half_extents()
    return thing.x + x1, thing.y + y1, thing.x + x2, thing.y + y2


def cell_share(coverage: np.ndarray) -> np.ndarray:
    """(H, W) coverage to the (H/28, W/28) share of every cell."""
    height, width = coverage.shape
    return coverage.reshape(height // CELL, CELL, width // CELL, CELL).mean((1, 3))


def label_cells(marks: Sequence[Mark], grid: tuple[int, int], signs: Sequence[Sign] = ()) -> Cells:
    """The label with the largest share of each cell, from a fifth on; a thing's own fullest cell counts from 5 %."""
    cells, best = empty_cells(grid), np.zeros(grid)
    labels, edges = cells.labels, cells.edges
    rows, columns = np.indices(grid) + 0.5
    for mark in marks:
        share = mark.share
        enough = (share > 0.2) | ((share == share.max()) & (share > 0.05))
        wins = enough & (share > best)
        labels[wins], best[wins] = mark.label, share[wins]
        cells.inks[wins] = 1 + COLOURS.index(mark.ink) if mark.ink in COLOURS else 0
        x1, y1, x2, y2 = (side / CELL for side in mark.box)
        middle = (rows - 0.5 == int((y1 + y2) / 2)) & (columns - 0.5 == int((x1 + x2) / 2))
        truth = np.stack([middle, x1 - columns, y1 - rows, x2 - columns, y2 - rows], -1)
        edges[wins] = truth[wins]
    for sign in signs:
        row = int((sign.box[1] + sign.box[3]) / 2 / CELL)
        for character, left, right in spread(sign):
            third = int((left + right) / 2 / CELL * 3)
            if 0 <= row < grid[0] and 0 <= third < 3 * grid[1]:
                cells.characters[row, third // 3, third % 3] = 1 + CHARACTERS.index(character)
    return cells


def rectangle_mark(label: int, box: Box, height: int, width: int, ink: str = "") -> Mark:
    area = np.zeros((height, width), np.float32)
    area[max(0, int(box[1])) : int(np.ceil(box[3])), max(0, int(box[0])) : int(np.ceil(box[2]))] = 1
    return Mark(label, cell_share(area), box, ink)


def spread(sign: Sign) -> list[tuple[str, float, float]]:
    """Each character of a sign, with where it begins and ends from left to right, in pixels."""
    x1, _, x2, _ = sign.box
    font = load_font(sign.font, sign.size)
    ends = [font.getlength(sign.text[:i]) for i in range(len(sign.text) + 1)]
    stretch = (x2 - x1) / max(ends[-1], 1)
    return [(c, x1 + a * stretch, x1 + b * stretch) for c, a, b in zip(sign.text, ends[:-1], ends[1:], strict=True)]


def sign_marks(sign: Sign, height: int, width: int) -> list[Mark]:
    """A word's rectangle counts as a whole; what is no word is cut into its characters."""

    def mark(label: str, left: float, right: float) -> Mark:
        return rectangle_mark(LABEL_INDEX[label], (left, sign.box[1], right, sign.box[3]), height, width, sign.colour)

    if sign.text in WORDS:
        return [mark(f"word {sign.text}", sign.box[0], sign.box[2])]
    return [mark(character_label(c), left, right) for c, left, right in spread(sign)]


def character_label(character: str) -> str:
    kind = "digit" if character.isdigit() else "letter" if character.isalpha() else "symbol"
    return f"{kind} {character}"


def draw_scene(scene: Scene, rng: np.random.Generator) -> tuple[np.ndarray, Cells]:
    """The picture, (H, W, 3) uint8, and the truth of its cells. The generator only makes the noise."""
    image = draw_background(scene.background, scene.height, scene.width, rng)
    marks = draw_signs(image, scene.signs)
    for thing in scene.things:
        share = cell_share(draw_thing(image, thing, scene.style))
        marks.append(Mark(thing.label, share, box_of(thing)))
    if scene.blur:
        image = image.filter(ImageFilter.GaussianBlur(scene.blur))
    if scene.jpeg:
        image = compressed(image, scene.jpeg)
    return np.array(image), label_cells(marks, (scene.height // CELL, scene.width // CELL), scene.signs)


def compressed(image: Image.Image, quality: int) -> Image.Image:
    """The picture as it comes back from a JPEG file."""
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return Image.open(file).convert("RGB")


def draw_signs(image: Image.Image, signs: Sequence[Sign]) -> list[Mark]:
    """Write the signs in place, boards first."""
    marks: list[Mark] = []
    pen = ImageDraw.Draw(image)
    for sign in signs:
        if sign.plate is not None:
            x1, y1, x2, y2 = sign.box
            pen.rounded_rectangle((x1 - 6, y1 - 6, x2 + 5, y2 + 5), radius=4, fill=sign.plate)
    for sign in signs:
        x, y, _, _ = text_box(sign.font, sign.size, sign.text)
        pen.text((sign.box[0] - x, sign.box[1] - y), sign.text, fill=sign.rgb, font=load_font(sign.font, sign.size))
        marks += sign_marks(sign, image.height, image.width)
    return marks

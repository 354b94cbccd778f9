"""Draw a scene: its pixels, and the ground truth of each merged token.

Pictures are (H, W, 3) uint8 arrays. Shapes are drawn at four times their size and averaged down, so that they are
antialiased like a visitor's resized pictures. A cell is the 28x28 px of one merged token (see `CellTruth`). Fonts are
those of a short list that the machine has, and Pillow's own.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageFont

from qwen2vl_demo.geometry import FACTOR
from qwen2vl_demo.nano.world import icons
from qwen2vl_demo.nano.world.scene import (
    CELL_CHARACTERS,
    CHARACTERS,
    COLOURS,
    LABEL_INDEX,
    SIGN_WORDS,
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
    """The available fonts; None stands for Pillow's own scalable font."""
    root = Path("/usr/share/fonts/truetype")
    return (None, *(str(root / name) for name in _FONT_FILES if (root / name).is_file()))


@lru_cache(maxsize=512)
def load_font(index: int, size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    path = font_paths()[index]
    return ImageFont.load_default(size=size) if path is None else ImageFont.truetype(path, size)


@lru_cache(maxsize=8192)
def text_box(index: int, size: int, text: str) -> tuple[int, int, int, int]:
    """The bounding box (x1, y1, x2, y2) of the ink of a text at (0, 0), in pixels."""
    x1, y1, x2, y2 = load_font(index, size).getbbox(text)
    return int(x1), int(y1), int(np.ceil(x2)), int(np.ceil(y2))


def draw_background(background: Background, height: int, width: int, rng: np.random.Generator) -> Image.Image:
    """Draw a background; the generator provides its noise and clouds."""
    if background.first == background.second and not background.noise and not background.clouds:
        return Image.new("RGB", (width, height), background.first)
    pixels = np.empty((height, width, 3), np.float32)
    pixels[:] = background.first
    if background.first != background.second:
        ys, xs = np.linspace(-1, 1, height, dtype=np.float32)[:, None], np.linspace(-1, 1, width, dtype=np.float32)
        mix = (np.float32(np.cos(background.angle)) * xs + np.float32(np.sin(background.angle)) * ys + 1.4) / 2.8
        change = np.subtract(background.second, background.first).astype(np.float32)
        pixels += np.clip(mix, 0, 1)[..., None] * change
    if background.clouds:
        few = rng.standard_normal((*rng.integers(3, 7, 2), 3), dtype=np.float32) * background.clouds
        for channel in range(3):
            large = Image.fromarray(few[..., channel]).resize((width, height), Image.Resampling.BICUBIC)
            pixels[..., channel] += np.asarray(large)
    if background.noise:
        pixels += rng.standard_normal((height, width, 1), dtype=np.float32) * background.noise
    return Image.fromarray(np.clip(pixels, 0, 255, out=pixels).astype(np.uint8))


def thing_mask(thing: Thing, inset: float = 0.0) -> tuple[Image.Image, int, int]:
    """The coverage of a shape as an 8-bit mask, and the mask's left and top in the picture; `inset` pixels smaller."""
    reach = int(thing.radius * 1.4) + 2
    left, top = int(np.floor(thing.x)) - reach, int(np.floor(thing.y)) - reach
    points = outline(thing.shape, thing.angle) * max(0.0, thing.radius - inset)
    points = (points + np.array([thing.x - left, thing.y - top])) * _SCALE
    mask = Image.new("L", (2 * reach * _SCALE, 2 * reach * _SCALE))
    ImageDraw.Draw(mask).polygon([(x, y) for x, y in points.tolist()], fill=255)
    return mask.reduce(_SCALE), left, top


def _shaded(thing: Thing, side: int) -> Image.Image:
    """A square in the shape's colour, shaded like a ball that is lit from the upper left."""
    ys, xs = np.linspace(-1, 1, side)[:, None], np.linspace(-1, 1, side)[None]
    light = np.clip(1.2 - 0.45 * np.hypot(xs + 0.4, ys + 0.4), 0.6, 1.2)[..., None]
    return Image.fromarray(np.clip(np.asarray(thing.rgb) * light, 0, 255).astype(np.uint8))


def _striped(thing: Thing, side: int) -> Image.Image:
    """A square with diagonal stripes of the shape's colour and a darker one."""
    ys, xs = np.mgrid[:side, :side]
    bright = ((xs + ys) // max(4, thing.radius * 0.3) % 2 == 0)[..., None]
    return Image.fromarray(np.where(bright, thing.rgb, np.asarray(thing.rgb) * 0.75).astype(np.uint8))


def draw_thing(image: Image.Image, thing: Thing, style: str = "flat") -> np.ndarray:
    """Draw one thing onto the picture, a shape in one of `STYLES`; its coverage of the picture, (H, W) from 0 to 1.

    A hollow shape counts as if it were filled.
    """
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
    """`Thing.warp`, which maps half sides around the middle, as Pillow's affine map between pixels of a drawing."""
    (a, b, c), (d, e, f), half = warp[:3], warp[3:], icons.SIDE / 2
    return a, b, half * (1 + c - a - b), d, e, half * (1 + f - d - e)


def _draw_icon(image: Image.Image, thing: Thing) -> np.ndarray:
    drawing = Image.fromarray(icons.drawings(thing.shape)[thing.icon])
    side = max(2, round(2 * thing.radius))
    if thing.warp:
        drawing = drawing.transform(drawing.size, Image.Transform.AFFINE, _in_pixels(thing.warp), _SMOOTH)
    drawing = drawing.resize((side, side), Image.Resampling.BOX if side <= icons.SIDE else Image.Resampling.BICUBIC)
    if thing.tint:
        colours, alpha = np.split(np.asarray(drawing), (3,), axis=2)
        tinted = np.clip(colours @ np.asarray(thing.tint, np.float32).T, 0, 255).astype(np.uint8)
        drawing = Image.fromarray(np.concatenate([tinted, alpha], 2))
    corner = (round(thing.x - side / 2), round(thing.y - side / 2))
    image.paste(drawing, corner, drawing)
    coverage = Image.new("L", image.size)
    coverage.paste(drawing.getchannel("A"), corner)
    return np.asarray(coverage, dtype=np.float32) / 255


Box = tuple[float, float, float, float]  # left, top, right, bottom, in pixels


@dataclass(frozen=True)
class Region:
    """A labelled part of a picture: the share of every cell that it covers, its box, and the colour of its text."""

    label: int
    share: np.ndarray  # (H/28, W/28)
    box: Box
    ink: str = ""


@dataclass(frozen=True)
class CellTruth:
    """The ground truth of all cells of a picture, or of two frames of a clip.

    `labels`: what the cell shows, an index into `CELL_LABELS`, or NOT_ASKED.
    `edges`: whether the centre of what it shows lies in this cell (0 or 1), and the distances of its left, top, right
    and bottom edges from the cell's centre, in cells; NaN for the background.
    `characters`: the first characters centred in it, in reading order, 1 + an index into `CHARACTERS`, or 0.
    `headings`: what the amount or the bar in it belongs to, 1 + an index into `HEADINGS`, or 0. The item of a price and
    the letter of a bar are printed in other cells.
    `inks`: the colour of the text in it, 1 + an index into `COLOURS`, or 0 for no text and for white.
    """

    labels: np.ndarray  # (h, w) int64
    edges: np.ndarray  # (h, w, 5) float32
    characters: np.ndarray  # (h, w, CELL_CHARACTERS) int64
    headings: np.ndarray  # (h, w) int64
    inks: np.ndarray  # (h, w) int64


def empty_cells(grid: tuple[int, int], label: int = 0) -> CellTruth:
    """A grid (h, w) of cells that have one label, and neither edges nor characters."""
    edges = np.full((*grid, 5), np.nan, np.float32)
    characters, headings, inks = (np.zeros((*grid, *more), np.int64) for more in ((CELL_CHARACTERS,), (), ()))
    return CellTruth(np.full(grid, label, np.int64), edges, characters, headings, inks)


def bounding_box(thing: Thing) -> Box:
    x1, y1, x2, y2 = thing.half_extents()
    return thing.x + x1, thing.y + y1, thing.x + x2, thing.y + y2


def cell_coverage(coverage: np.ndarray) -> np.ndarray:
    """The mean coverage of every cell, (H, W) -> (H/28, W/28)."""
    height, width = coverage.shape
    return coverage.reshape(height // FACTOR, FACTOR, width // FACTOR, FACTOR).mean((1, 3))


def cells_in_box(box: tuple[float, float, float, float], height: int, width: int) -> tuple[int, ...]:
    """Flat indices of the cells of which a rectangle (x1, y1, x2, y2) in pixels covers at least a quarter.

    Cells covered at least 0.4 times as much as the most covered one count too: of a triangle between two cells, the
    upper one has more of the rectangle, but the lower one more of the ink.
    """
    rows, columns = height // FACTOR, width // FACTOR
    x1, y1, x2, y2 = box
    wide = np.clip(
        np.minimum(x2, (np.arange(columns) + 1) * FACTOR) - np.maximum(x1, np.arange(columns) * FACTOR), 0, FACTOR
    )
    tall = np.clip(np.minimum(y2, (np.arange(rows) + 1) * FACTOR) - np.maximum(y1, np.arange(rows) * FACTOR), 0, FACTOR)
    share = (tall[:, None] * wide[None] / FACTOR**2).ravel()
    return tuple(int(i) for i in np.flatnonzero((share >= 0.25) | (share >= 0.4 * share.max())))


def label_cells(regions: Sequence[Region], grid: tuple[int, int], signs: Sequence[Sign] = ()) -> CellTruth:
    """Label each cell by the region that covers most of it.

    A region must cover at least 20 % of a cell, or 5 % of the cell that it covers most.
    """
    cells, best = empty_cells(grid), np.zeros(grid)
    labels, edges = cells.labels, cells.edges
    rows, columns = np.indices(grid) + 0.5
    for region in regions:
        share = region.share
        enough = (share > 0.2) | ((share == share.max()) & (share > 0.05))
        wins = enough & (share > best)
        labels[wins], best[wins] = region.label, share[wins]
        cells.inks[wins] = 1 + COLOURS.index(region.ink) if region.ink in COLOURS else 0
        x1, y1, x2, y2 = (side / FACTOR for side in region.box)
        centre = (rows - 0.5 == int((y1 + y2) / 2)) & (columns - 0.5 == int((x1 + x2) / 2))
        truth = np.stack([centre, x1 - columns, y1 - rows, x2 - columns, y2 - rows], -1)
        edges[wins] = truth[wins]
    for sign in sorted(signs, key=lambda sign: (sign.box[1], sign.box[0])):
        row = int((sign.box[1] + sign.box[3]) / 2 / FACTOR)
        for character, left, right in character_extents(sign):
            column = int((left + right) / 2 / FACTOR)
            if 0 <= row < grid[0] and 0 <= column < grid[1]:
                slots = cells.characters[row, column]
                if (free := np.flatnonzero(slots == 0)).size:
                    slots[free[0]] = 1 + CHARACTERS.index(character)
    return cells


def rectangle_region(label: int, box: Box, height: int, width: int, ink: str = "") -> Region:
    """A region that covers its whole box."""
    area = np.zeros((height, width), np.float32)
    area[max(0, int(box[1])) : int(np.ceil(box[3])), max(0, int(box[0])) : int(np.ceil(box[2]))] = 1
    return Region(label, cell_coverage(area), box, ink)


def character_extents(sign: Sign) -> list[tuple[str, float, float]]:
    """Each character of a sign with its left and right edge, in pixels."""
    x1, _, x2, _ = sign.box
    font = load_font(sign.font, sign.size)
    ends = [font.getlength(sign.text[:i]) for i in range(len(sign.text) + 1)]
    stretch = (x2 - x1) / max(ends[-1], 1)
    return [(c, x1 + a * stretch, x1 + b * stretch) for c, a, b in zip(sign.text, ends[:-1], ends[1:], strict=True)]


def sign_regions(sign: Sign, height: int, width: int) -> list[Region]:
    """The regions of a sign: one for a known word, otherwise one per character."""

    def region(label: str, left: float, right: float) -> Region:
        return rectangle_region(LABEL_INDEX[label], (left, sign.box[1], right, sign.box[3]), height, width, sign.colour)

    if sign.text in SIGN_WORDS:
        return [region(f"word {sign.text}", sign.box[0], sign.box[2])]
    return [region(character_label(c), left, right) for c, left, right in character_extents(sign)]


def character_label(character: str) -> str:
    kind = "digit" if character.isdigit() else "letter" if character.isalpha() else "symbol"
    return f"{kind} {character}"


def draw_scene(scene: Scene, rng: np.random.Generator) -> tuple[np.ndarray, CellTruth]:
    """The picture, (H, W, 3) uint8, and the ground truth of its cells. The generator only provides the noise."""
    image = draw_background(scene.background, scene.height, scene.width, rng)
    regions = draw_signs(image, scene.signs)
    for thing in scene.things:
        share = cell_coverage(draw_thing(image, thing, scene.style))
        regions.append(Region(thing.label, share, bounding_box(thing)))
    if scene.blur:
        image = image.filter(ImageFilter.GaussianBlur(scene.blur))
    if scene.jpeg:
        image = compress_jpeg(image, scene.jpeg)
    return np.array(image), label_cells(regions, (scene.height // FACTOR, scene.width // FACTOR), scene.signs)


def compress_jpeg(image: Image.Image, quality: int) -> Image.Image:
    """The picture after JPEG compression."""
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return Image.open(file).convert("RGB")


def draw_signs(image: Image.Image, signs: Sequence[Sign]) -> list[Region]:
    """Draw the signs onto the picture, all boards first."""
    regions: list[Region] = []
    pen = ImageDraw.Draw(image)
    for sign in signs:
        if sign.plate is not None:
            x1, y1, x2, y2 = sign.box
            pen.rounded_rectangle((x1 - 6, y1 - 6, x2 + 5, y2 + 5), radius=4, fill=sign.plate)
    for sign in signs:
        x, y, _, _ = text_box(sign.font, sign.size, sign.text)
        pen.text((sign.box[0] - x, sign.box[1] - y), sign.text, fill=sign.rgb, font=load_font(sign.font, sign.size))
        regions += sign_regions(sign, image.height, image.width)
    return regions

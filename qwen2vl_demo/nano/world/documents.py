"""Random documents: bar and line charts, receipts, and signs with opening hours.

A `Document` is the complete ground truth of one picture. `random_document` lays one out for a picture of 84x84 px or
more, with less content on small ones; `draw_document` draws it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import ImageDraw

from qwen2vl_demo.geometry import FACTOR
from qwen2vl_demo.nano.world.drawing import (
    Box,
    CellTruth,
    cells_in_box,
    compress_jpeg,
    draw_background,
    draw_signs,
    font_paths,
    label_cells,
    rectangle_region,
    text_box,
)
from qwen2vl_demo.nano.world.layout import random_background
from qwen2vl_demo.nano.world.scene import (
    CHART_LETTERS,
    COLOURS,
    HEADINGS,
    LABEL_INDEX,
    Background,
    Sign,
    choose,
    random_rgb,
)

INK = (25, 25, 30)
GOODS = ("TEA", "COFFEE", "MILK", "PIZZA", "FISH", "BREAD", "EGGS", "RICE", "CAKE", "SOUP", "JUICE", "SALAD", "SUGAR")


@dataclass(frozen=True)
class Bar:
    """A bar of a bar chart or a point of a line chart; `box` in pixels."""

    letter: str
    value: int
    colour: str
    rgb: tuple[int, int, int]
    box: Box
    signs: tuple[Sign, ...]  # its printed value and letter


@dataclass(frozen=True)
class Document:
    """A chart or a list of lines.

    `kind` is "bars", "line", "receipt" or "hours". The `lines` of a receipt are (item, price) with the total last,
    those of opening hours (OPEN, time) and (CLOSED, time). `line_signs` are the two printed signs of each line.
    """

    height: int
    width: int
    background: Background
    kind: str
    bars: tuple[Bar, ...] = ()
    lines: tuple[tuple[str, str], ...] = ()
    line_signs: tuple[tuple[Sign, Sign], ...] = ()
    jpeg: int = 0


def text_sign(
    text: str, font: int, size: int, x: float, y: float, rgb: tuple[int, int, int] = INK, *, align_right: bool = False
) -> Sign:
    """A sign whose ink begins at x (or ends there, with `align_right`) and has its top at y."""
    x1, y1, x2, y2 = text_box(font, size, text)
    left = int(x) - (x2 - x1 if align_right else 0)
    return Sign(text, "black", rgb, font, size, (left, int(y), left + x2 - x1, int(y) + y2 - y1))


def random_document(rng: np.random.Generator, size: tuple[int, int]) -> Document:
    """A chart, receipt or sign with opening hours on a picture of (height, width) pixels."""
    dice = rng.random()
    if dice < 0.55:
        return _chart(rng, size, "bars" if dice < 0.35 else "line")
    return _lines(rng, size, "receipt" if dice < 0.85 else "hours")


def _scale(rng: np.random.Generator, size: tuple[int, int]) -> float:
    """The scale of the print: in pictures of more than 256 merged tokens it may be larger than usual."""
    return float(rng.uniform(1, max(1.0, (size[0] * size[1] / (256 * FACTOR * FACTOR)) ** 0.5)))


def _jpeg(rng: np.random.Generator) -> int:
    return int(rng.integers(50, 92)) if rng.random() < 0.1 else 0


def _chart(rng: np.random.Generator, size: tuple[int, int], kind: str) -> Document:
    height, width = size
    background = random_background(rng, dark_share=0.0, cloudy_share=0.0)
    scale = _scale(rng, size)
    count = int(rng.integers(2, min(8, width // 40) + 1))
    values = [int(v) for v in rng.choice(np.arange(5, 100), count, replace=False)]
    highest = max(values)
    colours = [choose(rng, COLOURS)] * count if kind == "line" or rng.random() < 0.3 else list(COLOURS)
    if len(set(colours)) > 1:
        colours = [COLOURS[int(i)] for i in rng.permutation(len(COLOURS))[:count]]
    tones = {colour: random_rgb(rng, colour) for colour in colours}
    font = int(rng.integers(len(font_paths())))
    text = int(rng.integers(17, 24) * scale)
    step = (width - 12) / count
    wide = step * float(rng.uniform(0.45, 0.75))
    top, floor = text + 8, height - text - 8
    bars = []
    for index, (value, colour) in enumerate(zip(values, colours, strict=True)):
        middle = 6 + step * (index + 0.5)
        head = floor - max(4.0, (floor - top) * value / highest)
        signs = []
        for word, at in ((str(value), head - text), (CHART_LETTERS[index], floor + 5)):
            x1, _, x2, _ = text_box(font, text, word)
            signs.append(text_sign(word, font, text, middle - (x2 - x1) / 2, max(2, at)))
        half = wide / 2 if kind == "bars" else 5
        box = (middle - half, head, middle + half, floor if kind == "bars" else head + 10)
        bars.append(Bar(CHART_LETTERS[index], value, colour, tones[colour], box, tuple(signs)))
    return Document(height, width, background, kind, tuple(bars), jpeg=_jpeg(rng))


def _lines(rng: np.random.Generator, size: tuple[int, int], kind: str) -> Document:
    height, width = size
    background = random_background(rng, dark_share=0.0, cloudy_share=0.0)
    font = int(rng.integers(len(font_paths())))
    scale = _scale(rng, size)
    most = max(1, min(8, int(height / scale) // 30 - 1))
    if kind == "receipt":
        goods = [GOODS[int(i)] for i in rng.permutation(len(GOODS))[: int(rng.integers(1, most + 1))]]
        prices = [int(rng.integers(1, 30)) for _ in goods]
        lines = [(word, f"${price}") for word, price in zip(goods, prices, strict=True)] + [
            ("TOTAL", f"${sum(prices)}")
        ]
    else:
        lines = [("OPEN", f"{int(rng.integers(6, 12))}:00"), ("CLOSED", f"{int(rng.integers(13, 24))}:00")]
    longest = max(text_box(font, 100, word)[2] + text_box(font, 100, amount)[2] for word, amount in lines)
    room = (height - 8) / len(lines)
    text = int(min(100 * (width - 26) / longest, room * 0.72, 30 * scale))
    if text > 19 * scale:
        text = int(rng.integers(int(18 * scale), text + 1))
    signs = []
    for index, (word, amount) in enumerate(lines):
        y = 4 + room * (index + 0.5) - text / 2
        signs.append((text_sign(word, font, text, 8, y), text_sign(amount, font, text, width - 8, y, align_right=True)))
    return Document(height, width, background, kind, (), tuple(lines), tuple(signs), _jpeg(rng))


def draw_document(document: Document, rng: np.random.Generator) -> tuple[np.ndarray, CellTruth]:
    """The picture, (H, W, 3) uint8, and the ground truth of its cells."""
    image = draw_background(document.background, document.height, document.width, rng)
    pen = ImageDraw.Draw(image)
    regions = []
    if document.kind == "line":
        points = [((b.box[0] + b.box[2]) / 2, (b.box[1] + b.box[3]) / 2) for b in document.bars]
        pen.line(points, fill=document.bars[0].rgb, width=3)
    for bar in document.bars:
        if document.kind == "line":
            pen.ellipse(bar.box, fill=bar.rgb)
        else:
            pen.rectangle(bar.box, fill=bar.rgb)
        label = LABEL_INDEX[f"{bar.colour} {'bar' if document.kind == 'bars' else 'point'}"]
        regions.append(rectangle_region(label, bar.box, document.height, document.width))
    if document.bars:
        floor = document.height - document.bars[0].signs[0].size - 8
        pen.line((4, floor, document.width - 4, floor), fill=INK, width=1)
    signs = [sign for bar in document.bars for sign in bar.signs] + [
        sign for pair in document.line_signs for sign in pair
    ]
    regions += draw_signs(image, signs)
    if document.jpeg:
        image = compress_jpeg(image, document.jpeg)
    cells = label_cells(regions, (document.height // FACTOR, document.width // FACTOR), signs)
    headings = [(bar.letter, box) for bar in document.bars for box in (bar.box, bar.signs[0].box)]
    headings += [(word.text, amount.box) for word, amount in document.line_signs]
    for heading, box in headings:
        cells.headings.flat[list(cells_in_box(box, document.height, document.width))] = 1 + HEADINGS.index(heading)
    return np.array(image), cells

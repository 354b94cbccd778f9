"""The same picture in other models: what it costs there, and what is left of it.

Three rules that are common beside Qwen2-VL's, each stated in full in `RULES`. Sizes are (height, width) in pixels.
Pure: a size, or pixels, in; numbers, pictures and a figure out.

Sources: CLIP and LLaVA-1.5 (arXiv 2310.03744: padded to a square of 336, 24x24 patches of 14), LLaVA-NeXT's "anyres"
(the tile grids and the choice among them are those of its `select_best_resolution`; its newline tokens and the removal
of padding are left out).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import PIL.Image
import plotly.graph_objects as go

from qwen2vl_demo.errors import UserError
from qwen2vl_demo.geometry import FACTOR, MAX_PIXELS, PATCH_SIZE, Size, smart_resize
from qwen2vl_demo.viz.figure_theme import INK, MODEL_COLOURS, QWEN, layout

TILE = 336  # px, the side of a tile and of the overview
TILE_GRIDS = ((1, 2), (2, 1), (2, 2), (1, 3), (3, 1))  # (rows, columns) of tiles that may be chosen


@dataclass(frozen=True)
class Rule:
    """How a model turns a picture into tokens."""

    key: str
    name: str
    words: str  # the rule, for people


RULES = (
    Rule("224", "224x224", "Fitted into a square of 224 pixels, the rest padded; 16x16 patches, always 256 tokens."),
    Rule("336", "336x336", "Fitted into a square of 336 pixels, the rest padded; 24x24 patches, always 576 tokens."),
    Rule(
        "tiles",
        "Tiles of 336",
        "Fitted into 2 to 4 tiles of 336 pixels (1x2, 2x1, 2x2, 1x3 or 3x1, whichever keeps most of it), and once more "
        "whole into one of 336; 576 tokens each.",
    ),
    Rule(
        "qwen",
        "Qwen2-VL",
        "Its own shape, both sides rounded to 28 pixels, within the budget; a token for each 28x28 of them.",
    ),
)


@dataclass(frozen=True)
class Spend:
    """What a picture costs by one rule, and what it keeps."""

    rule: Rule
    tokens: int
    size: Size  # to which the picture itself is resized, without padding
    canvas: Size  # with padding: what the patches are cut from
    padding_tokens: int  # of the tokens, those whose patches hold nothing of the picture
    kept: float  # pixels of the resized picture a pixel of the original, at most 1

    @property
    def enlarged(self) -> bool:
        return self.kept >= 1


def spend(original: Size, rule: Rule, *, qwen: Size | None = None) -> Spend:
    """By one of RULES. `qwen` is the size that Qwen2-VL resized the picture to; without it, by its default budget."""
    if rule.key == "qwen":
        size = qwen if qwen is not None else smart_resize(*original)
        return Spend(rule, size[0] * size[1] // FACTOR**2, size, size, 0, _kept(original, size))
    if rule.key != "tiles":
        side = int(rule.key)
        size = fit(original, (side, side))
        return Spend(
            rule, (side // PATCH_SIZE) ** 2, size, (side, side), _padding(size, (side, side)), _kept(original, size)
        )
    canvas = tile_canvas(original)
    size, overview = fit(original, canvas), fit(original, (TILE, TILE))
    tokens = (canvas[0] // TILE * (canvas[1] // TILE) + 1) * (TILE // PATCH_SIZE) ** 2
    padding = _padding(size, canvas) + _padding(overview, (TILE, TILE))
    return Spend(rule, tokens, size, canvas, padding, _kept(original, size))


def spends(original: Size, qwen: Size | None = None) -> tuple[Spend, ...]:
    """By all RULES, in their order."""
    return tuple(spend(original, rule, qwen=qwen) for rule in RULES)


def fit(original: Size, box: Size) -> Size:
    """The largest size of the same shape inside a box; at least one pixel a side."""
    scale = min(box[0] / original[0], box[1] / original[1])
    return max(1, min(box[0], round(original[0] * scale))), max(1, min(box[1], round(original[1] * scale)))


def tile_canvas(original: Size) -> Size:
    """The size of all tiles together: the grid that keeps most of the picture, then the one with least padding."""

    def worth(grid: tuple[int, int]) -> tuple[int, int]:
        height, width = grid[0] * TILE, grid[1] * TILE
        scale = min(height / original[0], width / original[1])
        effective = min(int(original[0] * scale) * int(original[1] * scale), original[0] * original[1])
        return effective, -(height * width - effective)

    rows, columns = max(TILE_GRIDS, key=worth)
    return rows * TILE, columns * TILE


def at_resolution(picture: np.ndarray, spent: Spend) -> np.ndarray:
    """The picture (H, W, 3) uint8 as that model gets it, without padding: really resampled, bicubic."""
    if picture.shape[:2] == spent.size:
        return picture
    resized = PIL.Image.fromarray(picture).resize(spent.size[::-1], PIL.Image.Resampling.BICUBIC)
    return np.asarray(resized)


def busiest(picture: np.ndarray) -> tuple[float, float]:
    """(x, y) in 0..1 of the place with the strongest edges, where a lost pixel shows; the middle of a tenth."""
    small = np.asarray(PIL.Image.fromarray(picture).convert("L").resize((160, 160)), dtype=np.float32)
    across, down = np.abs(np.diff(small, axis=1))[:-1], np.abs(np.diff(small, axis=0))[:, :-1]
    edges = np.zeros((160, 160), np.float32)
    edges[:159, :159] = across + down
    cells = edges.reshape(10, 16, 10, 16).sum((1, 3))
    cells[[0, -1]] *= 0.5  # a place at the border has less around it to look at
    cells[:, [0, -1]] *= 0.5
    row, column = np.unravel_index(int(cells.argmax()), cells.shape)
    return (float(column) + 0.5) / 10, (float(row) + 0.5) / 10


def growth_figure(original: Size, qwen: Size, min_pixels: int, max_pixels: int) -> go.Figure:
    """Tokens against megapixels for pictures of this shape, by every rule, with this picture marked.

    Qwen2-VL's line is `smart_resize` within the budget (px a picture), step by step.
    """
    figure = go.Figure(layout=layout(height=290))
    megapixels = np.geomspace(0.01, 40, 240)
    shape = original[0] / original[1]
    for rule, colour in zip(RULES, MODEL_COLOURS, strict=True):
        tokens = [_tokens(area, shape, rule, min_pixels, max_pixels) for area in megapixels * 1e6]
        figure.add_scatter(
            x=megapixels,
            y=tokens,
            name=rule.name,
            mode="lines",
            line={"color": colour, "width": 3 if rule.key == "qwen" else 2, "dash": DASHES[rule.key]},
            hovertemplate=f"{rule.name}: %{{y:,}} tokens at %{{x:.3~g}} megapixels<extra></extra>",
        )
    if max_pixels < MAX_PIXELS:
        wide = [_tokens(area, shape, RULES[-1], min_pixels, MAX_PIXELS) for area in megapixels * 1e6]
        figure.add_scatter(
            x=megapixels,
            y=wide,
            name="with the released budget",
            mode="lines",
            line={"color": QWEN, "width": 1.5, "dash": "dot"},
            hovertemplate="Qwen2-VL, released budget: %{y:,} tokens at %{x:.3~g} megapixels<extra></extra>",
        )
    here, spent = original[0] * original[1] / 1e6, spend(original, RULES[-1], qwen=qwen)
    figure.add_scatter(
        x=[here],
        y=[spent.tokens],
        name="this picture",
        mode="markers",
        marker={"color": MODEL_COLOURS[-1], "size": 13, "symbol": "circle", "line": {"color": "white", "width": 2}},
        hovertemplate=f"this picture: {spent.tokens:,} tokens at {here:.3g} megapixels<extra></extra>",
    )
    figure.add_vline(x=here, line={"color": INK, "width": 1, "dash": "dot"})
    figure.update_xaxes(title={"text": "megapixels of the picture"}, type="log", dtick=1)
    figure.update_yaxes(title={"text": "tokens", "standoff": 8}, type="log", dtick=1)
    return figure


DASHES = {"224": "dot", "336": "dash", "tiles": "dashdot", "qwen": "solid"}


def growth_words(original: Size, qwen: Size, max_pixels: int, what: str = "This picture") -> str:
    """What `growth_figure` shows, in words."""
    spent = spend(original, RULES[-1], qwen=qwen)
    most = max_pixels // FACTOR**2
    here = original[0] * original[1] / 1e6
    return (
        f"Qwen2-VL's tokens grow with the picture, one for each 28x28 pixels, up to the budget of {most:,}; fixed "
        f"resolutions spend the same on a stamp as on a poster, tiles nearly so. {what} of "
        f"{here:.2g} megapixels takes {spent.tokens:,}."
    )


def compare_words(original: Size, all_spent: Sequence[Spend], max_pixels: int = MAX_PIXELS) -> str:
    """What the pictures side by side show, in words; `max_pixels` is the budget that acted."""
    *others, ours = all_spent
    kept = _all(ours)
    lost = ", ".join(
        f"{percent(s.kept)} {'in tiles' if s.rule.key == 'tiles' else f'at {s.rule.name}'}" for s in others
    )
    within = f" within the budget of {max_pixels // FACTOR**2:,}" if max_pixels < MAX_PIXELS else ""
    more = ""
    if not ours.enlarged and max_pixels < MAX_PIXELS:
        free = spend(original, RULES[-1])
        more = f" With the released checkpoints' budget it would spend {free.tokens:,} and keep {_all(free)}."
    return f"Qwen2-VL spends {ours.tokens:,} tokens on this picture{within} and keeps {kept}.{more} Others keep {lost}."


def percent(share: float) -> str:
    """ "31 %", "0.4 %"; never "0 %" of something, and "100 %" of everything only."""
    value = 100 * share
    if 99.5 <= value < 100:
        return "over 99 %"
    return f"{value:.0f} %" if value >= 9.5 else f"{value:.1f} %" if value >= 0.1 else "less than 0.1 %"


def _tokens(area: float, shape: float, rule: Rule, min_pixels: int, max_pixels: int) -> int | None:
    """Of a picture of so many pixels and this height a width; None where it would be too narrow for its rule."""
    width = max(1, round((area / shape) ** 0.5))
    size = max(1, round(width * shape)), width
    try:
        box = smart_resize(*size, min_pixels=min_pixels, max_pixels=max_pixels)
    except UserError:
        return None
    return spend(size, rule, qwen=box).tokens


def _all(spent: Spend) -> str:
    return "all of its pixels" if spent.enlarged else f"{percent(spent.kept)} of its pixels"


def _kept(original: Size, size: Size) -> float:
    return min(1.0, size[0] * size[1] / (original[0] * original[1]))


def _padding(size: Size, canvas: Size) -> int:
    """Patches that hold nothing of a picture that stands in the middle of its canvas."""
    seen = 1
    for length, whole in zip(size, canvas, strict=True):
        start = (whole - length) // 2
        seen *= -(-(start + length) // PATCH_SIZE) - start // PATCH_SIZE
    return canvas[0] // PATCH_SIZE * (canvas[1] // PATCH_SIZE) - seen

"""What a picture costs in other models, and how much of it they keep.

`RULES` states three common ways to turn a picture into tokens, and Qwen2-VL's. Sizes are (height, width) in pixels.

Sources: CLIP and LLaVA-1.5 (arXiv 2310.03744: padded to a square of 336, 24x24 patches of 14), LLaVA-NeXT's "anyres"
(tile grids and their selection as in its `select_best_resolution`; without its newline tokens and its removal of
padding).
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
TILE_GRIDS = ((1, 2), (2, 1), (2, 2), (1, 3), (3, 1))  # (rows, columns) of tiles


@dataclass(frozen=True)
class Rule:
    """How a model turns a picture into tokens."""

    key: str
    name: str
    description: str  # for people


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
class Usage:
    """What one rule makes of a picture."""

    rule: Rule
    tokens: int
    size: Size  # of the resized picture, without padding
    canvas: Size  # with padding, as cut into patches
    padding_tokens: int  # tokens whose patches are padding only
    kept: float  # pixels of the resized picture per pixel of the original, at most 1

    @property
    def enlarged(self) -> bool:
        return self.kept >= 1


def usage(original: Size, rule: Rule, *, qwen: Size | None = None) -> Usage:
    """By one rule. `qwen` is the size to which Qwen2-VL resized the picture; by default that of its released budget."""
    if rule.key == "qwen":
        size = qwen if qwen is not None else smart_resize(*original)
        return Usage(rule, size[0] * size[1] // FACTOR**2, size, size, 0, _kept(original, size))
    if rule.key != "tiles":
        side = int(rule.key)
        size = fit(original, (side, side))
        return Usage(
            rule, (side // PATCH_SIZE) ** 2, size, (side, side), _padding(size, (side, side)), _kept(original, size)
        )
    canvas = tile_canvas(original)
    size, overview = fit(original, canvas), fit(original, (TILE, TILE))
    tokens = (canvas[0] // TILE * (canvas[1] // TILE) + 1) * (TILE // PATCH_SIZE) ** 2
    padding = _padding(size, canvas) + _padding(overview, (TILE, TILE))
    return Usage(rule, tokens, size, canvas, padding, _kept(original, size))


def usages(original: Size, qwen: Size | None = None) -> tuple[Usage, ...]:
    """By each of RULES, in their order."""
    return tuple(usage(original, rule, qwen=qwen) for rule in RULES)


def fit(original: Size, box: Size) -> Size:
    """The largest size with the same aspect ratio inside a box; at least 1x1."""
    scale = min(box[0] / original[0], box[1] / original[1])
    return max(1, min(box[0], round(original[0] * scale))), max(1, min(box[1], round(original[1] * scale)))


def tile_canvas(original: Size) -> Size:
    """The size of all tiles together: of the grid that keeps most pixels, then of the one with least padding."""

    def worth(grid: tuple[int, int]) -> tuple[int, int]:
        height, width = grid[0] * TILE, grid[1] * TILE
        scale = min(height / original[0], width / original[1])
        effective = min(int(original[0] * scale) * int(original[1] * scale), original[0] * original[1])
        return effective, -(height * width - effective)

    rows, columns = max(TILE_GRIDS, key=worth)
    return rows * TILE, columns * TILE


def resampled(picture: np.ndarray, used: Usage) -> np.ndarray:
    """The picture (H, W, 3) uint8 at the size of `used`, without padding, bicubic."""
    if picture.shape[:2] == used.size:
        return picture
    resized = PIL.Image.fromarray(picture).resize(used.size[::-1], PIL.Image.Resampling.BICUBIC)
    return np.asarray(resized)


def strongest_edges(picture: np.ndarray) -> tuple[float, float]:
    """(x, y) in [0, 1] of the part of a 10x10 grid with the strongest edges, where lost pixels are most visible."""
    small = np.asarray(PIL.Image.fromarray(picture).convert("L").resize((160, 160)), dtype=np.float32)
    across, down = np.abs(np.diff(small, axis=1))[:-1], np.abs(np.diff(small, axis=0))[:, :-1]
    edges = np.zeros((160, 160), np.float32)
    edges[:159, :159] = across + down
    cells = edges.reshape(10, 16, 10, 16).sum((1, 3))
    cells[[0, -1]] *= 0.5  # prefer parts that are not at the border
    cells[:, [0, -1]] *= 0.5
    row, column = np.unravel_index(int(cells.argmax()), cells.shape)
    return (float(column) + 0.5) / 10, (float(row) + 0.5) / 10


def growth_figure(original: Size, qwen: Size, min_pixels: int, max_pixels: int) -> go.Figure:
    """Tokens over megapixels for pictures of this aspect ratio, by every rule, with this picture marked.

    Qwen2-VL's line follows `smart_resize` within min_pixels and max_pixels.
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
    here, used = original[0] * original[1] / 1e6, usage(original, RULES[-1], qwen=qwen)
    figure.add_scatter(
        x=[here],
        y=[used.tokens],
        name="this picture",
        mode="markers",
        marker={"color": MODEL_COLOURS[-1], "size": 13, "symbol": "circle", "line": {"color": "white", "width": 2}},
        hovertemplate=f"this picture: {used.tokens:,} tokens at {here:.3g} megapixels<extra></extra>",
    )
    figure.add_vline(x=here, line={"color": INK, "width": 1, "dash": "dot"})
    figure.update_xaxes(title={"text": "megapixels of the picture"}, type="log", dtick=1)
    figure.update_yaxes(title={"text": "tokens", "standoff": 8}, type="log", dtick=1)
    return figure


DASHES = {"224": "dot", "336": "dash", "tiles": "dashdot", "qwen": "solid"}


def growth_words(original: Size, qwen: Size, max_pixels: int, what: str = "This picture") -> str:
    """A description of `growth_figure`; `what` names the medium."""
    used = usage(original, RULES[-1], qwen=qwen)
    most = max_pixels // FACTOR**2
    here = original[0] * original[1] / 1e6
    return (
        f"Qwen2-VL's tokens grow with the picture, one for each 28x28 pixels, up to the budget of {most:,}; fixed "
        f"resolutions spend the same on a stamp as on a poster, tiles nearly so. {what} of "
        f"{here:.2g} megapixels takes {used.tokens:,}."
    )


def compare_words(original: Size, all_used: Sequence[Usage], max_pixels: int = MAX_PIXELS) -> str:
    """A description of the pictures side by side; `max_pixels` is the budget that was in force."""
    *others, ours = all_used
    kept = _all(ours)
    lost = ", ".join(
        f"{percent(s.kept)} {'in tiles' if s.rule.key == 'tiles' else f'at {s.rule.name}'}" for s in others
    )
    within = f" within the budget of {max_pixels // FACTOR**2:,}" if max_pixels < MAX_PIXELS else ""
    more = ""
    if not ours.enlarged and max_pixels < MAX_PIXELS:
        free = usage(original, RULES[-1])
        more = f" With the released checkpoints' budget it would spend {free.tokens:,} and keep {_all(free)}."
    return f"Qwen2-VL spends {ours.tokens:,} tokens on this picture{within} and keeps {kept}.{more} Others keep {lost}."


def percent(share: float) -> str:
    """A share as "31 %" or "0.4 %"; never "0 %", and "100 %" only for all."""
    value = 100 * share
    if 99.5 <= value < 100:
        return "over 99 %"
    return f"{value:.0f} %" if value >= 9.5 else f"{value:.1f} %" if value >= 0.1 else "less than 0.1 %"


def _tokens(area: float, shape: float, rule: Rule, min_pixels: int, max_pixels: int) -> int | None:
    """Of a picture of `area` pixels, `shape` (height / width); None if it is too narrow for smart_resize."""
    width = max(1, round((area / shape) ** 0.5))
    size = max(1, round(width * shape)), width
    try:
        box = smart_resize(*size, min_pixels=min_pixels, max_pixels=max_pixels)
    except UserError:
        return None
    return usage(size, rule, qwen=box).tokens


def _all(used: Usage) -> str:
    return "all of its pixels" if used.enlarged else f"{percent(used.kept)} of its pixels"


def _kept(original: Size, size: Size) -> float:
    return min(1.0, size[0] * size[1] / (original[0] * original[1]))


def _padding(size: Size, canvas: Size) -> int:
    """Patches without any pixel of a picture that is centred on its canvas."""
    seen = 1
    for length, whole in zip(size, canvas, strict=True):
        start = (whole - length) // 2
        seen *= -(-(start + length) // PATCH_SIZE) - start // PATCH_SIZE
    return canvas[0] // PATCH_SIZE * (canvas[1] // PATCH_SIZE) - seen

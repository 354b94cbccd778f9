"""The frequency bands of multimodal rotary embeddings, in figures and sentences.

Which frequency pairs of a head rotate with t, h and w, how fast, and by which angle two tokens differ. Pairs are
numbered as in one head, fastest first; a wavelength is the number of positions of one full turn.

Source: the paper (arXiv 2409.12191, section 2.1) and RoPE (arXiv 2104.09864).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go

from qwen2vl_demo.geometry import band_axes, inverse_frequencies
from qwen2vl_demo.viz.figure_theme import AXES, AXIS_COLOURS, AXIS_MARKERS, AXIS_NAMES, INK, OTHER, layout
from qwen2vl_demo.yarn import Yarn

FULL_TURN = 2 * math.pi  # radians
MIN_DEGREES = 1e-6  # a smaller angle counts as zero
LOG: dict[str, object] = {"type": "log", "exponentformat": "SI", "dtick": 1}
GRID_NOUNS = {"t": ("step of time", "steps of time"), "h": ("row", "rows"), "w": ("column", "columns")}
VISION_AXES = ("h", "w")  # the axes of the ViT's own 2D RoPE


@dataclass(frozen=True)
class Rope:
    """The rotary embeddings of one checkpoint."""

    sections: tuple[int, int, int] = (16, 24, 24)  # pairs of a head for t, h and w
    theta: float = 1_000_000.0
    vision_head_dim: int = 80  # numbers in a head of the vision transformer
    vision_theta: float = 10_000.0
    yarn: Yarn | None = None  # stretches the pairs for a longer context

    @property
    def pairs(self) -> int:
        return sum(self.sections)

    @property
    def axes(self) -> np.ndarray:
        """(pairs,) 0, 1 or 2: t, h or w."""
        return band_axes(self.sections)

    @property
    def frequencies(self) -> np.ndarray:
        """(pairs,) radians per position."""
        plain = self.plain_frequencies
        return plain if self.yarn is None else self.yarn.inverse_frequencies(self.pairs, self.theta)

    @property
    def plain_frequencies(self) -> np.ndarray:
        """(pairs,) the same without YaRN."""
        return inverse_frequencies(self.pairs, self.theta)

    @property
    def vision_frequencies(self) -> np.ndarray:
        """(vision_head_dim // 4,) radians per patch, the same for rows and columns."""
        return inverse_frequencies(self.vision_head_dim // 4, self.vision_theta)


def wavelengths(frequencies: np.ndarray) -> np.ndarray:
    """Positions of one full turn, for frequencies in radians per position."""
    return FULL_TURN / frequencies


def rotated(rope: Rope, first: Sequence[int], second: Sequence[int]) -> np.ndarray:
    """(pairs,) angles in radians between two positions (t, h, w), full turns included."""
    distance = np.asarray(second, dtype=np.float64) - np.asarray(first, dtype=np.float64)
    return distance[rope.axes] * rope.frequencies


def rotated_1d(rope: Rope, distance: int) -> np.ndarray:
    """(pairs,) the same for plain 1-D positions, `distance` tokens apart."""
    return distance * rope.frequencies


def mean_cosine(angles: np.ndarray) -> float:
    """What remains of the product of a query with an equal key that is rotated against it."""
    return float(np.cos(angles).mean())


def wave_figure(rope: Rope, span: int | None = None, grid: tuple[int, int, int] | None = None) -> go.Figure:
    """The wavelength of every pair, on a log scale; with YaRN also, as a line, what it was before.

    `span`, the number of positions of the prompt, and `grid`, the merged tokens of a picture along t, h and w, are
    drawn as lines to compare wavelengths with.
    """
    figure = go.Figure(layout=layout(height=310))
    lengths, start = wavelengths(rope.frequencies), 0
    if rope.yarn is not None:
        figure.add_scatter(
            x=np.arange(rope.pairs),
            y=wavelengths(rope.plain_frequencies),
            name="before YaRN",
            mode="lines",
            line={"color": OTHER, "width": 2, "dash": "dot"},
            hovertemplate="before YaRN: a turn in %{y:,.3~s} positions<extra></extra>",
        )
    for index, (axis, count) in enumerate(zip(AXES, rope.sections, strict=True)):
        pairs = np.arange(start, start + count)
        name = f"{axis} ({AXIS_NAMES[axis]}): {count} pairs"
        _points(figure, axis, pairs, lengths[pairs], name, "%{y:,.3~s} positions")
        if grid is not None and count:
            steps = f"{grid[index]:,} {GRID_NOUNS[axis][grid[index] != 1]}"
            _rule(figure, (start - 0.5, start + count - 0.5), grid[index], AXIS_COLOURS[axis], steps, below=True)
        start += count
    if span is not None:
        _rule(figure, (-1, rope.pairs), span, INK, f"this prompt: {span:,} positions")
    figure.update_xaxes(title_text="frequency pair of a head", range=[-1, rope.pairs])
    figure.update_yaxes(title={"text": "positions in a full turn", "standoff": 8}, **LOG)
    return figure


def vision_figure(rope: Rope, patches: tuple[int, int] | None = None) -> go.Figure:
    """The wavelengths of the ViT's own 2D RoPE: half of a head's pairs for the patch's row, half for its column.

    `patches`, the grid (rows, columns) of a picture, is drawn as lines to compare with.
    """
    figure = go.Figure(layout=layout(height=250))
    lengths = wavelengths(rope.vision_frequencies)
    count = len(lengths)
    for index, axis in enumerate(VISION_AXES):
        pairs = np.arange(index * count, (index + 1) * count)
        name = f"{AXIS_NAMES[axis]}: {count} pairs"
        _points(figure, axis, pairs, lengths, name, "%{y:,.3~s} patches")
        if patches is not None:
            what = ("rows", "columns")[index]
            ends = (index * count - 0.5, (index + 1) * count - 0.5)
            _rule(figure, ends, patches[index], AXIS_COLOURS[axis], f"{patches[index]} {what} of patches")
    figure.update_xaxes(title_text="frequency pair of a head of the vision transformer", range=[-1, 2 * count])
    figure.update_yaxes(title={"text": "patches in a full turn", "standoff": 8}, **LOG)
    return figure


def angle_figure(rope: Rope, first: Sequence[int], second: Sequence[int], plain: int) -> go.Figure:
    """The angle in degrees between two positions (t, h, w) on every pair, full turns included, on a log scale.

    `plain` is the distance in tokens, from which the angles of 1-D positions (in grey) follow. Pairs without an angle
    are hollow markers at the bottom.
    """
    figure = go.Figure(layout=layout(height=300))
    degrees = np.degrees(np.abs(rotated(rope, first, second)))
    flat = np.degrees(np.abs(rotated_1d(rope, plain)))
    x = np.arange(rope.pairs)
    least = min((float(d) for d in (*degrees, *flat) if d > MIN_DEGREES), default=1.0)
    foot = 10 ** (math.floor(math.log10(least)) - 0.5)
    figure.add_scatter(
        x=x,
        y=np.maximum(flat, foot),
        name="plain 1-D positions",
        mode="lines",
        line={"color": OTHER, "width": 2, "dash": "dot"},
        customdata=np.stack([flat, flat % 360], axis=1),
        hovertemplate="1-D: %{customdata[0]:,.4~g}°, at %{customdata[1]:.4~g}° of the circle<extra></extra>",
    )
    start = 0
    for axis, count in zip(AXES, rope.sections, strict=True):
        pairs = slice(start, start + count)
        still = degrees[pairs] == 0
        figure.add_scatter(
            x=x[pairs],
            y=np.maximum(degrees[pairs], foot),
            name=f"{axis}: {abs(int(second[AXES.index(axis)] - first[AXES.index(axis)])):,} apart",
            mode="markers",
            marker={
                "color": AXIS_COLOURS[axis],
                "size": 7,
                "symbol": [AXIS_MARKERS[axis] + ("-open" if s else "") for s in still],
            },
            customdata=np.stack([degrees[pairs], degrees[pairs] % 360], axis=1),
            hovertemplate=f"pair %{{x}} ({axis}): %{{customdata[0]:,.4~g}}°, "
            "at %{customdata[1]:.4~g}° of the circle<extra></extra>",
        )
        start += count
    top = max(360.0, float(degrees.max()), float(flat.max()))
    _rule(figure, (-1, rope.pairs), 360, INK, "a full turn")
    figure.update_xaxes(title_text="frequency pair of a head", range=[-1, rope.pairs])
    ends = (math.log10(foot) - 0.25, math.log10(top) + 0.5)
    decades = range(math.ceil(math.log10(foot) + 0.8), math.floor(ends[1]) + 1, 1 if ends[1] - ends[0] < 6 else 2)
    ticks = {foot: "none"} | {10.0**d: f"{10.0**d:,.{max(0, -d)}f}°" for d in decades}
    figure.update_yaxes(
        title={"text": "degrees apart", "standoff": 8},
        range=ends,
        type="log",
        tickvals=list(ticks),
        ticktext=list(ticks.values()),
    )
    return figure


def wave_words(rope: Rope, span: int | None = None, grid: tuple[int, int, int] | None = None) -> str:
    """A description of `wave_figure`."""
    lengths = wavelengths(rope.frequencies)
    shares = ", ".join(f"{count} turn with {axis}" for axis, count in zip(AXES, rope.sections, strict=True))
    words = (
        f"Of the {rope.pairs} frequency pairs of a head, {shares}. The fastest makes a full turn in "
        f"{_short(lengths[0])} positions, the slowest in {_short(lengths[-1])}."
    )
    if rope.yarn is not None:
        words += f" {_yarn_words(rope, rope.yarn)}"
    if span is not None:
        full = int((lengths <= span).sum())
        words += f" This prompt takes {span:,} positions: {full} of the pairs complete a turn over it."
    if grid is not None:
        t, h, _ = rope.sections
        leans = [
            f"the fastest {axis} pair turns by {_short(math.degrees(rope.frequencies[pair] * (count - 1)))}° "
            f"over its {count:,} {GRID_NOUNS[axis][1]}"
            for axis, pair, count, share in zip(AXES, (0, t, t + h), grid, rope.sections, strict=True)
            if count > 1 and share
        ]
        what = "clip" if grid[0] > 1 else "picture"
        words += f" Across the {what}, {' and '.join(leans)}." if leans else ""
    return words


def _yarn_words(rope: Rope, yarn: Yarn) -> str:
    slowed = yarn.slowed(rope.pairs, rope.theta)
    kept, whole = int((slowed == 0).sum()), int((slowed == 1).sum())
    return (
        f"YaRN stretches the trained {yarn.original_context:,} positions to {yarn.context:,}: {kept} pairs turn as "
        f"they were trained, {whole} turn {yarn.factor:g} times slower, and {rope.pairs - kept - whole} lie between; "
        f"queries and keys are multiplied by {yarn.attention_factor:.3g}, so that scores grow by its square."
    )


def angle_words(rope: Rope, first: Sequence[int], second: Sequence[int], plain: int) -> str:
    """A description of `angle_figure` and of the clocks."""
    apart = [abs(int(b) - int(a)) for a, b in zip(first, second, strict=True)]
    angles = np.degrees(np.abs(rotated(rope, first, second)))
    moved, start = [], 0
    for axis, count, distance in zip(AXES, rope.sections, apart, strict=True):
        if count and distance:
            turns = f" ({angles[start] / 360:.1f} turns)" if angles[start] >= 360 else ""
            moved.append(f"{_short(angles[start])}°{turns} on the fastest {axis} pair")
        start += count
    first_two = ", ".join(f"{d:,} in {axis}" for axis, d in zip(AXES[:2], apart[:2], strict=True))
    distances = f"{first_two} and {apart[2]:,} in {AXES[2]}"
    how = f"turned apart by {' and '.join(moved)}" if moved else "turned alike on every pair"
    kept, flat = mean_cosine(np.radians(angles)), mean_cosine(rotated_1d(rope, plain))
    return (
        f"The tokens differ by {distances}, and are {how}. With plain 1-D positions they would differ by "
        f"{abs(plain):,}. The mean cosine over all pairs, which is what a query keeps of its product with an equal "
        f"key, is {kept:.2f}, with 1-D positions {flat:.2f}."
    )


def vision_words(rope: Rope, patches: tuple[int, int] | None = None) -> str:
    """A description of `vision_figure`."""
    lengths = wavelengths(rope.vision_frequencies)
    words = (
        f"Before that, in the vision transformer, {len(lengths)} pairs of a head turn with a patch's row and "
        f"{len(lengths)} with its column, once in {_short(lengths[0])} to {_short(lengths[-1])} patches."
    )
    if patches is None:
        return words
    full = [int((lengths <= extent).sum()) for extent in patches]
    return words + (
        f" This picture has {patches[0]} rows and {patches[1]} columns of them: "
        f"{full[0]} and {full[1]} pairs complete a turn over it."
    )


def _points(figure: go.Figure, axis: str, x: np.ndarray, y: np.ndarray, name: str, value: str) -> None:
    figure.add_scatter(
        x=x,
        y=y,
        name=name,
        mode="markers",
        marker={"color": AXIS_COLOURS[axis], "size": 7, "symbol": AXIS_MARKERS[axis]},
        hovertemplate=f"pair %{{x}} ({axis}): a turn in {value}<extra></extra>",
    )


def _rule(
    figure: go.Figure, ends: tuple[float, float], y: float, colour: str, words: str, *, below: bool = False
) -> None:
    """A horizontal line, labelled at its right end, above or below."""
    figure.add_scatter(
        x=list(ends), y=[y, y], mode="lines", line={"color": colour, "width": 1.5, "dash": "dash"}, hoverinfo="skip",
        showlegend=False,
    )  # fmt: skip
    figure.add_annotation(
        x=ends[1], y=math.log10(y), text=words, showarrow=False, xanchor="right", yanchor="top" if below else "bottom",
        font={"size": 11, "color": colour if colour != INK else None},
    )  # fmt: skip


def _short(value: float) -> str:
    """Three significant digits: 6.28, 199, 35,300, 4.9 million."""
    if value >= 1e6:
        return f"{value / 1e6:.2g} million"
    if value >= 100:
        return f"{float(f'{value:.3g}'):,.0f}"
    return f"{value:.3g}"

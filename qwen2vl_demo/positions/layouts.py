"""Layouts: which position (t, h, w) each token of a prompt gets.

A prompt is a sequence of runs: text, or the merged tokens of a picture or of a clip. In all layouts a token of text has
the same position on the three axes, one more than the token before it; they differ in where they put the merged tokens,
and in where the text behind goes on. Within one step of time each of them is linear in the row and the column, so a
run is stored as a few numbers, however many tokens it has.

Sources are named at each layout; `variants.py` says which model uses which. geometry.py is the source of what this
project's model gets; a test compares.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from qwen2vl_demo.geometry import Grid

Triple = tuple[float, float, float]  # along t, h and w

SAME: Triple = (1.0, 1.0, 1.0)
STILL: Triple = (0.0, 0.0, 0.0)
ROW: Triple = (0.0, 1.0, 0.0)
COLUMN: Triple = (0.0, 0.0, 1.0)


@dataclass(frozen=True)
class Run:
    """Neighbouring tokens of a prompt."""

    grid: Grid  # merged tokens (t, h, w); n tokens of text are (1, 1, n)
    medium: int | None = None  # which of the prompt's pictures and clips; None: text
    step: int = 0  # the first t of the medium that is in this run
    seconds: float | None = None  # from one t to the next, of a clip
    token: int | None = None  # of text: which token of the prompt comes first; None: it is not in the prompt

    @property
    def length(self) -> int:
        return math.prod(self.grid)


@dataclass(frozen=True, eq=False)
class Placed:
    """A run with its positions: that of (step k, row, column) is origins[k] + row * down + column * right."""

    run: Run
    origins: np.ndarray  # (t, 3) float64
    down: Triple
    right: Triple

    def positions(self) -> np.ndarray:
        """(3, run.length) float64: t, h, w of the tokens in raster order."""
        k, row, column = np.indices(self.run.grid).reshape(3, -1)
        return (self.origins[k] + np.outer(row, self.down) + np.outer(column, self.right)).T


@dataclass(frozen=True, eq=False)
class Laid:
    """A whole prompt."""

    runs: tuple[Placed, ...]
    following: float  # the position of the token behind the prompt, the first of the answer

    @property
    def length(self) -> int:
        return sum(placed.run.length for placed in self.runs)

    def positions(self) -> np.ndarray:
        """(3, length) float64."""
        return np.concatenate([np.zeros((3, 0)), *(placed.positions() for placed in self.runs)], axis=1)


# Places the merged tokens of a run, given the next free position; also returns the next free position behind them.
Layout = Callable[[Run, float], tuple[Placed, float]]


def lay_out(runs: Sequence[Run], layout: Layout) -> Laid:
    """The positions of a prompt."""
    placed, free = [], 0.0
    for run in runs:
        each, free = _text(run, free) if run.medium is None else layout(run, free)
        placed.append(each)
    return Laid(tuple(placed), free)


def _text(run: Run, start: float) -> tuple[Placed, float]:
    return Placed(run, np.full((1, 3), start), SAME, SAME), start + run.length


def _steps(run: Run) -> np.ndarray:
    """0, 1, ... for each step of time. (t,) float64"""
    return np.arange(run.grid[0], dtype=np.float64)


def _counted(run: Run, first: float, delta: float) -> Placed:
    """Token by token `delta` more, on all axes."""
    _, rows, columns = run.grid
    origins = np.tile((first + _steps(run) * rows * columns * delta)[:, None], (1, 3))
    return Placed(run, origins, (columns * delta,) * 3, (delta,) * 3)


def _gridded(run: Run, t: np.ndarray, h: np.ndarray | float, w: np.ndarray | float) -> Placed:
    """One more in h for each row and in w for each column; t, h and w of the first token of each step are given."""
    return Placed(run, np.stack(np.broadcast_arrays(t, h, w), axis=1), ROW, COLUMN)


def plain(run: Run, start: float) -> tuple[Placed, float]:
    """One running number for every token, on all axes: RoPE as for text (arXiv 2104.09864)."""
    return _counted(run, start, 1.0), start + run.length


def fractional(delta: float) -> Layout:
    """V2PE: a running number that a merged token moves by `delta`; text goes on at the next whole number.

    (arXiv 2412.09616, section 3; `get_rope_pos_id` of the reference implementation, OpenGVLab/V2PE.)
    """

    def layout(run: Run, start: float) -> tuple[Placed, float]:
        return _counted(run, start - 1 + delta, delta), start + math.ceil(delta * run.length)

    return layout


def gridded(run: Run, start: float) -> tuple[Placed, float]:
    """M-RoPE: start + (t, row, column); text goes on behind the largest. (arXiv 2409.12191, section 2.1)"""
    return _gridded(run, start + _steps(run), start, start), start + max(run.grid)


def silenced(run: Run, start: float) -> tuple[Placed, float]:
    """M-RoPE with h and w set to t, so that all tokens of a picture have one position (`geometry.positions_under`)."""
    return Placed(run, np.tile((start + _steps(run))[:, None], (1, 3)), STILL, STILL), start + max(run.grid)


def timed(tokens_per_second: float) -> Layout:
    """M-RoPE with t of a clip in units of time, rounded down; text goes on behind the largest.

    (Qwen2.5-VL: arXiv 2502.13923, section 2.1.3; `get_rope_index` in transformers' modeling_qwen2_5_vl.py, which in
    newer versions lets the text behind a clip go on behind the largest of h and w instead.)
    """

    def layout(run: Run, start: float) -> tuple[Placed, float]:
        apart = 1.0 if run.seconds is None else run.seconds * tokens_per_second
        t = np.floor(_steps(run) * apart)
        return _gridded(run, start + t, start, start), start + max(*run.grid[1:], float(t[-1]) + 1)

    return layout


def local(run: Run, start: float) -> tuple[Placed, float]:
    """M-RoPE with h and w counted from zero in each picture, t as before ("spatial-reset" in arXiv 2510.23095)."""
    return _gridded(run, start + _steps(run), 0.0, 0.0), start + max(run.grid)


def diagonal(stride: float) -> Layout:
    """VideoRoPE: `stride` positions a step of t, and each frame centred around its t; text goes on behind the last t.

    (arXiv 2502.05173, section 4; `get_input_t_scale_modify_positions` of the reference implementation,
    Wiselnn570/VideoRoPE.)
    """

    def layout(run: Run, start: float) -> tuple[Placed, float]:
        _, rows, columns = run.grid
        t = start + stride * _steps(run)
        return _gridded(run, t, t - (rows - 1) // 2, t - (columns - 1) // 2), float(t[-1]) + 1

    return layout

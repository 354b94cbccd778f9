"""Whole numbers as runs, so that a prompt of thousands of tokens travels as a few: [first, step, count, first, ...].

Ids repeat at placeholders and positions count up or stand still along a picture's rows, so a picture of 56 x 56 tokens
takes about as many runs as it has rows. Exact for any int64 array; `lens/decode.js` is the other half.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def to_runs(values: np.ndarray) -> list[int]:
    """(L,) integers as [first, step, count] * runs, each run as long as it goes."""
    steps = np.diff(values)
    bends = np.flatnonzero(np.diff(steps)) + 1  # steps[k] differs from steps[k - 1]
    runs: list[int] = []
    start, length = 0, len(values)
    while start < length:
        if start == length - 1:
            runs += [int(values[start]), 0, 1]
            break
        at = int(np.searchsorted(bends, start, side="right"))
        end = int(bends[at]) + 1 if at < len(bends) else length  # values[start:end] rise by the same step
        if end - start == 2 and at + 1 < len(bends) and int(bends[at + 1]) > start + 2:
            end = start + 1  # a lone value before a longer run: do not take away that run's first value
        runs += [int(values[start]), int(steps[start]) if end - start > 1 else 0, end - start]
        start = end
    return runs


def from_runs(runs: Sequence[int]) -> np.ndarray:
    """The values again. (L,) int64"""
    pieces = [
        first + step * np.arange(count, dtype=np.int64)
        for first, step, count in zip(runs[0::3], runs[1::3], runs[2::3], strict=True)
    ]
    return np.concatenate(pieces) if pieces else np.zeros(0, dtype=np.int64)

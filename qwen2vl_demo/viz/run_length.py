"""Run-length encoding of integers as arithmetic progressions: [first, step, count, first, step, count, ...].

Token ids repeat at placeholders, and positions are constant or count up along the rows of a picture, so a picture of
56x56 tokens takes about as many runs as it has rows. Exact for any int64 array. `static/lens/decode.js` decodes it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def to_runs(values: np.ndarray) -> list[int]:
    """Encodes (L,) integers; each run is as long as possible."""
    steps = np.diff(values)
    bends = np.flatnonzero(np.diff(steps)) + 1  # steps[k] differs from steps[k - 1]
    runs: list[int] = []
    start, length = 0, len(values)
    while start < length:
        if start == length - 1:
            runs += [int(values[start]), 0, 1]
            break
        at = int(np.searchsorted(bends, start, side="right"))
        end = int(bends[at]) + 1 if at < len(bends) else length  # values[start:end] have the same step
        if end - start == 2 and at + 1 < len(bends) and int(bends[at + 1]) > start + 2:
            end = start + 1  # a single value before a longer run must not take that run's first value
        runs += [int(values[start]), int(steps[start]) if end - start > 1 else 0, end - start]
        start = end
    return runs


def from_runs(runs: Sequence[int]) -> np.ndarray:
    """Decodes to (L,) int64."""
    pieces = [
        first + step * np.arange(count, dtype=np.int64)
        for first, step, count in zip(runs[0::3], runs[1::3], runs[2::3], strict=True)
    ]
    return np.concatenate(pieces) if pieces else np.zeros(0, dtype=np.int64)

"""Allotments: which axis turns which frequency pair of a head. Pairs are numbered fastest first."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from qwen2vl_demo.geometry import band_axes

SHARED = (
    -1
)  # in place of an axis: a token's three positions are equal, so it does not matter which of them turns a pair

Allotment = Callable[[Sequence[int]], np.ndarray]  # pairs for t, h and w -> (pairs,) 0, 1, 2 or SHARED


def shared(sections: Sequence[int]) -> np.ndarray:
    """All pairs turn with the one position that a token has."""
    return np.full(sum(sections), SHARED)


def blocks(sections: Sequence[int]) -> np.ndarray:
    """Three blocks: the fastest pairs turn with t, the next with h, the slowest with w. (arXiv 2409.12191)"""
    return band_axes(sections)


def interleaved(sections: Sequence[int]) -> np.ndarray:
    """t, h, w, t, h, w, ... from the fastest; where the share of h or w is used up, its turn falls to t.

    (arXiv 2510.23095; `recomposition_frequencies` in transformers' modeling_qwen3_vl.py.)
    """
    axes = np.zeros(sum(sections), dtype=np.int64)
    for axis in (1, 2):
        axes[axis : 3 * sections[axis] : 3] = axis
    return axes


def time_slowest(sections: Sequence[int]) -> np.ndarray:
    """h, w, h, w, ... from the fastest, and the slowest pairs turn with t.

    (VideoRoPE: arXiv 2502.05173, section 4; `apply_m_modify_multimodal_rotary_pos_emb` of its reference
    implementation.)
    """
    axes = np.zeros(sum(sections), dtype=np.int64)
    across = sections[1] + sections[2]
    axes[:across] = 1 + np.arange(across) % 2
    return axes

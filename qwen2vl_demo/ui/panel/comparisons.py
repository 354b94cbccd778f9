"""Figures that compare a picture with other models' resolutions, and the pixels they are made of."""

from __future__ import annotations

import hashlib

import numpy as np

from qwen2vl_demo.lru_cache import LRUCache
from qwen2vl_demo.trace import MediaTrace
from qwen2vl_demo.ui.panel.comparison_html import comparison_gone_html, comparison_html

MAX_FIGURES = 8
MAX_PIXEL_BYTES = 48 * 2**20  # a picture at the released checkpoints' limit has 39 MB

Pixels = tuple[np.ndarray, np.ndarray | None]  # resized, original


class Comparisons:
    """Keeps the pixels that a figure may be made of, and finished figures, each within a budget. Thread-safe.

    Both are named by content and by the `cache_salt` of the prompt, so that the prompts of a conversation share them.
    """

    def __init__(self, max_pixel_bytes: int = MAX_PIXEL_BYTES, max_figures: int = MAX_FIGURES) -> None:
        self._pixels: LRUCache[str, Pixels] = LRUCache(max_pixel_bytes, _nbytes)
        self._figures: LRUCache[str, str] = LRUCache(max_figures)

    def put(self, salt: str, medium: MediaTrace, resized: np.ndarray, original: np.ndarray | None) -> None:
        """Keeps a medium's pixels, (H, W, 3) uint8: resized for Qwen2-VL, and before resizing (None: the same)."""
        key = _key(salt, medium)
        if self._pixels.get(key) is None:
            self._pixels.put(key, (resized.copy(), original))  # a view of one frame would keep the whole clip in memory

    def html(self, salt: str, medium: MediaTrace) -> str:
        """The figure of a medium, or a sentence if its pixels are no longer kept."""
        key = _key(salt, medium)
        figure = self._figures.get(key)
        if figure is not None:
            return figure
        pixels = self._pixels.get(key)
        if pixels is None:
            return comparison_gone_html()
        figure = comparison_html(medium, *pixels)
        self._figures.put(key, figure)
        return figure


def _key(salt: str, medium: MediaTrace) -> str:
    """Names all that a figure shows: the pixels, the medium's name and its numbers."""
    shown = (
        salt,
        medium.digest,
        medium.name,
        medium.original_size,
        medium.grid_thw,
        medium.max_pixels,
        medium.frame_indices,
    )
    return hashlib.sha256(repr(shown).encode()).hexdigest()


def _nbytes(pixels: Pixels) -> int:
    return sum(array.nbytes for array in pixels if array is not None)

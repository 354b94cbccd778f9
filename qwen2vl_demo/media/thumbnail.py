"""Thumbnails: a picture or the first frame of a clip before it was resized for the model, reduced for display."""

from __future__ import annotations

import numpy as np
import PIL.Image

from qwen2vl_demo.geometry import Size

MAX_SIDE = 1280  # px, the longer side


def image_thumbnail(picture: PIL.Image.Image) -> np.ndarray:
    """Reduces a picture, in place, to a thumbnail; returns its pixels, (H, W, 3) uint8."""
    picture.thumbnail((MAX_SIDE, MAX_SIDE), reducing_gap=2.0)
    return np.asarray(picture, dtype=np.uint8)


def thumbnail_size(size: Size) -> Size:
    """The size of the thumbnail of a frame of this size."""
    scale = min(1.0, MAX_SIDE / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))

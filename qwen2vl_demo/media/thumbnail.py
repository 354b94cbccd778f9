"""Thumbnails: a picture or the first frame of a clip before it was resized for the model, reduced for display."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import PIL.Image

from qwen2vl_demo.geometry import Size
from qwen2vl_demo.media.images import open_image
from qwen2vl_demo.media.source import Source

MAX_SIDE = 1280  # px, the longer side


def image_thumbnail(picture: PIL.Image.Image) -> np.ndarray:
    """Reduces a picture, in place, to a thumbnail; returns its pixels, (H, W, 3) uint8."""
    picture.thumbnail((MAX_SIDE, MAX_SIDE), reducing_gap=2.0)
    return np.asarray(picture, dtype=np.uint8)


def thumbnail_size(size: Size) -> Size:
    """The size of the thumbnail of a frame of this size."""
    scale = min(1.0, MAX_SIDE / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def load_thumbnail(source: Source, *, video: bool = False) -> np.ndarray:
    """Decodes a file for its thumbnail alone; `Processor.process(thumbnails=True)` returns it from the same decode."""
    from qwen2vl_demo.media.video import read_video

    if video and isinstance(source, str | Path | bytes):
        return read_video(
            source, fps=1.0, min_frames=2, max_frames=2, resize=lambda count, size: thumbnail_size(size)
        ).frames[0]
    return image_thumbnail(open_image(source))

"""A picture or clip as it came, made small enough to look at beside what became of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from qwen2vl_demo.geometry import Size
from qwen2vl_demo.media.images import open_image
from qwen2vl_demo.media.source import Source
from qwen2vl_demo.media.video import read_video

SIDE = 1280  # px, the longer side at most


def load_thumbnail(source: Source, *, video: bool = False) -> np.ndarray:
    """(H, W, 3) uint8, upright; of a clip the first frame, which is always among the sampled ones. Raises UserError."""
    if video and isinstance(source, str | Path | bytes):
        return read_video(source, fps=1.0, min_frames=2, max_frames=2, resize=_fitting).frames[0]
    picture = open_image(source)
    picture.thumbnail((SIDE, SIDE), reducing_gap=2.0)
    return np.asarray(picture, dtype=np.uint8)


def _fitting(count: int, size: Size) -> Size:
    scale = min(1.0, SIDE / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))

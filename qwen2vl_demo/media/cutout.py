"""A part of a picture as a file of its own, with the pixels of the original and nothing resized."""

from __future__ import annotations

import io
import math
from pathlib import Path

from qwen2vl_demo.geometry import MAX_ASPECT_RATIO
from qwen2vl_demo.media.images import open_image
from qwen2vl_demo.media.source import MediaLimits

Shares = tuple[float, float, float, float]  # left, top, right, bottom: shares of the upright picture's sides, 0 to 1

LOSSLESS_PIXELS = 4_000_000  # a larger part is written as JPEG: as PNG it can be ten times its original's size
JPEG_QUALITY = 95
MIN_SIDE = 8  # px, below which nothing can be made out
ROUNDING = 1e-6  # px by which a browser's arithmetic may miss the edge of a pixel


def cut_out(path: Path, limits: MediaLimits, name: str, shares: Shares) -> tuple[bytes, str]:
    """The bytes of a file with that part of a picture, upright, and the ending of its format.

    Every pixel that the box touches belongs to it. A box that is smaller or narrower than a model can be shown grows to
    all sides, as far as the picture goes. Raises UserError as `open_image` does.
    """
    picture = open_image(path, limits, name)
    left, right = _touched(shares[0], shares[2], picture.width)
    top, bottom = _touched(shares[1], shares[3], picture.height)
    least = max(MIN_SIDE, math.ceil(max(right - left, bottom - top) / MAX_ASPECT_RATIO))
    left, right = _grown(left, right, least, picture.width)
    top, bottom = _grown(top, bottom, least, picture.height)
    part = picture.crop((left, top, right, bottom))
    buffer = io.BytesIO()
    if part.width * part.height > LOSSLESS_PIXELS:
        part.save(buffer, "JPEG", quality=JPEG_QUALITY, subsampling=0)
        return buffer.getvalue(), "jpg"
    part.save(buffer, "PNG")
    return buffer.getvalue(), "png"


def _touched(first: float, last: float, length: int) -> tuple[int, int]:
    """The first pixel of a side in a box, and the one behind its last."""
    start = min(math.floor(first * length + ROUNDING), length - 1)
    return start, min(max(math.ceil(last * length - ROUNDING), start + 1), length)


def _grown(start: int, end: int, least: int, length: int) -> tuple[int, int]:
    """The same with at least `least` pixels, or all of the side."""
    missing = least - (end - start)
    if missing <= 0:
        return start, end
    start = max(0, min(start - missing // 2, length - least))
    return start, min(start + least, length)

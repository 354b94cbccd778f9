"""Pixels as data URIs of bounded length.

A picture becomes one image, the frames of a clip a sprite sheet. Small images are lossless WebP, so that a magnified
pixel is exact; larger ones are JPEG, which encodes ten times as fast as WebP, or lossy WebP if only that fits. The
result depends on the pixels alone.
"""

from __future__ import annotations

import base64
import io
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import PIL.Image

SIDE = 1280  # px, the longest side of a picture
SPRITE_SIDE = 16_000  # px; WebP allows 16383
LOSSLESS_PIXELS = 640 * 640  # above this, lossless encoding takes too long
PIXELS_PER_BYTE = 8  # pictures are scaled down to this rate before the first attempt
# Tried in order; after the last one the picture is scaled down. Method 0 is the fastest of WebP.
LOSSY: tuple[dict[str, Any], ...] = (
    {"format": "JPEG", "quality": 84, "subsampling": 0},
    {"format": "JPEG", "quality": 78},
    {"format": "WEBP", "quality": 70, "method": 0},
    {"format": "WEBP", "quality": 45, "method": 0},
)
LOSSLESS: dict[str, Any] = {"format": "WEBP", "lossless": True, "quality": 30, "method": 0}


@dataclass(frozen=True)
class EncodedImage:
    """Frames in one image: `columns` in a row, each (height, width) px."""

    uri: str
    height: int
    width: int
    count: int
    columns: int
    scale: float  # encoded pixels per source pixel; 1 is the original size
    lossless: bool

    def to_dict(self) -> dict[str, Any]:
        return vars(self).copy()


def encode_frames(frames: np.ndarray, max_chars: int, *, side: int = SIDE) -> EncodedImage:
    """Frames (n, H, W, 3) uint8 as one data URI of at most about `max_chars` characters; n = 1 for a picture.

    The frames of a clip share the budget: the more there are, the smaller each is. `side` is the longest side in px.
    """
    count, height, width, _ = frames.shape
    max_bytes = max_chars * 3 // 4
    scale = min(1.0, side / max(height, width), math.sqrt(max_bytes * PIXELS_PER_BYTE / (count * height * width)))
    while True:
        columns = _columns(count, height * scale, width * scale)
        sheet, size = _sheet(frames, scale, columns)
        small = scale == 1.0 and sheet.width * sheet.height <= LOSSLESS_PIXELS
        for way in (LOSSLESS, *LOSSY) if small else LOSSY:
            uri = _written(sheet, way)
            if len(uri) <= max_chars:
                return EncodedImage(uri, *size, count, columns, scale, lossless=way is LOSSLESS)
        if max(sheet.size) <= 64:
            return EncodedImage(uri, *size, count, columns, scale, lossless=False)
        scale *= 0.75


def _columns(count: int, height: float, width: float) -> int:
    """Frames in a row, so that the sheet is about square."""
    return min(count, max(1, round(math.sqrt(count * height / width)), math.ceil(count * height / SPRITE_SIDE)))


def _sheet(frames: np.ndarray, scale: float, columns: int) -> tuple[PIL.Image.Image, tuple[int, int]]:
    """The sheet and the (height, width) of a frame on it."""
    count, height, width, _ = frames.shape
    h, w = max(1, round(height * scale)), max(1, round(width * scale))
    rows = math.ceil(count / columns)
    if count == 1:
        return _small(frames[0], h, w), (h, w)
    sheet = PIL.Image.new("RGB", (columns * w, rows * h))
    for index, frame in enumerate(frames):
        sheet.paste(_small(frame, h, w), (index % columns * w, index // columns * h))
    return sheet, (h, w)


def _small(frame: np.ndarray, height: int, width: int) -> PIL.Image.Image:
    picture = PIL.Image.fromarray(frame)
    if picture.size == (width, height):
        return picture
    return picture.resize((width, height), PIL.Image.Resampling.BILINEAR)


def _written(picture: PIL.Image.Image, way: dict[str, Any]) -> str:
    buffer = io.BytesIO()
    picture.save(buffer, **way)
    return f"data:image/{way['format'].lower()};base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"

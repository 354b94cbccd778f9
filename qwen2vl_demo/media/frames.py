"""Converting decoded video frames to RGB arrays: scaled, transformed by the display matrix, composited on white."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
import numpy as np
from av.video.reformatter import ColorRange, Interpolation, VideoReformatter

from qwen2vl_demo.geometry import Size

SCALING = Interpolation.BICUBIC | Interpolation.FULL_CHR_H_INT
MAX_PIXEL_ASPECT = 4  # a sample aspect ratio beyond this is taken for an error of the header


@dataclass(frozen=True)
class DisplayTransform:
    """What makes a frame upright: first transpose, then flip."""

    transpose: bool = False
    flip_rows: bool = False  # upside down
    flip_columns: bool = False  # left to right


def display_of(frame: av.VideoFrame, aspect: Fraction | None) -> tuple[Size, DisplayTransform]:
    """The size of a frame when displayed upright with square pixels, and the transform that makes it upright.

    `aspect` is the sample aspect ratio, the width of a pixel divided by its height, if known.
    """
    height, width = frame.height, frame.width
    if aspect and 1 / MAX_PIXEL_ASPECT <= aspect <= MAX_PIXEL_ASPECT:
        width = max(1, round(width * aspect))
    transform = _display_transform(frame)
    return ((width, height) if transform.transpose else (height, width)), transform


class FrameWriter:
    """Writes frames into an array `out` (n, h, w, 3) uint8, scaled to its size with swscale's bicubic filter."""

    def __init__(self, out: np.ndarray, transform: DisplayTransform) -> None:
        self._out, self._transform = out, transform
        self._reformatter = VideoReformatter()  # caches its filter tables between frames

    def write(self, slot: int, frame: av.VideoFrame) -> None:
        """Writes one frame to `out[slot]`."""
        height, width = self._out.shape[1:3]
        if self._transform.transpose:
            height, width = width, height
        transparent = any(c.is_alpha for c in frame.format.components)
        scaled = self._reformatter.reformat(
            frame,
            width=width,
            height=height,
            format="rgba" if transparent else "rgb24",
            interpolation=SCALING,
            dst_color_range=ColorRange.JPEG,
            threads=1,
        )
        picture = scaled.to_ndarray()
        if transparent:
            alpha = picture[..., 3:].astype(np.uint16)
            picture = ((picture[..., :3] * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)
        if self._transform.transpose:
            picture = picture.swapaxes(0, 1)
        rows, columns = -1 if self._transform.flip_rows else 1, -1 if self._transform.flip_columns else 1
        self._out[slot] = picture[::rows, ::columns]


def _display_transform(frame: av.VideoFrame) -> DisplayTransform:
    """From the display matrix, x' = a x + c y, y' = b x + d y, rounded to the nearest multiple of 90 degrees."""
    try:
        data: Any = frame.side_data.get("DISPLAYMATRIX")
        a, b, _, c, d = (0, 0, 0, 0, 0) if data is None else np.frombuffer(bytes(data), np.int32)[:5].tolist()
    except ValueError:  # PyAV fails on side data of a kind it has no name for; the angle is still available
        angle = math.radians(frame.rotation)  # counterclockwise
        a, b, c, d = math.cos(angle), -math.sin(angle), math.sin(angle), math.cos(angle)
    if abs(a) + abs(d) >= abs(b) + abs(c):
        return DisplayTransform(False, flip_rows=d < 0, flip_columns=a < 0)
    return DisplayTransform(True, flip_rows=b < 0, flip_columns=c < 0)

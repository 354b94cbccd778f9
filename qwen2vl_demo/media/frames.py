"""One decoded frame as RGB numbers: scaled, turned by its display matrix, on white.

Knows PyAV's frames and numpy; does not know which frame it is or what it is for.
"""

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
MAX_PIXEL_ASPECT = 4  # a header that claims pixels longer than that is not believed


@dataclass(frozen=True)
class Turn:
    """What makes a frame upright: first swap rows with columns, then mirror."""

    transposed: bool = False
    mirror_rows: bool = False  # upside down
    mirror_columns: bool = False  # left to right


def display_of(frame: av.VideoFrame, aspect: Fraction | None) -> tuple[Size, Turn]:
    """The (height, width) at which a frame is meant to be seen, upright and with square pixels, and its turn.

    `aspect` is the width of one of its pixels / its height, if known.
    """
    height, width = frame.height, frame.width
    if aspect and 1 / MAX_PIXEL_ASPECT <= aspect <= MAX_PIXEL_ASPECT:
        width = max(1, round(width * aspect))
    turn = _turn(frame)
    return ((width, height) if turn.transposed else (height, width)), turn


class FramePainter:
    """Writes frames into the slots of `out` (n, h, w, 3) uint8, scaled to its size with swscale's bicubic."""

    def __init__(self, out: np.ndarray, turn: Turn) -> None:
        self._out, self._turn = out, turn
        self._reformatter = VideoReformatter()  # keeps its tables from frame to frame

    def paint(self, slot: int, frame: av.VideoFrame) -> None:
        height, width = self._out.shape[1:3]
        if self._turn.transposed:
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
        if self._turn.transposed:
            picture = picture.swapaxes(0, 1)
        self._out[slot] = picture[:: -1 if self._turn.mirror_rows else 1, :: -1 if self._turn.mirror_columns else 1]


def _turn(frame: av.VideoFrame) -> Turn:
    """From the display matrix: x' = a x + c y, y' = b x + d y, of which the nearest quarter turn is taken."""
    try:
        data: Any = frame.side_data.get("DISPLAYMATRIX")
        a, b, _, c, d = (0, 0, 0, 0, 0) if data is None else np.frombuffer(bytes(data), np.int32)[:5].tolist()
    except ValueError:  # side data of a kind that PyAV has no name for hides the matrix; the angle is still known
        angle = math.radians(frame.rotation)  # counterclockwise
        a, b, c, d = math.cos(angle), -math.sin(angle), math.sin(angle), math.cos(angle)
    if abs(a) + abs(d) >= abs(b) + abs(c):
        return Turn(False, mirror_rows=d < 0, mirror_columns=a < 0)
    return Turn(True, mirror_rows=b < 0, mirror_columns=c < 0)

"""Converting decoded video frames to RGB arrays: cropped, scaled, made upright, composited on white, in sRGB."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Protocol

import av
import numpy as np
from av.video.reformatter import ColorRange, Interpolation, VideoReformatter

from qwen2vl_demo.geometry import Size
from qwen2vl_demo.media.frame_filters import Crop, cropped
from qwen2vl_demo.media.tone_mapping import to_srgb
from qwen2vl_demo.media.video_colour import Colour

SCALING = Interpolation.BICUBIC | Interpolation.FULL_CHR_H_INT
MAX_PIXEL_ASPECT = 4  # a sample aspect ratio beyond this is taken for an error of the header
WHITE = 255


@dataclass(frozen=True)
class DisplayTransform:
    """What makes a frame upright: first transpose, then flip."""

    transpose: bool = False
    flip_rows: bool = False  # upside down
    flip_columns: bool = False  # left to right


@dataclass(frozen=True)
class View:
    """How the frames of a clip are shown."""

    transform: DisplayTransform
    aspect: Fraction  # the width of a pixel divided by its height
    crop: Crop  # applies to frames of the size `coded`
    coded: Size
    colour: Colour  # what the container says, for frames that say nothing
    peak: float | None  # brightest light of the clip in cd/m2, if stated

    @classmethod
    def of(cls, frame: av.VideoFrame, aspect: Fraction | None, crop: Crop, colour: Colour) -> View:
        """Of a clip with this first frame; `aspect` is None if unknown."""
        if not aspect or not 1 / MAX_PIXEL_ASPECT <= aspect <= MAX_PIXEL_ASPECT:
            aspect = Fraction(1)
        return cls(_display_transform(frame), aspect, crop, (frame.height, frame.width), colour, _peak(frame))

    def size_of(self, frame: av.VideoFrame) -> Size:
        """The size of a frame when displayed: cropped, upright, with square pixels."""
        crop = self.crop_of(frame)
        height, width = frame.height - crop.top - crop.bottom, frame.width - crop.left - crop.right
        width = max(1, round(width * self.aspect))
        return (width, height) if self.transform.transpose else (height, width)

    def crop_of(self, frame: av.VideoFrame) -> Crop:
        return self.crop if (frame.height, frame.width) == self.coded else Crop()


class Frames(Protocol):
    """An array (n, h, w, 3) uint8 of frames, or what hands out a picture (h, w, 3) to write each of them into."""

    def __getitem__(self, slot: int, /) -> np.ndarray: ...


class FrameWriter:
    """Writes frames into an array `out` (n, h, w, 3) uint8, scaled to its size with swscale's bicubic filter.

    `size` is that of the clip when displayed. A frame of other proportions, after a change in mid-stream, keeps its
    own, between black bars, as in a player.
    """

    def __init__(self, out: Frames, view: View, size: Size) -> None:
        self._out, self._view, self._size = out, view, size
        self._reformatter = VideoReformatter()  # caches its filter tables between frames

    def write(self, slot: int, frame: av.VideoFrame) -> None:
        """Writes one frame to `out[slot]`."""
        shown, out = self._view.size_of(frame), self._out[slot]
        if shown != self._size:
            out[:] = 0
            out = _inside(out, shown, self._size)
        height, width = out.shape[:2]
        transform = self._view.transform
        picture = self._scaled(frame, *((width, height) if transform.transpose else (height, width)))
        if transform.transpose:
            picture = picture.swapaxes(0, 1)
        rows, columns = -1 if transform.flip_rows else 1, -1 if transform.flip_columns else 1
        out[:] = picture[::rows, ::columns]

    def _scaled(self, frame: av.VideoFrame, height: int, width: int) -> np.ndarray:
        colour = Colour.of(frame, self._view.colour)
        lines = frame.height  # decides the matrix, therefore before cropping
        if crop := self._view.crop_of(frame):
            frame = cropped(frame, crop)
        if frame.format.has_palette or any(c.is_alpha for c in frame.format.components):
            frame, colour, lines = _on_white(frame, colour), Colour(), 0
        matrix, level = colour.swscale(lines)
        converted = colour.hdr or colour.wide
        picture = self._reformatter.reformat(
            frame,
            width=width,
            height=height,
            format="rgb48" if converted else "rgb24",
            interpolation=SCALING,
            src_colorspace=matrix,
            src_color_range=level,
            dst_color_range=ColorRange.JPEG,
            threads=1,
        ).to_ndarray()
        if converted:
            picture = to_srgb(picture, colour.transfer, colour.primaries, self._view.peak)
        if level == ColorRange.MPEG and frame.format.name.startswith("gray"):  # swscale takes any grey for full range
            picture = np.clip((picture.astype(np.float32) - 16) * (255 / 219) + 0.5, 0, 255).astype(np.uint8)
        return picture


def _inside(out: np.ndarray, shown: Size, size: Size) -> np.ndarray:
    """The part of `out`, a picture of `size` that was scaled, in which a frame of `shown` keeps its proportions."""
    scale = min(size[0] / shown[0], size[1] / shown[1])
    h, w = (max(1, round(o * s * scale / z)) for o, s, z in zip(out.shape, shown, size, strict=False))
    top, left = (out.shape[0] - h) // 2, (out.shape[1] - w) // 2
    return out[top : top + h, left : left + w]


def _on_white(frame: av.VideoFrame, colour: Colour) -> av.VideoFrame:
    """A frame of its own size without transparency. Scaled before this, hidden colours would show at the edges."""
    matrix, level = colour.swscale(frame.height)
    rgba = frame.reformat(
        format="rgba", src_colorspace=matrix, src_color_range=level, dst_color_range=ColorRange.JPEG, threads=1
    ).to_ndarray()
    picture, alpha = rgba[..., :3], rgba[..., 3:]
    if alpha.min() < WHITE:
        alpha = alpha.astype(np.uint16)
        picture = ((picture * alpha + WHITE * (WHITE - alpha) + WHITE // 2) // WHITE).astype(np.uint8)
    return av.VideoFrame.from_ndarray(np.ascontiguousarray(picture, np.uint8), format="rgb24")


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


def _peak(frame: av.VideoFrame) -> float | None:
    """The brightest light in cd/m2: of the content if stated (MaxCLL), otherwise of the display it was made on."""
    try:
        content: Any = frame.side_data.get("CONTENT_LIGHT_LEVEL")  # uint32 MaxCLL, MaxFALL
        display: Any = frame.side_data.get("MASTERING_DISPLAY_METADATA")
    except ValueError:  # see above
        return None
    if content is not None and (brightest := int(np.frombuffer(bytes(content), np.uint32)[0])) > 0:
        return float(brightest)
    if display is not None:  # ten rationals of two int32, the last one is the maximum; then two flags
        numbers = np.frombuffer(bytes(display), np.int32)
        if len(numbers) >= 22 and numbers[21] and numbers[19] > 0 and numbers[18] > 0:
            return float(numbers[18] / numbers[19])
    return None

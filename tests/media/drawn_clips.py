"""Clips that the tests write: every frame shows its own number as bars, so that a sampled index can be read off it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from qwen2vl_demo import geometry
from qwen2vl_demo.errors import UserError
from qwen2vl_demo.media import Clip, read_video

BITS = 10
BAR = 16  # px, width of the bar of one bit
HEIGHT, WIDTH = 64, BITS * BAR


def drawn(number: int) -> np.ndarray:
    """(64, 160, 3): ten vertical bars, bright where the bit of `number` is set, lowest bit on the left."""
    bits = np.array([235 if number >> b & 1 else 20 for b in range(BITS)], np.uint8)
    return np.repeat(np.tile(np.repeat(bits, BAR), (HEIGHT, 1))[..., None], 3, axis=2)


def number_in(picture: np.ndarray) -> int:
    """Reads the number off a picture of any size."""
    height, width = picture.shape[:2]
    row = picture[height // 2, :, 1]
    return sum((row[int((b + 0.5) * width / BITS)] > 127) << b for b in range(BITS))


def write(
    path: Path,
    codec: str = "libx264",
    *,
    pictures: Iterable[np.ndarray] | None = None,
    count: int = 50,
    fps: Fraction | int = 25,
    times: Sequence[int] | None = None,
    time_base: Fraction | None = None,
    gop: int = 12,
    pixel_format: str = "yuv420p",
    options: dict[str, str] | None = None,
    aspect: Fraction | None = None,
    tags: dict[str, int] | None = None,
) -> Path:
    """Encodes `pictures` (numbered ones if none are given), at `fps` or at `times` in units of `time_base`."""
    if codec.startswith("libx26"):
        options = {"preset": "veryfast", "crf": "18", "x265-params": "log-level=none", **(options or {})}
    pictures = list(pictures if pictures is not None else map(drawn, range(count)))
    with av.open(str(path), "w") as box:
        stream = box.add_stream(codec, rate=fps, options=options or {})
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = pixel_format
        stream.codec_context.gop_size = gop
        stream.codec_context.bit_rate = 2_000_000
        if aspect is not None:
            stream.codec_context.sample_aspect_ratio = aspect
        for name, value in (tags or {}).items():
            setattr(stream.codec_context, name, value)
        if time_base is not None:
            stream.codec_context.time_base = time_base
        for i, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture, format="rgba" if picture.shape[2] == 4 else "rgb24")
            if tags:
                frame = frame.reformat(format=pixel_format, dst_colorspace=tags["colorspace"], dst_color_range=1)
            frame.pts = i if times is None else times[i]
            frame.time_base = Fraction(1) / fps if time_base is None else time_base
            box.mux(stream.encode(frame))
        box.mux(stream.encode())
    if codec == "libsvtav1" and hasattr(os, "sched_setscheduler"):
        # As root the encoder gives its caller real-time priority, which would starve all other processes.
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    return path


def same_size(count: int, size: geometry.Size) -> geometry.Size:
    return size


def read(source: object, **options: object) -> Clip:
    return read_video(source, **{"resize": same_size, **options})  # type: ignore[arg-type]


def sentence(source: object, **options: object) -> str:
    with pytest.raises(UserError) as caught:
        read(source, **options)
    text = str(caught.value)
    assert text.endswith(".") and "\n" not in text
    return text


def check_numbers(clip: Clip) -> None:
    """The invariants of a clip: an even count, one size, ascending times, and frames that show their indices."""
    assert clip.frames.dtype == np.uint8 and clip.frames.ndim == 4 and clip.frames.shape[3] == 3
    assert len(clip.frames) == len(clip.timestamps) == len(clip.indices)
    assert len(clip.frames) % 2 == 0
    assert list(clip.timestamps) == sorted(clip.timestamps)
    assert [number_in(f) for f in clip.frames] == list(clip.indices)


CONTAINERS = {
    "h264.mp4": {"codec": "libx264"},
    "h264.mov": {"codec": "libx264"},
    "h264.mkv": {"codec": "libx264"},
    "h264.ts": {"codec": "libx264"},
    "h264.flv": {"codec": "libx264"},
    "fragments.mp4": {"codec": "libx264"},
    "hevc.mp4": {"codec": "libx265"},
    "mpeg4.avi": {"codec": "mpeg4"},
    "mpeg4_b.mp4": {"codec": "mpeg4", "options": {"bf": "2"}},
    "mpeg4_b.avi": {"codec": "mpeg4", "options": {"bf": "2"}},
    "mjpeg.avi": {"codec": "mjpeg", "pixel_format": "yuvj420p"},
    "ffv1.mkv": {"codec": "ffv1"},
    "prores.mov": {"codec": "prores", "pixel_format": "yuv422p10le"},
    "mpeg2.mpg": {"codec": "mpeg2video"},
    "wmv2.wmv": {"codec": "wmv2"},
    "vp8.webm": {"codec": "libvpx", "options": {"deadline": "realtime", "cpu-used": "8"}},
    "vp9.webm": {"codec": "libvpx-vp9", "options": {"deadline": "realtime", "cpu-used": "8"}},
    "av1.webm": {"codec": "libsvtav1", "options": {"preset": "12", "svtav1-params": "lp=1"}},
    "moving.gif": {"codec": "gif", "pixel_format": "rgb8"},
}


def encodes(codec: str) -> bool:
    try:
        av.Codec(codec, "w")
    except av.codec.codec.UnknownCodecError:
        return False
    return True

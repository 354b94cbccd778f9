"""Reads a clip: how many frames, which ones, scaled to the size that the caller chooses.

The count and the indices are geometry's; what is in the file is Movie's or Animation's to find out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import PIL.Image

from qwen2vl_demo import geometry
from qwen2vl_demo.errors import UserError
from qwen2vl_demo.geometry import Size
from qwen2vl_demo.media.animated_webp import Animation
from qwen2vl_demo.media.file_type import check_kind, image_format
from qwen2vl_demo.media.source import MediaFile, MediaLimits, opened, readable
from qwen2vl_demo.media.timeline import Timeline
from qwen2vl_demo.media.video_decoding import Movie

DEFAULT_LIMITS = MediaLimits()
ATTEMPTS = 3  # a file that shows another number of frames each time is not read


@dataclass(frozen=True)
class Clip:
    """The sampled frames of a video. n is even; a clip of one frame has it twice."""

    frames: np.ndarray  # (n, h, w, 3) uint8 RGB, resized
    timestamps: tuple[float, ...]  # s after the clip's first frame at which each is shown
    indices: tuple[int, ...]  # which of the clip's frames they are, in the order in which they are shown
    total_frames: int  # frames in the clip
    source_fps: float  # frames a second in the clip, on average
    original_size: Size  # of its frames, after rotation, with square pixels


class _Reader(Protocol):
    timeline: Timeline
    original_size: Size

    def read(self, timeline: Timeline, indices: Sequence[int], out: np.ndarray) -> Timeline: ...


def read_video(
    source: str | Path | bytes,
    *,
    fps: float = geometry.VIDEO_FPS,
    min_frames: int = geometry.VIDEO_MIN_FRAMES,
    max_frames: int = geometry.VIDEO_MAX_FRAMES,
    resize: Callable[[int, Size], Size],
    limits: MediaLimits = DEFAULT_LIMITS,
) -> Clip:
    """Samples `fps` frames a second from a video, an animated GIF or an animated WebP.

    `resize(count, original_size)` gives the (height, width) that every one of `count` frames gets. Only sampled
    frames are scaled and kept. Raises UserError for whatever is not a video, has no frame that can be decoded or
    goes beyond `limits`. A file that is cut off is read as far as it goes.
    """
    if isinstance(source, PIL.Image.Image):
        raise UserError("A PIL image is a picture, not a video; send it as a picture.")
    if fps <= 0:
        raise UserError(f"Frames a second must be above 0, not {fps}; change fps.")
    with opened(source, limits.max_file_bytes) as media:
        reader = _reader(media, limits)
        timeline = reader.timeline
        for _ in range(ATTEMPTS):
            _check_length(media, timeline, limits)
            count = geometry.video_frame_count(
                timeline.total, timeline.fps, fps=fps, min_frames=min_frames, max_frames=max_frames
            )
            indices = geometry.sample_indices(timeline.total, count).tolist()
            height, width = resize(count, reader.original_size)
            distinct = sorted(set(indices))
            with readable(media.label, "video"):
                frames = np.empty((count, height, width, 3), np.uint8)
                found = reader.read(timeline, distinct, frames[: len(distinct)])
            if found == timeline:
                frames[len(distinct) :] = frames[len(distinct) - 1]  # only the last frame is ever repeated
                times = tuple(timeline.times[i] for i in indices)
                return Clip(frames, times, tuple(indices), timeline.total, timeline.fps, reader.original_size)
            timeline = found
    raise UserError(f"{media.label} shows other frames each time it is decoded; convert it to MP4 (H.264).")


def _reader(media: MediaFile, limits: MediaLimits) -> _Reader:
    with readable(media.label, "video"):
        try:
            return Animation(media, limits) if image_format(media) == "WEBP" else Movie(media, limits)
        except UserError:
            raise
        except Exception:
            check_kind(media, "video")  # says what it is instead
            raise


def _check_length(media: MediaFile, timeline: Timeline, limits: MediaLimits) -> None:
    seconds = timeline.times[-1]
    if seconds > limits.max_video_seconds:
        raise UserError(
            f"{media.label} lasts {seconds:.0f} s, more than the limit of {limits.max_video_seconds:.0f} s "
            "(max_video_seconds); cut it and send a shorter piece."
        )

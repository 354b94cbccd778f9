"""Reading a clip: sampling frames and scaling them to a size that the caller chooses.

`geometry` determines how many frames are sampled and which ones, as the reference does.
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
from qwen2vl_demo.media.animated_webp import AnimatedWebP
from qwen2vl_demo.media.file_type import check_kind, image_format
from qwen2vl_demo.media.frames import Frames
from qwen2vl_demo.media.source import DEFAULT_LIMITS, MediaFile, MediaLimits, decode_errors, open_source
from qwen2vl_demo.media.thumbnail import thumbnail_size
from qwen2vl_demo.media.time_range import WHOLE_CLIP, TimeRange
from qwen2vl_demo.media.timeline import Timeline
from qwen2vl_demo.media.video_decoding import VideoFile

ATTEMPTS = 3  # at reading a file whose frames turn out not to be those of its timeline


@dataclass(frozen=True)
class Clip:
    """The sampled frames of a video. n is even; a clip of one frame has it twice."""

    frames: np.ndarray  # (n, h, w, 3) uint8 RGB, resized
    timestamps: tuple[float, ...]  # presentation time of each sampled frame, s after the clip's first frame
    indices: tuple[int, ...]  # index of each sampled frame among the clip's frames in presentation order
    total_frames: int  # in the clip
    source_fps: float  # frames per second in the clip, on average
    duration: float  # s, of the whole clip
    original_size: Size  # of the clip's largest sampled frame, cropped, after rotation, with square pixels
    thumbnail: np.ndarray | None = None  # (H, W, 3) uint8, the first frame; None if not requested or not resized
    notices: tuple[str, ...] = ()  # sentences about what was not read exactly as the file says


class Reader(Protocol):
    """See `video_decoding.VideoFile`."""

    timeline: Timeline
    original_size: Size

    @property
    def notices(self) -> tuple[str, ...]: ...

    def read(
        self, timeline: Timeline, indices: Sequence[int], out: Frames, first: np.ndarray | None = None
    ) -> Timeline: ...


def read_video(
    source: str | Path | bytes,
    *,
    fps: float = geometry.VIDEO_FPS,
    min_frames: int = geometry.VIDEO_MIN_FRAMES,
    max_frames: int = geometry.VIDEO_MAX_FRAMES,
    time_range: TimeRange = WHOLE_CLIP,
    resize: Callable[[int, Size], Size],
    limits: MediaLimits = DEFAULT_LIMITS,
    label: str = "",
    thumbnail: bool = False,
) -> Clip:
    """Samples `fps` frames per second from `time_range` of a video, an animated GIF or an animated WebP.

    `resize(count, original_size)` returns the (height, width) to which each of the `count` sampled frames is scaled.
    With `thumbnail` the first frame is also returned at the size of a thumbnail, from the same decoding pass. `label`
    replaces the file's name in error messages. A truncated file is read as far as possible. Raises UserError for
    anything that is not a video, has no frame that can be decoded, or exceeds `limits`.
    """
    if isinstance(source, PIL.Image.Image):
        raise UserError("A PIL image is a picture, not a video; send it as a picture.")
    if fps <= 0:
        raise UserError(f"Frames per second must be above 0, not {fps}; change fps.")
    with open_source(source, limits, label) as media:
        reader = open_reader(media, limits)
        timeline = reader.timeline
        for _ in range(ATTEMPTS):
            check_length(media, timeline, limits)
            within = time_range.frames(timeline, media.label)
            count = geometry.video_frame_count(
                len(within), timeline.fps, fps=fps, min_frames=min_frames, max_frames=max_frames
            )
            indices = [within[i] for i in geometry.sample_indices(len(within), count).tolist()]
            size = reader.original_size
            height, width = resize(count, size)
            distinct = sorted(set(indices))
            wanted = thumbnail and (height, width) != size
            with decode_errors(media.label, "video"):
                frames = np.empty((count, height, width, 3), np.uint8)
                first = np.empty((1, *thumbnail_size(size), 3), np.uint8) if wanted else None
                found = reader.read(timeline, distinct, frames[: len(distinct)], first)
            if found == timeline and reader.original_size == size:
                frames[len(distinct) :] = frames[len(distinct) - 1]  # only the last frame is ever repeated
                return Clip(
                    frames=frames,
                    timestamps=tuple(timeline.times[i] for i in indices),
                    indices=tuple(indices),
                    total_frames=timeline.total,
                    source_fps=timeline.fps,
                    duration=timeline.duration,
                    original_size=size,
                    thumbnail=None if first is None else first[0],
                    notices=reader.notices,
                )
            timeline = found
    raise UserError(f"{media.label} shows other frames each time it is decoded; convert it to MP4 (H.264).")


def open_reader(media: MediaFile, limits: MediaLimits) -> Reader:
    """What reads the frames of a clip. Raises UserError for anything that is no clip, and beyond the limits."""
    with decode_errors(media.label, "video"):
        try:
            return AnimatedWebP(media, limits) if image_format(media) == "WEBP" else VideoFile(media, limits)
        except UserError:
            raise
        except Exception:
            check_kind(media, "video")  # raises a UserError that states the actual type
            raise


def check_length(media: MediaFile, timeline: Timeline, limits: MediaLimits) -> None:
    """Raises UserError for a clip that lasts longer than the limit."""
    seconds = timeline.times[-1]
    if seconds > limits.max_video_seconds:
        raise UserError(
            f"{media.label} lasts {seconds:.0f} s, more than the limit of {limits.max_video_seconds:.0f} s; "
            "cut it and send a shorter piece."
        )

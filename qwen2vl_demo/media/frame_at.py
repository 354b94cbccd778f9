"""One frame of a clip, by its time."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from qwen2vl_demo.errors import UserError
from qwen2vl_demo.media.source import DEFAULT_LIMITS, MediaLimits, decode_errors, open_source
from qwen2vl_demo.media.video import ATTEMPTS, check_length, open_reader


def frame_at(
    path: Path, seconds: float, max_side: int, limits: MediaLimits = DEFAULT_LIMITS, label: str = ""
) -> np.ndarray:
    """(H, W, 3) uint8: the frame whose presentation time is nearest to `seconds` after the first one, reduced to at
    most `max_side` pixels a side. Raises UserError as `read_video` does."""
    with open_source(path, limits, label) as media:
        reader = open_reader(media, limits)
        timeline = reader.timeline
        for _ in range(ATTEMPTS):
            check_length(media, timeline, limits)
            index = int(np.abs(np.asarray(timeline.times) - seconds).argmin())
            size = reader.original_size
            scale = min(1.0, max_side / max(size))
            height, width = (max(2, round(side * scale)) for side in size)
            with decode_errors(media.label, "video"):
                frames = np.empty((1, height, width, 3), np.uint8)
                found = reader.read(timeline, [index], frames)
            if found == timeline and reader.original_size == size:
                return frames[0]
            timeline = found
    raise UserError(f"{media.label} shows other frames each time it is decoded; convert it to MP4 (H.264).")

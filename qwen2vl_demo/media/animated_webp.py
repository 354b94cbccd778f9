"""Reading animated WebP, which FFmpeg cannot decode. Same interface as `video_decoding.VideoFile`."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from itertools import accumulate

import numpy as np
import PIL.Image
from PIL.Image import Resampling

from qwen2vl_demo.errors import UserError
from qwen2vl_demo.geometry import Size
from qwen2vl_demo.media import webp
from qwen2vl_demo.media.file_type import identify_image
from qwen2vl_demo.media.frames import Frames
from qwen2vl_demo.media.rgb import to_rgb
from qwen2vl_demo.media.source import MediaFile, MediaLimits
from qwen2vl_demo.media.timeline import Timeline, from_times, shown_ms


class AnimatedWebP:
    """An animated WebP file; a still one is a clip of one frame."""

    timeline: Timeline
    original_size: Size
    notices: tuple[str, ...] = ()

    def __init__(self, media: MediaFile, limits: MediaLimits) -> None:
        self._media = media
        with identify_image(media, limits) as image:  # checks the size
            self.original_size = (image.height, image.width)
            frames = getattr(image, "n_frames", 1)
        if frames > limits.max_video_frames:
            raise UserError(
                f"{media.label} has {frames} frames, more than the limit of {limits.max_video_frames}; "
                "cut it and send a shorter piece."
            )
        # Pillow knows the duration of a frame only after decoding it.
        durations = [shown_ms(delay) for delay in webp.read_header(media.file).durations] or [0]
        if len(durations) != frames:
            raise ValueError(f"{frames} frames but {len(durations)} durations")
        starts = [Fraction(ms, 1000) for ms in accumulate(durations[:-1], initial=0)]
        self.timeline = from_times(starts, Fraction(durations[-1], 1000), None, Fraction(1, 1000))

    def read(
        self, timeline: Timeline, indices: Sequence[int], out: Frames, first: np.ndarray | None = None
    ) -> Timeline:
        """See `VideoFile.read`. The frames of a WebP file are always those of its timeline."""
        with identify_image(self._media) as image:
            for slot, index in enumerate(indices):
                image.seek(index)
                image.load()
                frame = to_rgb(image)
                out[slot][:] = _resized(frame, out[slot])
                if slot == 0 and first is not None:
                    first[0] = _resized(frame, first[0])
        return timeline


def _resized(frame: PIL.Image.Image, out: np.ndarray) -> np.ndarray:
    height, width = out.shape[:2]
    return np.asarray(frame.resize((width, height), Resampling.BICUBIC))

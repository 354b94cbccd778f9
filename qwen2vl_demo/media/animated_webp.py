"""Reads an animated WebP, which FFmpeg cannot. Knows PIL and the WebP container; the counterpart of Movie."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from itertools import accumulate

import numpy as np
from PIL.Image import Resampling

from qwen2vl_demo.errors import UserError
from qwen2vl_demo.geometry import Size
from qwen2vl_demo.media.file_type import identify_image
from qwen2vl_demo.media.images import check_size, to_rgb
from qwen2vl_demo.media.source import MediaFile, MediaLimits
from qwen2vl_demo.media.timeline import Timeline, from_times


class Animation:
    """An animated WebP; a still one is a clip of one frame."""

    timeline: Timeline
    original_size: Size

    def __init__(self, media: MediaFile, limits: MediaLimits) -> None:
        self._media = media
        with identify_image(media) as image:
            check_size(media.label, image.height, image.width, limits)
            self.original_size = (image.height, image.width)
            frames = getattr(image, "n_frames", 1)
        if frames > limits.max_video_frames:
            raise UserError(
                f"{media.label} has {frames} frames, more than the limit of {limits.max_video_frames} "
                "(max_video_frames); cut it and send a shorter piece."
            )
        shown = _durations(media.rewound().read()) or [0]
        if len(shown) != frames:
            raise ValueError(f"{frames} frames but {len(shown)} durations")
        starts = [Fraction(ms, 1000) for ms in accumulate(shown[:-1], initial=0)]
        self.timeline = from_times(starts, Fraction(shown[-1], 1000), None, Fraction(1, 1000))

    def read(self, timeline: Timeline, indices: Sequence[int], out: np.ndarray) -> Timeline:
        height, width = out.shape[1:3]
        with identify_image(self._media) as image:
            for slot, index in enumerate(indices):
                image.seek(index)
                out[slot] = np.asarray(to_rgb(image).resize((width, height), Resampling.BICUBIC))
        return timeline


def _durations(data: bytes) -> list[int]:
    """Milliseconds for which each frame is shown, from the file's ANMF chunks (PIL tells only after decoding).

    RIFF: every chunk is a name, a little-endian length and that many bytes, padded to an even count. Bytes 12 to 14
    of ANMF are the duration. (WebP container specification, "Animation".)
    """
    durations, at = [], 12
    while at + 8 <= len(data):
        name, length = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "little")
        if name == b"ANMF":
            durations.append(int.from_bytes(data[at + 20 : at + 23], "little"))
        at += 8 + length + length % 2
    return durations

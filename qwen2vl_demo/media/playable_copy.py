"""What is shown of a clip that browsers do not play: a small copy that they do, or some of its frames."""

from __future__ import annotations

import io
import time
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import PIL.Image
from av.video.reformatter import ColorRange, Colorspace

from qwen2vl_demo.geometry import Size
from qwen2vl_demo.media.source import MediaLimits, decode_errors, open_source
from qwen2vl_demo.media.timeline import Timeline
from qwen2vl_demo.media.video import ATTEMPTS, check_length, open_reader, read_video
from qwen2vl_demo.media.video_colour import BT709

COPY_SIDE = 640  # px, the longer side
COPY_RATE = 15  # frames a second, at most
COPY_SECONDS = 5.0  # of processor time, after which a copy is given up; a worker has 10 by default
COPY_QUALITY = {"preset": "ultrafast", "crf": "26"}
CLOCK = Fraction(1, 1000)  # s, the unit of a copy's time stamps
FRAMES, FRAMES_SIDE = 12, 400  # of an animation of frames, and px of the longer side
FRAMES_QUALITY = 70


def playable_copy(path: Path, limits: MediaLimits, label: str = "", seconds: float | None = None) -> bytes | None:
    """The clip as MP4 (H.264) without sound, upright, in sRGB. Raises UserError as `read_video` does.

    None if that takes more than `seconds` of processor time (COPY_SECONDS).
    """
    deadline = time.process_time() + (COPY_SECONDS if seconds is None else seconds)
    with open_source(path, limits, label) as media:
        reader = open_reader(media, limits)
        timeline = reader.timeline
        for _ in range(ATTEMPTS):
            check_length(media, timeline, limits)
            indices = _thinned(timeline)
            size = reader.original_size
            encoder = _Encoder(
                _small(size, COPY_SIDE), [timeline.times[i] for i in indices], 1 / timeline.fps, deadline
            )
            try:
                with decode_errors(media.label, "video"):
                    try:
                        found = reader.read(timeline, indices, encoder)
                    except _TooSlow:
                        return None
                    if found == timeline and reader.original_size == size:
                        return encoder.finish()
            finally:
                encoder.close()
            timeline = found
    return None


def sampled_frames(path: Path, limits: MediaLimits, label: str = "") -> bytes:
    """FRAMES of the clip, spread over it, as an animated WebP of its length. Raises UserError as `read_video` does."""
    clip = read_video(
        path,
        fps=COPY_RATE,
        max_frames=FRAMES,
        resize=lambda _, size: _small(size, FRAMES_SIDE),
        limits=limits,
        label=label,
    )
    frames = list(dict(zip(clip.indices, clip.frames, strict=True)).values())  # the last one may stand there twice
    starts = list(dict.fromkeys(clip.timestamps))
    length = max(clip.total_frames / clip.source_fps, starts[-1] + 0.04)
    shown = [max(20, round(1000 * (end - start))) for start, end in zip(starts, [*starts[1:], length], strict=True)]
    first, *others = map(PIL.Image.fromarray, frames)
    buffer = io.BytesIO()
    first.save(
        buffer,
        "WEBP",
        save_all=True,
        append_images=others,
        duration=shown[: len(frames)],
        loop=0,
        quality=FRAMES_QUALITY,
        method=2,
    )
    return buffer.getvalue()


class _Encoder:
    """Takes the place of an array of frames: whoever writes frame n asks for `encoder[n]`, one after the other. A frame
    is encoded when the next one is asked for."""

    def __init__(self, size: Size, times: Sequence[float], last: float, deadline: float) -> None:
        """`times` are those of the frames in s, `last` how long the last one is shown. Raises _TooSlow in `encoder[n]`
        once the process has had the processor until `deadline`."""
        self._times, self._last, self._deadline = times, last, deadline
        self._picture = np.zeros((*size, 3), np.uint8)
        self._slot: int | None = None
        self._buffer = io.BytesIO()
        self._box = av.open(self._buffer, "w", format="mp4")
        self._stream = self._box.add_stream("libx264", rate=COPY_RATE, options=COPY_QUALITY)
        self._stream.height, self._stream.width = size
        self._stream.pix_fmt = "yuv420p"
        context = self._stream.codec_context
        context.time_base = CLOCK
        context.thread_count = 1
        context.colorspace = context.color_primaries = context.color_trc = BT709
        context.color_range = ColorRange.MPEG

    def __getitem__(self, slot: int) -> np.ndarray:
        if time.process_time() > self._deadline:
            raise _TooSlow
        self._encode()
        # Frames whose neighbours never came are written at the end; a copy does without them.
        self._slot = slot if self._slot is None or slot > self._slot else None
        return self._picture

    def finish(self) -> bytes:
        self._encode()
        self._box.mux(self._stream.encode())
        self._box.close()
        return self._buffer.getvalue()

    def close(self) -> None:
        self._box.close()

    def _encode(self) -> None:
        if self._slot is None:
            return
        start = self._times[self._slot]
        end = self._times[self._slot + 1] if self._slot + 1 < len(self._times) else start + self._last
        frame = av.VideoFrame.from_ndarray(self._picture, format="rgb24").reformat(
            format="yuv420p", dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG, threads=1
        )
        frame.time_base = CLOCK
        frame.pts = round(start / CLOCK)
        frame.duration = max(1, round(end / CLOCK) - frame.pts)
        self._box.mux(self._stream.encode(frame))


class _TooSlow(Exception):
    """The copy takes more processor time than it may."""


def _small(size: Size, most: int) -> Size:
    """A size of even numbers, which H.264 needs, with `most` on the longer side."""
    scale = min(1.0, most / max(size))
    return max(2, round(size[0] * scale / 2) * 2), max(2, round(size[1] * scale / 2) * 2)


def _thinned(timeline: Timeline) -> list[int]:
    """Every frame of a clip of at most COPY_RATE frames a second, else as many as that, evenly."""
    gap, chosen = 1 / COPY_RATE, list[int]()
    due = 0.0
    for index, at in enumerate(timeline.times):
        if at >= due - 0.001:
            chosen.append(index)
            due = max(due + gap, at)
    return chosen

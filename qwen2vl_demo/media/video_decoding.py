"""Gets chosen frames out of a video file: one decoding pass, and only the chosen frames are scaled.

Two ways. *By time*: the packets are listed first (which decodes nothing), so that every frame is known by its
presentation time; the decoder then seeks over stretches in which no frame is wanted and leaves out H.264 frames
that no other frame needs. A frame is taken only if it bears the time of the wanted packet. *By count*: everything
is decoded and counted. That is the plain truth, and the way whenever the first one does not find all it looks for.

Knows FFmpeg (PyAV) and numpy; knows nothing about frames a second or pixel budgets.
"""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import chain
from typing import NamedTuple

import av
import numpy as np
from av.container import InputContainer

from qwen2vl_demo.errors import UserError
from qwen2vl_demo.geometry import Size
from qwen2vl_demo.media.file_type import container, decoder_options, no_picture, video_stream
from qwen2vl_demo.media.frames import FramePainter, display_of
from qwen2vl_demo.media.source import MediaFile, MediaLimits
from qwen2vl_demo.media.timeline import Timeline, from_rate, from_times

# Where one packet is one shown frame. VP8 has packets that are never shown, old MPEG-4 puts two frames into one.
FRAME_PER_PACKET = {"h264", "hevc", "vp9", "av1", "mjpeg", "prores"}
GIF_TRAILER = b";"  # the last byte of a complete GIF
MIN_SKIP = 8  # packets; decoding fewer costs no more than seeking over them (measured at 720p: 8 to 16 are alike)


class _Packet(NamedTuple):
    """One compressed frame, in the order of the file, which is the order of decoding."""

    pts: int | None  # when it is shown, in units of the stream's time base
    dts: int | None  # when it is decoded
    key: bool  # decoding can begin here
    shown: bool  # False: needed by other frames only (cut away by an edit list)


class Movie:
    """A video file whose packets have been listed; `read` decodes what is asked for."""

    timeline: Timeline  # what the file promises
    original_size: Size  # of a frame, upright, with square pixels

    def __init__(self, media: MediaFile, limits: MediaLimits) -> None:
        """Raises UserError for a file without a picture or frames and beyond the limits; PyAV's errors otherwise."""
        self._media, self._limits = media, limits
        media.file.seek(-1, os.SEEK_END)
        last_byte = media.file.read(1)
        with container(media, limits) as box:
            stream = self._stream(box)
            self._ends_whole = _ends_whole(box.format.name, last_byte)
            self._rate = stream.average_rate or stream.guessed_rate
            self._time_base = stream.time_base or Fraction(1, 1000)
            self._packets, self._last, first = self._listed(box, stream)
            if first is None:
                raise self._no_frames()
            self._check_frame_size(first.height, first.width)
            self.original_size, self._turn = display_of(first, stream.sample_aspect_ratio)
            name = stream.codec_context.codec.canonical_name
        self._skip_unneeded = name == "h264"  # elsewhere it is no faster, or not safe (HEVC's sub-layers)
        pts = [p.pts for p in self._packets]
        self._by_time = name in FRAME_PER_PACKET and None not in pts and len(set(pts)) == len(pts)
        shown = [p for p in self._packets if p.shown]
        self.timeline = self._timeline(sorted(p.pts for p in shown if p.pts is not None), len(shown))

    def read(self, timeline: Timeline, indices: Sequence[int], out: np.ndarray) -> Timeline:
        """Decodes frames `indices` (rising, of `timeline`) into `out` (len(indices), h, w, 3), scaled to its size.

        Returns the timeline of the frames that there really are. If that differs from `timeline`, `out` is not to
        be used: sample again from what was returned.
        """
        if self._by_time:
            try:
                if self._read_by_time(indices, out):
                    return timeline
            except (av.FFmpegError, _Lost):
                pass
            self._by_time = False
        return self._read_by_count(indices, out)

    def _stream(self, box: InputContainer) -> av.VideoStream:
        stream = video_stream(box)
        if stream is None:
            raise no_picture(self._media)
        if stream.codec_context is None:
            raise UserError(
                f"{self._media.label} is compressed with a codec that is not known here; "
                "convert it to MP4 (H.264) and send that."
            )
        self._check_frame_size(stream.codec_context.height, stream.codec_context.width)
        stream.codec_context.options.update(decoder_options(self._limits))
        stream.thread_type = "AUTO"
        return stream

    def _check_frame_size(self, height: int, width: int) -> None:
        if height * width > self._limits.max_video_frame_pixels:
            raise UserError(
                f"{self._media.label} has frames of {height}x{width} = {height * width} pixels, more than the limit of "
                f"{self._limits.max_video_frame_pixels} (max_video_frame_pixels); make it smaller and send it again."
            )

    def _listed(
        self, box: InputContainer, stream: av.VideoStream
    ) -> tuple[list[_Packet], Fraction, av.VideoFrame | None]:
        """All packets, how long the last frame is shown in s, and the first frame (for its size and rotation)."""
        packets: list[_Packet] = []
        latest, last, first = None, 0, None
        for packet in _packets(box, stream, self._ends_whole):
            packets.append(_Packet(packet.pts, packet.dts, packet.is_keyframe, not packet.is_discard))
            if packet.pts is not None and (latest is None or packet.pts > latest):
                latest, last = packet.pts, packet.duration or 0
            if len(packets) > self._limits.max_video_frames:
                raise UserError(
                    f"{self._media.label} has more frames than the limit of {self._limits.max_video_frames} "
                    "(max_video_frames); cut it and send a shorter piece."
                )
            first = first or next(iter(_decoded(stream, packet)), None)
        first = first or next(iter(_decoded(stream, None)), None)
        return packets, last * self._time_base, first

    def _timeline(self, pts: list[int], total: int) -> Timeline:
        if len(pts) == total:
            return from_times([t * self._time_base for t in pts], self._last, self._rate, self._time_base)
        return from_rate(total, self._rate)

    def _read_by_count(self, indices: Sequence[int], out: np.ndarray) -> Timeline:
        """Decodes everything; returns what was there."""
        painter = FramePainter(out, self._turn)
        slots = {index: slot for slot, index in enumerate(indices)}
        pts: list[int] = []
        total = 0
        with container(self._media, self._limits) as box:
            stream = self._stream(box)
            for packet in chain(_packets(box, stream, self._ends_whole), [None]):
                for frame in _decoded(stream, packet):
                    if total in slots:
                        painter.paint(slots[total], frame)
                    if frame.pts is not None:
                        pts.append(frame.pts)
                    total += 1
        if total == 0:
            raise self._no_frames()
        return self._timeline(sorted(pts), total)

    def _read_by_time(self, indices: Sequence[int], out: np.ndarray) -> bool:
        """Whether all frames were found. Any error of the decoder's is raised: then counting is the honest way."""
        painter = FramePainter(out, self._turn)
        place = {p.pts: i for i, p in enumerate(self._packets)}
        shown = sorted(p.pts for p in self._packets if p.shown and p.pts is not None)
        slots = {shown[index]: slot for slot, index in enumerate(indices)}
        with container(self._media, self._limits) as box:
            stream = self._stream(box)
            following = 0  # the packet that comes next without a seek
            for start, end in _runs(self._packets, [place[pts] for pts in slots]):
                if start > following:
                    key = self._packets[start]
                    box.seek(min(t for t in (key.pts, key.dts) if t is not None), stream=stream)
                for packet in chain(_between(_packets(box, stream, self._ends_whole), place, start, end), [None]):
                    if packet is not None and self._skip_unneeded:
                        stream.codec_context.skip_frame = "DEFAULT" if packet.pts in slots else "NONREF"
                    for frame in stream.codec_context.decode(packet):
                        if frame.pts in slots:
                            painter.paint(slots.pop(frame.pts), frame)
                following = end + 1
        return not slots

    def _no_frames(self) -> UserError:
        return UserError(
            f"{self._media.label} has no frame that can be decoded; convert it to MP4 (H.264) and send that."
        )


class _Lost(Exception):
    """The packets did not come as they were listed."""


def _ends_whole(format_name: str, last_byte: bytes) -> bool:
    """Whether the last packet is known to be complete. Most containers say how long a packet is; a packet of a
    transport or program stream ends where the next one begins, and so does a frame of a GIF."""
    return format_name not in ("mpegts", "mpeg") and (format_name != "gif" or last_byte == GIF_TRAILER)


def _packets(box: InputContainer, stream: av.VideoStream, ends_whole: bool) -> Iterator[av.Packet]:
    """The stream's complete packets, up to the end or to where the file is cut off."""
    held: av.Packet | None = None
    try:
        for packet in box.demux(stream):
            # An empty packet (the last one, or a dropped AVI frame) would tell the decoder that the file has ended.
            if packet.size > 0 and not packet.is_corrupt:
                if held is not None:
                    yield held
                held = packet
    except MemoryError:
        raise
    except av.FFmpegError:
        pass
    if held is not None and ends_whole:
        yield held


def _decoded(stream: av.VideoStream, packet: av.Packet | None) -> list[av.VideoFrame]:
    """The frames that come out when a packet goes in (None: the end); none for a packet that is broken."""
    try:
        return stream.codec_context.decode(packet)
    except MemoryError:
        raise
    except av.FFmpegError:
        return []


def _between(packets: Iterator[av.Packet], place: dict[int | None, int], start: int, end: int) -> Iterator[av.Packet]:
    """Packets `start` to `end`, in order and complete, or _Lost. A seek may have gone further back than asked."""
    expected = start
    for packet in packets:
        here = place.get(packet.pts)
        if here is not None and here < start and expected == start:
            continue
        if here != expected:
            raise _Lost
        yield packet
        if here == end:
            return
        expected += 1
    raise _Lost


def _runs(packets: Sequence[_Packet], wanted: Sequence[int]) -> list[tuple[int, int]]:
    """The stretches (first, last packet) that must be decoded for the `wanted` packets, each starting at a key frame.

    A key frame that is shown *after* a wanted frame does not help it: such a leading frame also needs what came
    before the key. Stretches closer than MIN_SKIP are joined.
    """
    keys = [i for i, p in enumerate(packets) if p.key]
    runs: list[tuple[int, int]] = []
    for last in sorted(wanted):
        k = bisect_right(keys, last) - 1
        while k >= 0 and _time(packets[keys[k]]) > _time(packets[last]):
            k -= 1
        first = keys[k] if k >= 0 else 0
        while runs and first - runs[-1][1] - 1 < MIN_SKIP:
            first = min(first, runs.pop()[0])
        runs.append((first, last))
    return runs


def _time(packet: _Packet) -> int:
    return packet.pts or 0

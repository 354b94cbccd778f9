"""Decoding selected frames of a video file in one pass; only the selected frames are scaled.

There are two methods. *By time*: the packets are listed first, without decoding, so that every frame is known by its
presentation time. The decoder then seeks over ranges without a selected frame and skips H.264 frames that no other
frame refers to. A frame is taken only if it has the time of the selected packet. *By count*: every frame is decoded
and counted. This is always right, and the fallback when the first method does not find every frame.
"""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from itertools import chain
from typing import NamedTuple

import av
import numpy as np
from av.container import InputContainer

from qwen2vl_demo.errors import UserError
from qwen2vl_demo.geometry import Size
from qwen2vl_demo.media.file_type import decoder_options, no_video_stream, open_container, video_stream
from qwen2vl_demo.media.frames import FrameWriter, display_of
from qwen2vl_demo.media.source import MediaFile, MediaLimits
from qwen2vl_demo.media.timeline import Timeline, from_rate, from_times

# Codecs with one displayed frame per packet. VP8 has packets that are not displayed, MPEG-4 part 2 can pack two frames.
FRAME_PER_PACKET = {"h264", "hevc", "vp9", "av1", "mjpeg", "prores"}
GIF_TRAILER = b";"  # the last byte of a complete GIF
MIN_SKIP = 8  # packets; decoding fewer than this costs no more than a seek (measured at 720p: 8 to 16 are equal)


class _Packet(NamedTuple):
    """One compressed frame. Packets are kept in file order, which is decoding order."""

    pts: int | None  # presentation time, in units of the stream's time base
    dts: int | None  # decoding time
    key: bool  # a key frame: decoding can start here
    shown: bool  # False: decoded for other frames only (removed by an edit list)


class VideoFile:
    """A video file whose packets have been listed; `read` decodes selected frames."""

    timeline: Timeline  # as listed; `read` may find another one
    original_size: Size  # of a frame, upright, with square pixels

    def __init__(self, media: MediaFile, limits: MediaLimits) -> None:
        """Lists the packets and decodes the first frame.

        Raises UserError for a file without video or without frames and for one beyond the limits, and PyAV's errors
        otherwise.
        """
        self._media, self._limits = media, limits
        media.file.seek(-1, os.SEEK_END)
        last_byte = media.file.read(1)
        with open_container(media, limits) as container:
            stream = self._stream(container)
            self._last_complete = _last_packet_is_complete(container.format.name, last_byte)
            self._rate = stream.average_rate or stream.guessed_rate
            self._time_base = stream.time_base or Fraction(1, 1000)
            self._packets, self._last_duration, first = self._list_packets(container, stream)
            if first is None:
                raise self._no_frames()
            self._check_frame_size(first.height, first.width)
            self.original_size, self._transform = display_of(first, stream.sample_aspect_ratio)
            codec = stream.codec_context.codec.canonical_name
        self._skip_unreferenced = codec == "h264"  # for other codecs it is not faster, or not safe (HEVC sub-layers)
        pts = [p.pts for p in self._packets]
        self._by_time = codec in FRAME_PER_PACKET and None not in pts and len(set(pts)) == len(pts)
        shown = [p for p in self._packets if p.shown]
        self.timeline = self._timeline(sorted(p.pts for p in shown if p.pts is not None), len(shown))

    def read(
        self, timeline: Timeline, indices: Sequence[int], out: np.ndarray, first: np.ndarray | None = None
    ) -> Timeline:
        """Decodes the frames `indices` (ascending, of `timeline`) into `out` (len(indices), h, w, 3) at its size.

        `first` (1, H, W, 3), if given, receives the first of these frames at another size. Returns the timeline of the
        frames that the file really has. If it differs from `timeline`, `out` is invalid: sample again from the
        returned one.
        """
        writers = [FrameWriter(out, self._transform)]
        first_writers = [*writers, FrameWriter(first, self._transform)] if first is not None else writers

        def write(slot: int, frame: av.VideoFrame) -> None:
            for writer in first_writers if slot == 0 else writers:
                writer.write(slot, frame)

        if self._by_time:
            try:
                if self._read_by_time(indices, write):
                    return timeline
            except (av.FFmpegError, _PacketMismatch):
                pass
            self._by_time = False
        return self._read_by_count(indices, write)

    def _stream(self, container: InputContainer) -> av.VideoStream:
        """The video stream, with its decoder set up."""
        stream = video_stream(container)
        if stream is None:
            raise no_video_stream(self._media)
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
                f"{self._limits.max_video_frame_pixels}; make it smaller and send it again."
            )

    def _list_packets(
        self, container: InputContainer, stream: av.VideoStream
    ) -> tuple[list[_Packet], Fraction, av.VideoFrame | None]:
        """All packets, the duration of the last frame in s, and the first frame (for its size and rotation)."""
        packets: list[_Packet] = []
        latest, duration, first = None, 0, None
        for packet in _complete_packets(container, stream, self._last_complete):
            packets.append(_Packet(packet.pts, packet.dts, packet.is_keyframe, not packet.is_discard))
            if packet.pts is not None and (latest is None or packet.pts > latest):
                latest, duration = packet.pts, packet.duration or 0
            if len(packets) > self._limits.max_video_frames:
                raise UserError(
                    f"{self._media.label} has more frames than the limit of {self._limits.max_video_frames}; "
                    "cut it and send a shorter piece."
                )
            first = first or next(iter(_decode(stream, packet)), None)
        first = first or next(iter(_decode(stream, None)), None)
        return packets, duration * self._time_base, first

    def _timeline(self, pts: list[int], total: int) -> Timeline:
        if len(pts) == total:
            return from_times([t * self._time_base for t in pts], self._last_duration, self._rate, self._time_base)
        return from_rate(total, self._rate)

    def _read_by_count(self, indices: Sequence[int], write: Callable[[int, av.VideoFrame], None]) -> Timeline:
        """Decodes every frame; returns the timeline of the frames that were decoded."""
        slots = {index: slot for slot, index in enumerate(indices)}
        pts: list[int] = []
        total = 0
        with open_container(self._media, self._limits) as container:
            stream = self._stream(container)
            for packet in chain(_complete_packets(container, stream, self._last_complete), [None]):
                for frame in _decode(stream, packet):
                    if total in slots:
                        write(slots[total], frame)
                    if frame.pts is not None:
                        pts.append(frame.pts)
                    total += 1
        if total == 0:
            raise self._no_frames()
        return self._timeline(sorted(pts), total)

    def _read_by_time(self, indices: Sequence[int], write: Callable[[int, av.VideoFrame], None]) -> bool:
        """Returns whether all frames were found. Decoder errors are raised; the caller falls back to counting."""
        position = {p.pts: i for i, p in enumerate(self._packets)}
        shown = sorted(p.pts for p in self._packets if p.shown and p.pts is not None)
        slots = {shown[index]: slot for slot, index in enumerate(indices)}
        with open_container(self._media, self._limits) as container:
            stream = self._stream(container)
            following = 0  # the packet that comes next without a seek
            for start, end in _decode_ranges(self._packets, [position[pts] for pts in slots]):
                if start > following:
                    key = self._packets[start]
                    container.seek(min(t for t in (key.pts, key.dts) if t is not None), stream=stream)
                packets = _complete_packets(container, stream, self._last_complete)
                for packet in chain(_packets_in_range(packets, position, start, end), [None]):
                    if packet is not None and self._skip_unreferenced:
                        stream.codec_context.skip_frame = "DEFAULT" if packet.pts in slots else "NONREF"
                    for frame in stream.codec_context.decode(packet):
                        if frame.pts in slots:
                            write(slots.pop(frame.pts), frame)
                following = end + 1
        return not slots

    def _no_frames(self) -> UserError:
        return UserError(
            f"{self._media.label} has no frame that can be decoded; convert it to MP4 (H.264) and send that."
        )


class _PacketMismatch(Exception):
    """The packets after a seek are not those that were listed."""


def _last_packet_is_complete(format_name: str, last_byte: bytes) -> bool:
    """Whether the last packet of a file is known to be complete. Most containers store the length of a packet; in a
    transport or program stream and in a GIF a packet ends where the next one begins."""
    return format_name not in ("mpegts", "mpeg") and (format_name != "gif" or last_byte == GIF_TRAILER)


def _complete_packets(container: InputContainer, stream: av.VideoStream, last_complete: bool) -> Iterator[av.Packet]:
    """The stream's complete packets, up to the end of the file or to where it is truncated."""
    pending: av.Packet | None = None
    try:
        for packet in container.demux(stream):
            # An empty packet (the last one, or a dropped AVI frame) would signal the end of the file to the decoder.
            if packet.size > 0 and not packet.is_corrupt:
                if pending is not None:
                    yield pending
                pending = packet
    except MemoryError:
        raise
    except av.FFmpegError:
        pass
    if pending is not None and last_complete:
        yield pending


def _decode(stream: av.VideoStream, packet: av.Packet | None) -> list[av.VideoFrame]:
    """The frames that the decoder returns for a packet (None: end of stream); none for a corrupt packet."""
    try:
        return stream.codec_context.decode(packet)
    except MemoryError:
        raise
    except av.FFmpegError:
        return []


def _packets_in_range(
    packets: Iterator[av.Packet], position: dict[int | None, int], start: int, end: int
) -> Iterator[av.Packet]:
    """Packets `start` to `end`, both included, in order. A seek may land before `start`; the packets before it are
    skipped. Raises _PacketMismatch where one is missing."""
    expected = start
    for packet in packets:
        current = position.get(packet.pts)
        if current is not None and current < start and expected == start:
            continue
        if current != expected:
            raise _PacketMismatch
        yield packet
        if current == end:
            return
        expected += 1
    raise _PacketMismatch


def _decode_ranges(packets: Sequence[_Packet], selected: Sequence[int]) -> list[tuple[int, int]]:
    """The ranges (first, last packet) to decode for the `selected` packets, each starting at a key frame.

    A key frame with a later presentation time than a selected frame does not serve it: such a leading frame also
    refers to frames before the key frame. Ranges closer than MIN_SKIP are joined.
    """
    keys = [i for i, p in enumerate(packets) if p.key]
    ranges: list[tuple[int, int]] = []
    for last in sorted(selected):
        k = bisect_right(keys, last) - 1
        while k >= 0 and _time(packets[keys[k]]) > _time(packets[last]):
            k -= 1
        first = keys[k] if k >= 0 else 0
        while ranges and first - ranges[-1][1] - 1 < MIN_SKIP:
            first = min(first, ranges.pop()[0])
        ranges.append((first, last))
    return ranges


def _time(packet: _Packet) -> int:
    return packet.pts or 0

"""The packets of a video, listed without decoding, and which of them must be decoded for a selection of frames."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import av
from av.container import InputContainer

MIN_SKIP = 8  # packets; decoding fewer than this costs no more than a seek (measured at 720p: 8 to 16 are equal)


class Packet(NamedTuple):
    """One compressed frame. Packets are kept in file order, which is decoding order."""

    pts: int | None  # presentation time, in units of the stream's time base
    dts: int | None  # decoding time
    duration: int  # 0 if unknown
    key: bool  # a key frame: decoding can start here
    shown: bool  # False: decoded for other frames only (removed by an edit list)


class PacketMismatch(Exception):
    """The packets after a seek are not those that were listed."""


def whole_packets(container: InputContainer, stream: av.VideoStream, last_whole: bool) -> Iterator[av.Packet]:
    """The stream's whole packets, up to the end of the file or to where it is truncated.

    In a transport stream, FFmpeg also takes a packet for damaged next to which the counters of the transport packets
    jump, as they do where pieces were joined. Whether it is, decoding will tell.
    """
    pending: av.Packet | None = None
    joined = container.format.name == "mpegts"
    try:
        for packet in container.demux(stream):
            # An empty packet (the last one, or a dropped AVI frame) would signal the end of the file to the decoder.
            if packet.size > 0 and (joined or not packet.is_corrupt):
                if pending is not None:
                    yield pending
                pending = packet
    except MemoryError:
        raise
    except (av.FFmpegError, IndexError):  # IndexError: PyAV, at the end of a file in which further streams appeared
        pass
    if pending is not None and last_whole:
        yield pending


def packets_in_range(
    packets: Iterator[av.Packet], position: dict[int | None, int], start: int, end: int
) -> Iterator[av.Packet]:
    """Packets `start` to `end`, both included, in order. A seek may land before `start`; the packets before it are
    skipped. Raises PacketMismatch where one is missing."""
    expected = start
    for packet in packets:
        current = position.get(packet.pts)
        if current is not None and current < start and expected == start:
            continue
        if current != expected:
            raise PacketMismatch
        yield packet
        if current == end:
            return
        expected += 1
    raise PacketMismatch


def decode_ranges(packets: Sequence[Packet], selected: Sequence[int]) -> list[tuple[int, int]]:
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


def _time(packet: Packet) -> int:
    return packet.pts or 0

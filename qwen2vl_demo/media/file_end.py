"""Whether the last packet of a file is whole.

Most containers store the length of a packet. In a transport stream, a GIF and a row of JPEG pictures a packet ends
where the next one begins, so that the last packet of a file that was cut off looks like any other.
"""

from __future__ import annotations

import os
from typing import BinaryIO

TAIL_BYTES = 4 * 1024 * 1024  # searched for the last packet of a transport stream's video
TS_PACKETS = (188, 192, 204)  # bytes: plain, M2TS (with a time stamp before each), with error correction behind each
TS_SYNC = 0x47
JPEG_END = b"\xff\xd9"
GIF_EXTENSION, GIF_IMAGE, GIF_TRAILER = 0x21, 0x2C, 0x3B
MAX_GIF_BLOCKS = 2_000_000  # of up to 255 bytes; if there are more, the last byte decides


def last_packet_is_whole(file: BinaryIO, format_name: str, stream_id: int) -> bool:
    """`format_name` is FFmpeg's name of the demuxer, `stream_id` the stream's number in the container."""
    if format_name == "mpegts":
        return _transport_stream_is_whole(file, stream_id)
    if format_name == "gif":
        return _gif_is_whole(file)
    if format_name == "mjpeg":
        file.seek(max(0, file.seek(0, os.SEEK_END) - 64))
        return file.read().rstrip(b"\0").endswith(JPEG_END)
    return True


def _transport_stream_is_whole(file: BinaryIO, pid: int) -> bool:
    """Whether the last transport packet of the video is stuffed: a frame is filled up to a whole packet at its end.

    The one frame in 184 that needs no stuffing is taken for cut off. (ISO/IEC 13818-1, 2.4.3.4 and 2.4.3.5.)
    """
    file.seek(0)
    layout = _packet_layout(file.read(4096))
    if layout is None:
        return False
    length, first = layout
    end = file.seek(0, os.SEEK_END)
    begin = first + max(0, end - TAIL_BYTES - first) // length * length
    file.seek(begin)
    data = file.read(end - begin)
    for at in range((len(data) - 188) // length * length, -1, -length):
        packet = data[at : at + 188]
        if packet[0] != TS_SYNC or (packet[1] & 0x1F) << 8 | packet[2] != pid:
            continue
        if packet[3] & 0x10:  # it has a payload
            return _is_stuffed(packet)
    return False


def _packet_layout(head: bytes) -> tuple[int, int] | None:
    """(length of a transport packet in this file, offset of its first sync byte)."""
    for length in TS_PACKETS:
        for first in range(min(length, len(head))):
            if all(byte == TS_SYNC for byte in head[first::length]) and len(head) > 4 * length:
                return length, first
    return None


def _is_stuffed(packet: bytes) -> bool:
    """Whether the adaptation field of a transport packet is longer than what it holds."""
    if not packet[3] & 0x20:  # no adaptation field
        return False
    length = packet[4]
    if length == 0:  # a single byte of stuffing
        return True
    flags, used = packet[5], 1
    used += 6 * bool(flags & 0x10) + 6 * bool(flags & 0x08) + bool(flags & 0x04)  # two clocks, splice countdown
    for flag in (0x02, 0x01):  # private data, extension
        if flags & flag and 5 + used < len(packet):
            used += 1 + packet[5 + used]
    return length > used


def _gif_is_whole(file: BinaryIO) -> bool:
    """Whether the blocks of a GIF end with its trailer; what stands behind it does not matter."""
    file.seek(0)
    data = file.read()
    at = 13 + _gif_palette(data[10]) if len(data) > 10 else len(data)
    inside = False  # a block, which consists of sub-blocks, up to an empty one
    for _ in range(MAX_GIF_BLOCKS):
        if at >= len(data):
            return False
        kind = data[at]
        if inside:
            at, inside = at + 1 + kind, kind > 0
        elif kind == GIF_EXTENSION:
            at, inside = at + 2, True
        elif kind == GIF_IMAGE and at + 9 < len(data):
            at, inside = at + 11 + _gif_palette(data[at + 9]), True  # with the code size
        else:
            return kind == GIF_TRAILER
    return data.rstrip(b"\0")[-1:] == bytes([GIF_TRAILER])


def _gif_palette(flags: int) -> int:
    """Bytes of the palette that the flags of a screen or image descriptor announce."""
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0

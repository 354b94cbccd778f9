"""Which edges of the coded frames a container says are not shown. FFmpeg reads this, but PyAV does not pass it on.

MP4 and MOV have a "clap" box (clean aperture) in the sample description, Matroska and WebM four PixelCrop elements.
(ISO/IEC 14496-12, 12.1.4; RFC 9559, 5.1.4.1.28.)
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from fractions import Fraction
from typing import BinaryIO

from qwen2vl_demo.media.frame_filters import Crop

MAX_MOOV_BYTES = 64 * 1024 * 1024  # an index above this is not searched
MAX_TRACKS_BYTES = 1024 * 1024
SAMPLE_ENTRY = 86  # bytes from the start of a video sample entry to the boxes in it
SEGMENT, TRACKS, CLUSTER, TRACK, TRACK_TYPE, VIDEO = 0x18538067, 0x1654AE6B, 0x1F43B675, 0xAE, 0x83, 0xE0
BOTTOM, TOP, LEFT, RIGHT = 0x54AA, 0x54BB, 0x54CC, 0x54DD


def container_crop(file: BinaryIO, format_name: str, stream_id: int, number: int, height: int, width: int) -> Crop:
    """For the video stream with FFmpeg's `stream_id`, which is the file's video stream `number`, of this size.

    Whatever cannot be read or makes no sense is no crop.
    """
    try:
        if format_name.startswith("mov"):
            crop = _mp4_crop(file, stream_id, height, width)
        elif format_name.startswith("matroska"):
            crop = _matroska_crop(file, number)
        else:
            return Crop()
    except (ValueError, IndexError, StopIteration, struct.error, ZeroDivisionError):
        return Crop()
    return crop if crop.fits(height, width) else Crop()


def _mp4_crop(file: BinaryIO, track_id: int, height: int, width: int) -> Crop:
    moov = _moov(file)
    if b"clap" not in moov:
        return Crop()
    for track in _boxes(moov, b"trak"):
        header = next(_boxes(track, b"tkhd"))
        if struct.unpack_from(">I", header, 20 if header[0] else 12)[0] != track_id:
            continue
        table = next(_boxes(next(_boxes(next(_boxes(track, b"mdia")), b"minf")), b"stbl"))
        entry = next(_boxes(table, b"stsd"))[8:]
        for clap in _boxes(entry[SAMPLE_ENTRY : int.from_bytes(entry[:4], "big")], b"clap"):
            numbers = struct.unpack_from(">IIIIiIiI", clap)
            shown_width, shown_height, right, down = (
                Fraction(*numbers[i : i + 2]) for i in range(0, 8, 2)
            )  # size, and how far its centre is from the centre of the frame
            left = round((width - shown_width) / 2 + right)
            top = round((height - shown_height) / 2 + down)
            return Crop(top, height - top - round(shown_height), left, width - left - round(shown_width))
    return Crop()


def _moov(file: BinaryIO) -> bytes:
    """The content of the box that describes the movie."""
    at, end = 0, file.seek(0, os.SEEK_END)
    while at + 8 <= end:
        file.seek(at)
        start = file.read(16)
        size, name = int.from_bytes(start[:4], "big"), start[4:8]
        head = 8
        if size == 1:
            size, head = int.from_bytes(start[8:16], "big"), 16
        size = size or end - at
        if name == b"moov" and size <= MAX_MOOV_BYTES:
            file.seek(at + head)
            return file.read(size - head)
        at += max(size, 8)
    return b""


def _boxes(data: bytes, wanted: bytes) -> Iterator[bytes]:
    """The contents of the boxes of one name that stand side by side in `data`."""
    at = 0
    while at + 8 <= len(data):
        size, name = int.from_bytes(data[at : at + 4], "big") or len(data) - at, data[at + 4 : at + 8]
        if name == wanted:
            yield data[at + 8 : at + size]
        at += max(size, 8)


def _matroska_crop(file: BinaryIO, number: int) -> Crop:
    videos = [t for t in _elements(_tracks(file), TRACK) if int.from_bytes(next(_elements(t, TRACK_TYPE)), "big") == 1]
    video = next(_elements(videos[number], VIDEO))
    top, bottom, left, right = (
        int.from_bytes(next(_elements(video, edge), b""), "big") for edge in (TOP, BOTTOM, LEFT, RIGHT)
    )
    return Crop(top, bottom, left, right)


def _tracks(file: BinaryIO) -> bytes:
    """The content of the element that describes the tracks, which stands before the first cluster."""
    at = 0
    for _ in range(100):
        file.seek(at)
        start = file.read(12)
        name, head = _number(start, 0, marker=True)
        size, head = _number(start, head)
        if name == TRACKS:
            file.seek(at + head)
            return file.read(min(size, MAX_TRACKS_BYTES))
        if name == CLUSTER:
            break
        at += head if name == SEGMENT else head + size
    return b""


def _elements(data: bytes, wanted: int) -> Iterator[bytes]:
    """The contents of the elements of one name that stand side by side in `data`."""
    at = 0
    while at < len(data):
        name, at = _number(data, at, marker=True)
        size, at = _number(data, at)
        if name == wanted:
            yield data[at : at + size]
        at += size


def _number(data: bytes, at: int, marker: bool = False) -> tuple[int, int]:
    """An EBML number and the offset behind it. Its leading zero bits tell how many bytes it has; the first one bit
    belongs to it if it is a name."""
    length = 9 - data[at].bit_length()
    value = int.from_bytes(data[at : at + length], "big")
    return value if marker else value & (1 << 7 * length) - 1, at + length

"""The header of a WebP file, read before libwebp gets the file, which allocates the whole picture at once.

A WebP file is a RIFF file: "RIFF", the number of bytes that follow, "WEBP", then chunks of a name, a little-endian
length and that many bytes, padded to an even count. (WebP container specification, RFC 9649.)
"""

from __future__ import annotations

import io
import os
import struct
from dataclasses import dataclass
from typing import BinaryIO

from PIL import WebPImagePlugin

from qwen2vl_demo.geometry import Size

PICTURE = (b"VP8X", b"VP8 ", b"VP8L", b"ALPH", b"ANIM", b"ANMF")  # all other chunks are metadata
EXIF_FLAG = 0x08  # in VP8X
METADATA_FLAGS = 0x20 | EXIF_FLAG | 0x04  # in VP8X: that a profile, EXIF or XMP follow
HEADER_BYTES = 21  # up to the flags of VP8X
MAX_CHUNKS = 1_000_000  # more than the frames of the longest clip that is opened


@dataclass(frozen=True)
class WebPHeader:
    """What the chunks of a WebP file say."""

    size: Size  # of the picture or of the canvas of an animation
    durations: tuple[int, ...]  # ms, of each frame of an animation; empty for a still picture
    chunks: tuple[tuple[bytes, int, int], ...]  # name, offset of its data and length; the last one may be cut off


def read_header(file: BinaryIO) -> WebPHeader:
    """Reads the chunks of a WebP file. Raises ValueError for a file without a picture."""
    end = file.seek(0, os.SEEK_END)
    chunks: list[tuple[bytes, int, int]] = []
    durations: list[int] = []
    size: Size | None = None
    offset = 12
    while offset + 8 <= end and len(chunks) < MAX_CHUNKS:
        file.seek(offset)
        start = file.read(32)
        name, length = start[:4], int.from_bytes(start[4:8], "little")
        if name == b"ANMF" and len(start) >= 23:
            durations.append(int.from_bytes(start[20:23], "little"))
        size = size or _size(name, start[8:])
        chunks.append((name, offset + 8, length))
        offset += 8 + length + length % 2
    if size is None:
        raise ValueError("no picture in the file")
    return WebPHeader(size, tuple(durations), tuple(chunks))


def has_exif(start: bytes) -> bool:
    """Whether these are the first HEADER_BYTES of a WebP file that says that it holds EXIF data."""
    return start[8:16] == b"WEBPVP8X" and len(start) > 20 and bool(start[20] & EXIF_FLAG)


def open_webp(file: BinaryIO, header: WebPHeader) -> WebPImagePlugin.WebPImageFile:
    """Opens a WebP file for decoding; without its metadata if that is cut off. Raises what Pillow raises."""
    name, offset, length = header.chunks[-1]
    end = file.seek(0, os.SEEK_END)
    file.seek(0)
    if name in PICTURE or offset + length <= end:
        return WebPImagePlugin.WebPImageFile(file)
    body = []
    for name, offset, length in header.chunks:
        if name in PICTURE:
            file.seek(offset)
            data = file.read(length)
            if name == b"VP8X" and data:
                data = bytes([data[0] & ~METADATA_FLAGS]) + data[1:]
            body.append(name + struct.pack("<I", length) + data + bytes(length % 2))
    content = b"WEBP" + b"".join(body)
    return WebPImagePlugin.WebPImageFile(io.BytesIO(b"RIFF" + struct.pack("<I", len(content)) + content))


def _size(name: bytes, data: bytes) -> Size | None:
    """The size in the first chunk, if that is one of the three with which a WebP file may begin."""
    if name == b"VP8X" and len(data) >= 10:
        return int.from_bytes(data[7:10], "little") + 1, int.from_bytes(data[4:7], "little") + 1
    if name == b"VP8L" and len(data) >= 5:
        bits = int.from_bytes(data[1:5], "little")
        return ((bits >> 14) & 0x3FFF) + 1, (bits & 0x3FFF) + 1
    if name == b"VP8 " and len(data) >= 10:
        return int.from_bytes(data[8:10], "little") & 0x3FFF, int.from_bytes(data[6:8], "little") & 0x3FFF
    return None

"""Telling a clip of JPEG pictures that stand one behind the other (.mjpeg) from a single JPEG picture."""

from __future__ import annotations

import re
import struct

from qwen2vl_demo.media.source import MediaFile

SEARCHED_BYTES = 8 * 1024 * 1024  # for the end of the first picture
CAMERA_MARKS = (b"Exif\0", b"MPF\0")  # in files of cameras and phones, which may hold previews behind the picture
JOINT = re.compile(rb"\xff\xd9\xff\xd8\xff")  # the end of a picture, and the start of the next


def is_motion_jpeg(media: MediaFile) -> bool:
    """Whether a JPEG picture is followed at once by another one of its size."""
    if not media.head.startswith(b"\xff\xd8\xff") or any(mark in media.head for mark in CAMERA_MARKS):
        return False
    data = media.rewound().read(SEARCHED_BYTES)
    joint = JOINT.search(data)
    if joint is None:
        return False
    size = _size(data, 0)
    return size is not None and size == _size(data, joint.start() + 2)


def _size(data: bytes, at: int) -> bytes | None:
    """The bytes of height and width in the header of the JPEG picture that begins at `at`; None if there are none."""
    at += 2
    while at + 9 <= len(data) and data[at] == 0xFF:
        marker, length = data[at + 1], struct.unpack_from(">H", data, at + 2)[0]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):  # "start of frame"
            return data[at + 5 : at + 9]
        at += 2 + length
    return None

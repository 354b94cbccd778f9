"""Opening JPEG pictures without the metadata that Pillow would read as well, and what their headers say.

A JPEG file is a row of segments, each a marker (0xFF and a byte) and, for most, a length and data; the compressed
pixels follow a "start of scan" segment. Only the segments that the pixels need are handed to Pillow. The EXIF block
and the colour profile are read here, where they are intact; comments and everything that programs left are skipped.
(ITU-T T.81; ICC.1 annex B.4 for profiles.)
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass, field
from typing import IO, BinaryIO, cast

import numpy as np
import PIL.Image
from PIL import JpegImagePlugin

from qwen2vl_demo.media.rewritten_file import RewrittenFile

# Markers, without their 0xFF
SOI, EOI, SOS = 0xD8, 0xD9, 0xDA  # start and end of the image, start of a scan
DHT, DAC, DQT, DNL, DRI = 0xC4, 0xCC, 0xDB, 0xDC, 0xDD  # tables and the like
APP0, APP1, APP2, APP14 = 0xE0, 0xE1, 0xE2, 0xEE  # application data: JFIF, EXIF, profile, Adobe
FRAMES = frozenset(range(0xC0, 0xD0)) - {DHT, 0xC8, DAC}  # "start of frame": size, components and kind of coding
PROGRESSIVE = (0xC2, 0xC6, 0xCA, 0xCE)
ALONE = frozenset([0x01, *range(0xD0, 0xD8)])  # markers without a length
TABLES = frozenset([DQT, DHT, DAC, DRI, DNL])
END = b"\xff\xd9"
NEXT_MARKER = re.compile(rb"\xff+[^\x00\xd0-\xd7\xff]")  # in compressed pixels, 0xFF is followed by 0 or a restart
EXIF, PROFILE = b"Exif\0\0", b"ICC_PROFILE\0"
MAX_SEGMENTS = 100_000  # before the pixels
MAX_SCANS = 200  # a decoder goes over the whole picture in each; encoders write about 10
BLOCK_ROWS = 16  # px: the height of what is decoded together, at most
GREY = 128  # libjpeg's value for what is missing
READ = 1 << 20


@dataclass(frozen=True)
class JpegHeader:
    """What stands before the pixels."""

    kept: bytes  # the segments that the pixels need
    scans: int  # offset of the first "start of scan" marker
    first_scan: int  # number of components in the first scan
    coding: int  # the marker of the frame
    components: dict[int, tuple[int, int]]  # id: horizontal and vertical sampling
    exif: bytes | None
    profile: bytes | None

    @property
    def one_pass(self) -> bool:
        """Whether the first scan holds the whole picture. Otherwise all coefficients are kept until the last scan."""
        return self.coding not in PROGRESSIVE and self.first_scan == len(self.components)

    def coefficient_bytes(self, height: int, width: int) -> int:
        """The memory that a decoder needs for all coefficients, 2 bytes each."""
        widest = max((h for h, _ in self.components.values()), default=1) or 1
        highest = max((v for _, v in self.components.values()), default=1) or 1
        return sum(2 * height * v * width * h // (widest * highest) for h, v in self.components.values())


class JpegPicture(JpegImagePlugin.JpegImageFile):
    """A JPEG opened for decoding."""

    header: JpegHeader


def read_header(file: BinaryIO) -> JpegHeader:
    """Reads the segments before the pixels. Raises ValueError for a file without pixels."""
    kept, exif, profile = [b"\xff\xd8"], None, _Profile()
    coding = 0
    components: dict[int, tuple[int, int]] = {}
    offset = 2
    for _ in range(MAX_SEGMENTS):
        marker, offset = _marker(file, offset)
        if marker == SOS:
            file.seek(offset + 4)
            first = int.from_bytes(file.read(1), "big")
            return JpegHeader(b"".join(kept), offset, first, coding, components, exif, profile.joined())
        if marker == EOI:
            break
        if marker in ALONE or marker == SOI:
            offset += 2
            continue
        file.seek(offset + 2)
        length = _length(file.read(2))
        if marker in FRAMES or marker in TABLES or APP0 <= marker <= APP14:
            data = file.read(length - 2)
            if len(data) < length - 2:
                break
            if marker in FRAMES:
                coding, components = marker, _components(data)
            if marker in FRAMES or marker in TABLES or _needed(marker, data):
                kept.append(b"\xff" + bytes([marker]) + struct.pack(">H", length) + data)
            elif marker == APP1 and data.startswith(EXIF):
                exif = exif or data
            elif marker == APP2 and data.startswith(PROFILE):
                profile.add(data[len(PROFILE) :])
        offset += 2 + length
    raise ValueError("no pixels in the file")


def open_jpeg(file: BinaryIO, tail: bytes = b"") -> JpegPicture:
    """Opens a JPEG for decoding. `info` holds the colour profile as "icc_profile" and the EXIF block as "exif", if any.

    With `tail` = END a file that is cut off can be decoded; what is missing is GREY. Raises ValueError for a file
    without pixels, and what Pillow raises.
    """
    header = read_header(file)
    picture = JpegPicture(cast(IO[bytes], RewrittenFile(header.kept, file, header.scans, tail)))
    picture.header = header
    if header.exif is not None:
        picture.info["exif"] = header.exif
    if header.profile is not None:
        picture.info["icc_profile"] = header.profile
    return picture


@dataclass(frozen=True)
class Scans:
    """What the scans of a picture hold that is not coded in one pass."""

    count: int
    complete: bool  # whether every coefficient of every component is there in full precision, or begun


def read_scans(file: BinaryIO, header: JpegHeader) -> Scans:
    """Counts the scans without decoding them; at most MAX_SCANS + 1, also for a file of endless other segments."""
    precision = {component: np.full(64, 255, np.uint8) for component in header.components}  # bits still to come
    offset, count = header.scans, 0
    for _ in range(MAX_SEGMENTS):
        if count > MAX_SCANS:
            break
        try:
            marker, offset = _marker(file, offset)
        except ValueError:
            break
        if marker == EOI:
            break
        if marker in ALONE or marker == SOI:
            offset += 2
            continue
        file.seek(offset + 2)
        length = _length(file.read(2))
        if marker == SOS:
            count += 1
            _note_scan(file.read(length - 2), precision)
        offset += 2 + length
    else:
        count = MAX_SCANS + 1
    return Scans(count, all((bits == 0).all() for bits in precision.values()))


def missing_share(picture: PIL.Image.Image, most: float) -> float:
    """The share of a picture's pixels, 0 to 1, that could not be decoded: the grey ones at its end. Where it is more
    than `most`, any value above that. `picture` was opened with `tail` = END and loaded."""
    considered = min(picture.height, int(most * picture.height) + BLOCK_ROWS + 1)
    values = np.asarray(picture.crop((0, picture.height - considered, picture.width, picture.height)))
    grey = (values == GREY) if values.ndim == 2 else (values[..., :3] == GREY).all(axis=-1)  # (rows, width)
    rows = grey.all(axis=1)
    if rows.all():
        return 1.0
    last = considered - int(np.argmin(rows[::-1]))  # from this row on, all are grey
    missing = (considered - last) * picture.width + int(grey[max(0, last - BLOCK_ROWS) : last].sum())
    return missing / (picture.height * picture.width)


@dataclass
class _Profile:
    """A colour profile, stored in numbered parts of at most 64 KB."""

    count: int = 0
    parts: dict[int, bytes] = field(default_factory=dict)

    def add(self, data: bytes) -> None:
        if len(data) > 2:
            self.count = data[1]
            self.parts.setdefault(data[0], data[2:])

    def joined(self) -> bytes | None:
        numbers = range(1, self.count + 1)
        return (
            b"".join(self.parts[n] for n in numbers) if self.count and all(n in self.parts for n in numbers) else None
        )


def _marker(file: BinaryIO, offset: int) -> tuple[int, int]:
    """The next marker at or after `offset`, and its own offset. Bytes before it are skipped."""
    file.seek(offset)
    head = file.read(2)
    if len(head) == 2 and head[0] == 0xFF and head[1] not in (0x00, 0xFF):
        return head[1], offset
    file.seek(offset)
    kept = b""
    while chunk := file.read(READ):
        data = kept + chunk
        if found := NEXT_MARKER.search(data):
            return data[found.end() - 1], offset + found.end() - 2
        kept = data[-1:]
        offset += len(data) - len(kept)
    raise ValueError("no further marker")


def _length(data: bytes) -> int:
    """The length of a segment, which counts its own two bytes."""
    length = int.from_bytes(data, "big")
    if len(data) < 2 or length < 2:
        raise ValueError("a segment without a length")
    return length


def _needed(marker: int, data: bytes) -> bool:
    """Whether these application data say how the colours are coded."""
    return (marker == APP0 and data.startswith(b"JFIF\0") and len(data) >= 14) or (
        marker == APP14 and data.startswith(b"Adobe")
    )


def _components(frame: bytes) -> dict[int, tuple[int, int]]:
    """The components of a frame: bits, height (2), width (2), their number, then 3 bytes for each."""
    if len(frame) < 6:
        return {}
    starts = range(6, min(len(frame), 6 + 3 * frame[5]) - 2, 3)
    return {frame[i]: (frame[i + 1] >> 4, frame[i + 1] & 15) for i in starts}


def _note_scan(data: bytes, precision: dict[int, np.ndarray]) -> None:
    """Notes which coefficients a scan brings: components, 2 bytes each, first and last coefficient, and in four bits
    how many bits were missing before and how many still are."""
    if not data or len(data) < 4 + 2 * data[0]:
        return
    first, last, bits = data[1 + 2 * data[0] : 4 + 2 * data[0]]
    for i in range(data[0]):
        if data[1 + 2 * i] in precision:
            precision[data[1 + 2 * i]][first : last + 1] = bits & 15

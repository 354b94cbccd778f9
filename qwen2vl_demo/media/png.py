"""Opening PNG pictures without the metadata that Pillow would read as well.

Pillow reads every chunk and gives the whole picture up for a comment with a wrong checksum or for more than 1 MB of
text or colour profile. Only the chunks that the pixels need are handed to it; of the others, the orientation and the
colours are read here, where they are intact. As browsers do, metadata behind the pixels is not considered.
(Portable Network Graphics Specification, third edition.)
"""

from __future__ import annotations

import struct
import zlib
from typing import IO, BinaryIO, cast

from PIL import PngImagePlugin

from qwen2vl_demo.media.coded_colours import Chromaticities, from_code_points, from_gamma
from qwen2vl_demo.media.hdr_pictures import HDR, HdrColours, png_peak
from qwen2vl_demo.media.rewritten_file import RewrittenFile

SIGNATURE = b"\x89PNG\r\n\x1a\n"
NEEDED = (b"IHDR", b"PLTE", b"tRNS")  # before the pixels
COLOURS = (b"cICP", b"sRGB", b"gAMA", b"cHRM", b"cLLI", b"mDCV")
RGB_FULL_RANGE = b"\0\1"  # the matrix and the range in cICP; others are for video
MAX_KEPT = 1 << 20  # bytes of one of these chunks; the longest valid one has 768
MAX_PROFILE = 8 << 20  # bytes of a colour profile; those of calibrated screens and printers have up to 3 MB
MAX_CHUNKS = 100_000  # before the pixels


class PngPicture(PngImagePlugin.PngImageFile):
    """A PNG whose chunks behind the pixels are not read."""

    def load_end(self) -> None:
        pass


def open_png(file: BinaryIO) -> PngPicture:
    """Opens a PNG for decoding. `info` holds the colour profile as "icc_profile", or the colours of HDR as "hdr", and
    the EXIF block as "exif", if any.

    An animation is opened as its still picture. Raises ValueError for a file without pixels, and what Pillow raises.
    """
    file.seek(len(SIGNATURE))
    kept = [SIGNATURE]
    found: dict[bytes, bytes] = {}
    offset = len(SIGNATURE)
    for _ in range(MAX_CHUNKS):
        head = file.read(8)
        if len(head) < 8:
            raise ValueError("no pixels in the file")
        length, name = struct.unpack(">I4s", head)
        if name == b"IDAT":
            break
        if (name in NEEDED or name in COLOURS or name == b"eXIf") and length <= MAX_KEPT:
            body, intact = _body(file, name, length)
            if name in (b"IHDR", b"PLTE") or (name == b"tRNS" and intact):
                kept.append(head + body)
            elif intact and name not in NEEDED:
                found.setdefault(name, body[:-4])
        elif name == b"iCCP" and length <= MAX_PROFILE:
            body, intact = _body(file, name, length)
            if intact:
                found.setdefault(name, body[:-4])
        offset += 8 + length + 4
        file.seek(offset)
    else:
        raise ValueError(f"more than {MAX_CHUNKS} chunks before the pixels")
    picture = PngPicture(cast(IO[bytes], RewrittenFile(b"".join(kept), file, offset)))
    if hdr := _hdr(found):
        picture.info[HDR] = hdr
    elif profile := _colours(found):
        picture.info["icc_profile"] = profile
    if found.get(b"eXIf", b"").startswith((b"II", b"MM")):  # with "Exif" before it, as in JPEG, browsers ignore it
        picture.info["exif"] = found[b"eXIf"]
    return picture


def _body(file: BinaryIO, name: bytes, length: int) -> tuple[bytes, bool]:
    """A chunk's data with its checksum, and whether the checksum is right."""
    body = file.read(length + 4)
    return body, len(body) == length + 4 and zlib.crc32(name + body[:-4]) == int.from_bytes(body[-4:], "big")


def _hdr(chunks: dict[bytes, bytes]) -> HdrColours | None:
    cicp = chunks.get(b"cICP", b"")
    if len(cicp) != 4 or cicp[2:] != RGB_FULL_RANGE:
        return None
    return HdrColours.stated(cicp[0], cicp[1], png_peak(chunks.get(b"cLLI", b""), chunks.get(b"mDCV", b"")))


def _colours(chunks: dict[bytes, bytes]) -> bytes | None:
    """The profile for the colours that the chunks state, or None for sRGB. The first of these that is there counts:
    code points, a profile, sRGB, an exponent with or without primaries."""
    cicp = chunks.get(b"cICP", b"")
    if len(cicp) == 4 and cicp[2:] == RGB_FULL_RANGE:
        return from_code_points(cicp[0], cicp[1])
    if profile := _profile(chunks.get(b"iCCP", b"")):
        return profile
    gamma, chromaticities = chunks.get(b"gAMA", b""), chunks.get(b"cHRM", b"")
    if b"sRGB" in chunks or len(gamma) != 4:
        return None
    values = tuple(n / 100_000 for n in struct.unpack(">8I", chromaticities)) if len(chromaticities) == 32 else None
    return from_gamma(int.from_bytes(gamma, "big") / 100_000, cast("Chromaticities | None", values))


def _profile(chunk: bytes) -> bytes | None:
    """The colour profile in the data of an iCCP chunk: a name, a zero byte, the method (0) and compressed data."""
    _, _, data = chunk.partition(b"\0")
    if data[:1] != b"\0":
        return None
    decompressor = zlib.decompressobj()
    try:
        profile = decompressor.decompress(data[1:], MAX_PROFILE)
    except zlib.error:
        return None
    return profile if decompressor.eof else None

"""Metadata that nobody needs costs no picture, and only EXIF turns one.

What Chromium 156 does with each of these files was found by drawing it on a white canvas and reading the pixels; the
tests say "as it is" or "turned", and both were the same there and here.
"""

from __future__ import annotations

import random
import zlib

import numpy as np
import PIL.Image
import pytest

from qwen2vl_demo.errors import UserError
from qwen2vl_demo.media import identify_file, open_image
from tests.media.made_pictures import (
    XMP_TURNED,
    chunk,
    photograph,
    png,
    riff,
    saved,
    segment,
    turned_exif,
    webp,
    with_segments,
)

Image = PIL.Image
PHOTO = photograph()
JPEG = saved(Image.fromarray(PHOTO), "JPEG", quality=90)
EXIF = turned_exif(6)
PROFILE = b"a profile that nobody can read " * 40_000  # 1.2 MB


def pixels(data: bytes) -> np.ndarray:
    identify_file(data)
    return np.asarray(open_image(data))


def itxt(key: bytes, text: bytes) -> bytes:
    return chunk(b"iTXt", key + b"\0\0\0\0\0" + text)


PNG_CHUNKS = {
    "two megabytes of text": chunk(b"zTXt", b"parameters\0\0" + zlib.compress(bytes(2**21))),
    "a megabyte of profile": chunk(b"iCCP", b"screen\0\0" + zlib.compress(PROFILE)),
    "a compressed profile that is cut": chunk(b"iCCP", b"screen\0\0" + zlib.compress(PROFILE)[:-9]),
    "text with a wrong checksum": chunk(b"tEXt", b"a\0b", intact=False),
    "a profile with a wrong checksum": chunk(b"iCCP", b"a\0\0b", intact=False),
    "an orientation with a wrong checksum": chunk(b"eXIf", EXIF[6:], intact=False),
    "a transparent colour with a wrong checksum": chunk(b"tRNS", bytes(6), intact=False),
    "a name that is none": chunk(b"a?b!", b"x"),
    "an orientation as JPEG has it": chunk(b"eXIf", EXIF),
    "an orientation in XMP": itxt(b"XML:com.adobe.xmp", XMP_TURNED),
    "an orientation in a program's own text": chunk(
        b"zTXt",
        b"Raw profile type exif\0\0" + zlib.compress(b"\nexif\n%8d\n%s\n" % (len(EXIF), EXIF.hex().encode())),
    ),
}


@pytest.mark.parametrize("name", PNG_CHUNKS)
def test_png_chunks_that_browsers_ignore(name: str) -> None:
    assert np.array_equal(pixels(png(PHOTO, before=[PNG_CHUNKS[name]])), PHOTO)
    assert np.array_equal(pixels(png(PHOTO, after=[PNG_CHUNKS[name]])), PHOTO)


def test_png_orientation_counts_before_the_pixels() -> None:
    turned = np.rot90(PHOTO, -1)
    assert np.array_equal(pixels(png(PHOTO, before=[chunk(b"eXIf", EXIF[6:])])), turned)
    assert np.array_equal(pixels(png(PHOTO, after=[chunk(b"eXIf", EXIF[6:])])), PHOTO)
    both = [itxt(b"XML:com.adobe.xmp", XMP_TURNED.replace(b'"6"', b'"3"')), chunk(b"eXIf", EXIF[6:])]
    assert np.array_equal(pixels(png(PHOTO, before=both)), turned)


def test_a_png_with_damaged_pixels_or_header_is_still_refused() -> None:
    data = png(PHOTO)
    for place in (20, 60):  # in the header, in the pixels
        broken = bytearray(data)
        broken[place] ^= 0xFF
        with pytest.raises(UserError, match="damaged"):
            open_image(bytes(broken))
    with pytest.raises(UserError, match="damaged"):
        open_image(data[:8] + chunk(b"tEXt", b"a\0b") * 200_000)  # no pixels at all


def test_xmp_does_not_turn_a_picture() -> None:
    picture = Image.fromarray(PHOTO)
    assert np.array_equal(pixels(saved(picture, "JPEG", quality=90, xmp=XMP_TURNED)), pixels(JPEG))
    assert np.array_equal(pixels(saved(picture, "WEBP", lossless=True, xmp=XMP_TURNED)), PHOTO)
    tiff = saved(picture, "TIFF", tiffinfo={700: XMP_TURNED})
    assert np.array_equal(pixels(tiff), PHOTO)
    turned = saved(picture, "JPEG", quality=90, xmp=XMP_TURNED, exif=turned_exif(3))
    assert np.array_equal(pixels(turned), pixels(JPEG)[::-1, ::-1])


@pytest.mark.parametrize("marker", [*range(0xE0, 0xF0), 0xFE])
def test_jpeg_segments_with_any_content(marker: int) -> None:
    """Pillow gave a picture up for, among others, a Photoshop block that ends early."""
    generator = random.Random(marker)
    beginnings = [b"", b"JFIF\0", b"JFXX\0", b"Exif\0\0", b"Exif\0\0MM\0*", b"ICC_PROFILE\0\1\1", b"MPF\0", b"FPXR\0"]
    beginnings += [b"http://ns.adobe.com/xap/1.0/\0", b"Photoshop 3.0\0", b"Photoshop 3.0\x008BIM\x03\xed"]
    expected = pixels(JPEG)
    for beginning in beginnings:
        for length in (0, 1, 40):
            body = beginning + generator.randbytes(length)
            assert np.array_equal(pixels(with_segments(JPEG, segment(marker, body))), expected), body


def test_many_segments_before_the_pixels() -> None:
    """Pillow joins EXIF blocks in quadratic time: 3,000 of 64 kB took minutes."""
    exif = segment(0xE1, EXIF + bytes(65_000))
    assert np.array_equal(pixels(with_segments(JPEG, *[exif] * 400)), np.rot90(pixels(JPEG), -1))
    assert np.array_equal(pixels(with_segments(JPEG, *[segment(0xFE, b"")] * 20_000)), pixels(JPEG))
    with pytest.raises(UserError, match="damaged"):
        open_image(with_segments(JPEG, *[segment(0xFE, b"")] * 200_000))


def test_a_profile_in_parts_may_be_incomplete() -> None:
    for parts in ([(1, 2)], [(2, 2), (1, 3)], [(1, 0)]):
        segments = [segment(0xE2, b"ICC_PROFILE\0" + bytes(part) + b"profile") for part in parts]
        assert np.array_equal(pixels(with_segments(JPEG, *segments)), pixels(JPEG))


def test_webp_metadata() -> None:
    assert np.array_equal(pixels(webp(PHOTO, riff(b"EXIF", EXIF[6:]), flags=0x08)), np.rot90(PHOTO, -1))
    # With its last bytes missing, libwebp's decoder for animations takes the whole file for damaged.
    assert np.array_equal(pixels(webp(PHOTO, riff(b"EXIF", bytes(500)), flags=0x08)[:-10]), PHOTO)
    assert np.array_equal(pixels(webp(PHOTO, riff(b"EXIF", b"\xff" * 9), riff(b"XMP ", b"x"), flags=0x2C)), PHOTO)
    assert np.array_equal(pixels(webp(PHOTO, riff(b"ABCD", b"anything")) + b"behind"), PHOTO)


# Container brands


def with_brands(data: bytes, *brands: bytes) -> bytes:
    """An AVIF or HEIC file with other brands; the "meta" box holds offsets into the file, so that the length stays."""
    length = int.from_bytes(data[:4], "big")
    room = length // 4 - 4
    assert len(brands) - 1 <= room, "too many brands for this file"
    compatible = [*brands[1:], *[brands[-1]] * (room - len(brands) + 1)]
    return data[:8] + brands[0] + data[12:16] + b"".join(compatible) + data[length:]


@pytest.mark.parametrize("main", [b"avif", b"mif1", b"msf1", b"miaf", b"MA1B"])
def test_compatible_brands_make_an_avif(main: bytes) -> None:
    data = saved(Image.fromarray(PHOTO), "AVIF", quality=95)
    branded = with_brands(data, main, b"mif1", b"avif")
    assert identify_file(branded).ending == "avif"
    assert np.array_equal(pixels(branded), pixels(data))


@pytest.mark.parametrize("main", [b"heic", b"mif1", b"msf1", b"miaf"])
def test_compatible_brands_make_a_heic(main: bytes) -> None:
    data = saved(Image.fromarray(PHOTO), "HEIF", quality=95)
    branded = with_brands(data, main, b"mif1", b"heic")
    assert identify_file(branded).ending == "heic"
    assert np.array_equal(pixels(branded), pixels(data))

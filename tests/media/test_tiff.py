"""TIFF: every variant comes out right or is refused by name.

The expected values follow from how the files are written here, by the TIFF 6.0 specification: a sample's lowest value
is black and its highest white, or the other way round, and samples may be in one plane or in a plane each.
"""

from __future__ import annotations

import itertools
import struct

import numpy as np
import PIL.Image
import pytest

from qwen2vl_demo.errors import UserError
from qwen2vl_demo.media import identify_file, kind_of, open_image
from tests.media.made_pictures import photograph, saved, tiff

WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, CMYK = 0, 1, 2, 5
UNSIGNED, SIGNED, FLOAT = 1, 2, 3
# Photometric interpretation, samples, extra samples (1: premultiplied alpha, 2: alpha, 0: of no meaning)
LAYOUTS = [
    (WHITE_IS_ZERO, 1, ()),
    (BLACK_IS_ZERO, 1, ()),
    (BLACK_IS_ZERO, 2, (2,)),
    (RGB, 3, ()),
    (RGB, 4, (2,)),
    (RGB, 4, (1,)),
    (RGB, 4, (0,)),
    (CMYK, 4, ()),
]
KINDS = (
    [(f"u{n}", UNSIGNED) for n in (1, 2, 4)] + [(f"i{n}", SIGNED) for n in (1, 2, 4)] + [("f4", FLOAT), ("f8", FLOAT)]
)


def samples_of(dtype: str, sample_format: int, count: int, premultiplied: bool) -> tuple[np.ndarray, np.ndarray]:
    """Samples (6, 5, count) with all values between the lowest and the highest, and the same as numbers 0..1."""
    values = np.random.default_rng(0).random((6, 5, count))
    values[0, 0], values[0, 1] = 0, 1
    if premultiplied:
        values[..., :3] = np.minimum(values[..., :3], values[..., 3:])
    if sample_format == FLOAT:
        return values.astype(dtype), values
    low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
    samples = np.rint(values * (high - low) + low).clip(low, high).astype(dtype)
    return samples, (samples.astype(np.float64) - low) / (high - low)


def shown(values: np.ndarray, photometric: int, extra: tuple[int, ...]) -> np.ndarray:
    """What a person sees of samples 0..1, on white, as levels 0..255."""
    if photometric == CMYK:
        colours, alpha = (1 - values[..., :3]) * (1 - values[..., 3:4]), np.ones(1)
    else:
        colours = values[..., :3] if photometric == RGB else values[..., :1].repeat(3, axis=2)
        colours = 1 - colours if photometric == WHITE_IS_ZERO else colours
        alpha = values[..., -1:] if extra and extra[0] else np.ones(1)
    if extra != (1,):
        colours = colours * alpha
    return 255 * (colours + 1 - alpha)


@pytest.mark.parametrize(("dtype", "sample_format"), KINDS)
def test_every_variant_is_right_or_refused_by_name(dtype: str, sample_format: int) -> None:
    """Wrong without a word were: planes of 16 bits, inverted 16-bit and float samples, unsigned 32-bit above 2^31,
    signed 8-bit, and compressed signed or float samples of the other byte order."""
    read = 0
    for (photometric, count, extra), planar, deflate, big in itertools.product(
        LAYOUTS, (1, 2), (False, True), (False, True)
    ):
        samples, values = samples_of(dtype, sample_format, count, extra == (1,))
        data = tiff(
            samples,
            photometric,
            sample_format=sample_format,
            planar=planar,
            deflate=deflate,
            big_endian=big,
            extra=extra,
        )
        what = (photometric, count, extra, planar, deflate, big)
        try:
            picture = open_image(data)
        except UserError as error:
            assert "unknown variant" in str(error), what
            continue
        read += 1
        expected = shown(values, photometric, extra)
        assert np.abs(np.asarray(picture) - expected).max() <= 2.6, what
    assert read >= {"u1": 48, "u2": 48, "f8": 0}.get(dtype, 2)


def test_inverted_sixteen_bits() -> None:
    """As ImageMagick shows it: 65535 - v, rounded to 8 bits."""
    samples = np.array([[[0], [257], [32768], [65535]]], np.uint16)
    assert np.asarray(open_image(tiff(samples, WHITE_IS_ZERO)))[0, :, 0].tolist() == [255, 254, 127, 0]


def test_unsigned_32_bits_above_the_signed_ones() -> None:
    samples = np.array([[[0], [2**31], [3 * 2**30], [2**32 - 1]]], np.uint32)
    assert np.asarray(open_image(tiff(samples, BLACK_IS_ZERO)))[0, :, 0].tolist() == [0, 128, 191, 255]
    low = np.array([[[0], [257], [65535]]], np.uint32)
    assert np.asarray(open_image(tiff(low, BLACK_IS_ZERO)))[0, :, 0].tolist() == [0, 1, 255]


def test_planes_of_16_bits_in_tiles_and_turned() -> None:
    """The planes of a picture are put together and then turned by its orientation."""
    samples = np.arange(6 * 4 * 3, dtype=np.uint16).reshape(6, 4, 3) * 900
    expected = np.rint(samples * (255 / 65535)).astype(int)
    data = tiff(samples, RGB, planar=2, tags=[(274, 3, [6])])
    assert np.abs(np.asarray(open_image(data)).astype(int) - np.rot90(expected, -1)).max() <= 1


@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_the_orientation_of_each_kind_of_decoder(orientation: int) -> None:
    samples = photograph()
    turned = np.rot90(samples, {1: 0, 3: 2, 6: -1}[orientation])
    for deflate in (False, True):
        data = tiff(samples, RGB, deflate=deflate, tags=[(274, 3, [orientation])])
        assert np.array_equal(np.asarray(open_image(data)), turned)


# Raw photos


def with_sub_directory(photometric: int, thumbnail_tags: list[tuple[int, int, list[int]]]) -> bytes:
    """A thumbnail whose directory refers to another one of this photometric interpretation, as a DNG and a NEF do."""
    samples = photograph()[:40, :60]
    reference = tiff(samples, RGB, tags=[*thumbnail_tags, (330, 4, [0])])
    raw = struct.pack("<HHHIIHHIII", 2, 256, 3, 1, 4000, 262, 3, 1, photometric, 0)
    return tiff(samples, RGB, tags=[*thumbnail_tags, (330, 4, [len(reference)])]) + raw


RAW = {
    "a.dng": tiff(photograph(), RGB, tags=[(254, 4, [1]), (50706, 1, [1, 4, 0, 0])]),
    "b.nef": with_sub_directory(32803, [(254, 4, [1])]),
    "c.tif": with_sub_directory(34892, []),
    "d.arw": tiff(photograph()[..., :1], 32803),
    "e.cr2": b"II*\0" + struct.pack("<I", 16) + b"CR\2\0" + bytes(4) + tiff(photograph(), RGB)[8:],
    "f.orf": b"IIRO\x08\0\0\0" + bytes(200),
    "g.rw2": b"IIU\0\x18\0\0\0" + bytes(200),
    "h.raf": b"FUJIFILMCCD-RAW 0201" + bytes(200),
    "i.cr3": b"\0\0\0\x18ftypcrx \0\0\0\1crx isom" + bytes(200),
}


@pytest.mark.parametrize("name", RAW)
def test_raw_photos_are_refused_by_name(name: str) -> None:
    """Shown was their thumbnail of 160 or 256 pixels."""
    for call in (kind_of, identify_file, open_image):
        with pytest.raises(UserError, match="raw photo"):
            call(RAW[name])


def test_an_ordinary_picture_with_a_sub_directory_is_no_raw_photo() -> None:
    assert open_image(with_sub_directory(RGB, [])).size == (60, 40)


@pytest.mark.parametrize("bits", [1, 8])
def test_broken_directories_end(bits: int) -> None:
    """A directory that follows itself, one beyond the end, and offsets into nowhere."""
    data = bytearray(saved(PIL.Image.fromarray(photograph()).convert("1" if bits == 1 else "L"), "TIFF"))
    start = int.from_bytes(data[4:8], "little")
    end = start + 2 + 12 * int.from_bytes(data[start : start + 2], "little")
    for following in (start, len(data) + 5, 2**32 - 1, 3):
        data[end : end + 4] = struct.pack("<I", following)
        assert open_image(bytes(data)).size == (120, 90)

"""Pictures whose end is missing, and pictures that would take too much memory or time."""

from __future__ import annotations

import struct
import subprocess
import sys
import time
import zlib

import numpy as np
import PIL.Image
import pytest

from qwen2vl_demo.errors import UserError
from qwen2vl_demo.media import MediaLimits, identify_file, notices, open_image, original_size
from tests.media.made_pictures import chunk, photograph, png, saved, segment, turned_exif, with_segments

Image = PIL.Image
PHOTO = Image.fromarray(photograph())
FORMS = {"one pass": {}, "progressive": {"progressive": True}, "grey": {}, "subsampled": {"subsampling": 2}}


def jpeg(form: str, **options: object) -> bytes:
    return saved(PHOTO.convert("L") if form == "grey" else PHOTO, "JPEG", quality=92, **{**FORMS[form], **options})


# The end is missing


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("missing", [1, 2, 3, 10, 40])
def test_a_jpeg_without_its_last_bytes_is_shown_and_said_to_be_cut(form: str, missing: int) -> None:
    """Chromium shows these files, 8 or 16 rows shorter where the picture is coded in one pass."""
    whole, cut = open_image(jpeg(form)), open_image(jpeg(form)[:-missing])
    assert notices(whole) == ()
    (notice,) = notices(cut)
    assert "cut off" in notice
    if form != "progressive":
        assert np.array_equal(np.asarray(whole)[:72], np.asarray(cut)[:72])  # the last 16 rows are coded together


def test_the_share_that_is_missing_is_stated_and_limited() -> None:
    """Rows of 8 pixels of a tall picture, each in a part of its own between two restart markers."""
    tall = Image.fromarray(np.random.default_rng(0).integers(0, 255, (800, 80), dtype=np.uint8))
    data = saved(tall, "JPEG", quality=90, restart_marker_rows=1)
    parts = [i for i in range(len(data) - 1) if data[i] == 0xFF and 0xD0 <= data[i + 1] <= 0xD7]
    for left in (1, 3, 4):  # percent; a decoder may make a block or two of nothing
        (notice,) = notices(open_image(data[: parts[len(parts) - left]]))
        assert any(f"at its end {left - part / 10:.1f}% of the picture is missing" in notice for part in (0, 1, 2))
    for left in (6, 20, 90):
        with pytest.raises(UserError, match="damaged, cut off"):
            open_image(data[: parts[len(parts) - left]])


def test_a_progressive_jpeg_needs_every_scan() -> None:
    data = jpeg("progressive")
    last = data.rindex(b"\xff\xda")
    (notice,) = notices(open_image(data[: (last + len(data)) // 2]))
    assert "finest details" in notice
    for end in (last, data.index(b"\xff\xda", data.index(b"\xff\xda") + 2)):
        with pytest.raises(UserError, match="damaged, cut off"):
            open_image(data[:end])


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "1", "I;16", "P"])
def test_a_cut_png_is_white_where_it_is_missing(mode: str) -> None:
    """As in Chromium."""
    noise = np.random.default_rng(0).integers(0, 255, (200, 50), dtype=np.uint8)
    picture = Image.fromarray(noise.astype(np.uint16) * 257) if mode == "I;16" else Image.fromarray(noise).convert(mode)
    data = saved(picture, "PNG")
    end = data.rindex(b"IEND") - 8  # where the compressed pixels end
    whole = np.asarray(open_image(data))
    cut = open_image(data[: end - (end - 50) * 3 // 100])
    assert "cut off" in notices(cut)[0] and "%" in notices(cut)[0]
    assert np.array_equal(np.asarray(cut)[:190], whole[:190])
    assert mode == "P" or (np.asarray(cut)[-1] == 255).all()
    with pytest.raises(UserError, match="damaged, cut off"):
        open_image(data[: end - (end - 50) * 8 // 100])
    assert notices(open_image(data[:end])) == ()


# Large


def test_a_photo_above_the_limit_is_decoded_at_reduced_size() -> None:
    data = saved(PHOTO.resize((640, 480)), "JPEG", exif=turned_exif(6))
    for most, reduction in ((640 * 480, 1), (640 * 480 - 1, 2), (640 * 480 // 4 - 1, 4), (640 * 480 // 16 - 1, 8)):
        picture = open_image(data, MediaLimits(max_image_pixels=most))
        assert picture.size == (480 // reduction, 640 // reduction)
        assert original_size(picture) == (640, 480)
        assert len(notices(picture)) == (reduction > 1)
    assert f"1/{reduction} of its size" in notices(picture)[0] and "--max-image-mp" in notices(picture)[0]
    expected = np.asarray(open_image(data).resize(picture.size, Image.Resampling.BOX)).astype(int)
    assert np.abs(expected - np.asarray(picture)).mean() < 8
    with pytest.raises(UserError, match=r"more than the limit of 4799 \(--max-image-mp\)"):
        open_image(data, MediaLimits(max_image_pixels=640 * 480 // 64 - 1))
    with pytest.raises(UserError, match=r"--max-image-mp"):
        open_image(saved(PHOTO, "PNG"), MediaLimits(max_image_pixels=100))


def webp_that_claims(width: int, height: int) -> bytes:
    bits = (width - 1) | (height - 1) << 14
    return (
        b"RIFF"
        + struct.pack("<I", 26)
        + b"WEBPVP8L"
        + struct.pack("<I", 13)
        + b"\x2f"
        + struct.pack("<I", bits)
        + bytes(8)
    )


BOMBS = {
    "a WebP of 34 bytes": (webp_that_claims(16383, 16383), "16383x16383"),
    "a WebP whose decoder needs too much": (webp_that_claims(9000, 9000), "80000000 for WEBP"),
    "a strip": (png(np.zeros((2, 402), np.uint8)), "200 times"),
    "a JPEG strip": (saved(Image.new("L", (2010, 10)), "JPEG"), "200 times"),
    "endless scans": (b"", "scans"),
    "endless comments between scans": (b"", "scans"),
}


@pytest.mark.parametrize("name", BOMBS)
def test_what_would_take_too_much_is_refused_before_it_is_decoded(name: str) -> None:
    data, words = BOMBS[name]
    if not data:
        picture = jpeg("progressive")
        scan = picture[picture.rindex(b"\xff\xda") : -2]
        between = scan * 5000 if "scans" in name and "comments" not in name else segment(0xFE, b"") * 300_000
        data = picture[:-2] + between + picture[-2:]
    started = time.process_time()
    with pytest.raises(UserError, match=words):
        open_image(data)
    assert time.process_time() - started < 2


def test_a_progressive_jpeg_too_large_to_keep_is_refused() -> None:
    picture = bytearray(jpeg("progressive", subsampling=0))
    frame = picture.index(b"\xff\xc2")
    picture[frame + 5 : frame + 9] = struct.pack(">HH", 14_000, 14_000)  # at 6 bytes a pixel, 1.2 GB
    with pytest.raises(UserError, match="too many for a progressive JPEG"):
        open_image(bytes(picture))


PEAK = """
import resource, sys
from qwen2vl_demo.media import open_image
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
data = sys.stdin.buffer.read()
before = peak()
picture = open_image(data)
print((peak() - before) / (picture.width * picture.height))
"""


@pytest.mark.parametrize(("depth", "colour", "sample_bytes"), [(16, 0, 2), (8, 6, 4)])
def test_a_picture_takes_at_most_ten_bytes_a_pixel(depth: int, colour: int, sample_bytes: int) -> None:
    """Grey of 16 bits took 37 bytes a pixel, as float64 copies of everything; transparency took 13. With 10 a picture
    of 119 million pixels stays below 1.5 GB."""
    side = 3000
    header = struct.pack(">IIBBBBB", side, side, depth, colour, 0, 0, 0)
    pixels = zlib.compress((b"\0" + bytes(side * sample_bytes)) * side, 1)
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    ended = subprocess.run([sys.executable, "-c", PEAK], input=data, capture_output=True, timeout=120)
    assert float(ended.stdout) < 10 + 40e6 / side**2, ended.stderr.decode()[-500:]  # and the strips themselves


def test_identifying_a_large_webp_allocates_nothing() -> None:
    assert identify_file(webp_that_claims(16383, 16383)).ending == "webp"


def test_a_file_that_is_no_picture_after_all() -> None:
    for data in (
        with_segments(b"\xff\xd8\xff\xd9", segment(0xFE, b"x")),
        b"\xff\xd8\xff" + bytes(100),
        b"\xff\xd8\xff",
    ):
        with pytest.raises(UserError):
            open_image(data)

"""Colours come out as a browser shows them.

The expected values were read from a canvas in Chromium 156 (--force-color-profile=srgb) on which these very files had
been drawn. One level of difference is allowed: two programs round differently.
"""

from __future__ import annotations

import struct

import numpy as np
import PIL.Image
import pytest
from PIL import ImageCms

from qwen2vl_demo.media import open_image, rgb
from qwen2vl_demo.media.coded_colours import D65, PRIMARIES, SRGB_CURVE, SRGB_PRIMARIES, matrix_profile
from qwen2vl_demo.media.colour_profile import SRGBConversion
from tests.media.made_pictures import chunk, cmyk_profile, grey_profile, photograph, png, saved

Image = PIL.Image
ADOBE_RGB = matrix_profile((*D65, 0.64, 0.33, 0.21, 0.71, 0.15, 0.06), (563 / 256,))
DISPLAY_P3 = matrix_profile(PRIMARIES[12], SRGB_CURVE)
PROPHOTO = matrix_profile((0.3457, 0.3585, 0.7347, 0.2653, 0.1596, 0.8404, 0.0366, 0.0001), (1.8,))
OWN_SRGB = matrix_profile(SRGB_PRIMARIES, SRGB_CURVE)
COLOURS = np.array(
    [[[255, 0, 0], [0, 255, 0], [0, 0, 255], [200, 120, 40], [60, 90, 150], [128, 128, 128], [10, 20, 30]]], np.uint8
)
GREYS = np.array([[0, 1, 2, 10, 60, 128, 200, 255]], np.uint8)
PURE = [(255, 0, 0), (0, 255, 0), (0, 0, 255)]
IN_CHROMIUM = {
    "Adobe RGB": (ADOBE_RGB, [*PURE, (224, 121, 25), (36, 90, 153), (129, 129, 129), (0, 12, 24)]),
    "Display P3": (DISPLAY_P3, [*PURE, (213, 115, 0), (50, 91, 155), (128, 128, 128), (7, 20, 31)]),
    "ProPhoto": (PROPHOTO, [*PURE, (255, 114, 0), (0, 115, 174), (146, 146, 146), (0, 28, 42)]),
    "grey on RGB": (grey_profile(1.8), COLOURS[0]),
    "broken": (b"x" * 500, COLOURS[0]),
    "cut off": (ADOBE_RGB[:300], COLOURS[0]),
    "empty": (b"", COLOURS[0]),
}
GREYS_IN_CHROMIUM = {
    "grey, gamma 1": (grey_profile(1.0), [0, 13, 22, 56, 133, 188, 229, 255]),
    "grey, gamma 1.8": (grey_profile(1.8), [0, 0, 1, 10, 77, 146, 210, 255]),
    "ProPhoto": (PROPHOTO, [0, 0, 1, 10, 77, 146, 210, 255]),
    "of inks": (cmyk_profile(), GREYS[0]),
}


def near(data: bytes, expected: object, most: int = 1) -> None:
    found = np.asarray(open_image(data)).astype(int)
    assert np.abs(found[0] - np.asarray(expected)).max() <= most, found[0].tolist()


def large(pixels: np.ndarray) -> np.ndarray:
    """Each pixel as a square, so that lossy formats keep it."""
    return pixels.repeat(16, 0).repeat(16, 1)


def srgb_profile() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


@pytest.mark.parametrize("name", IN_CHROMIUM)
def test_profiles_of_rgb_pictures(name: str) -> None:
    profile, expected = IN_CHROMIUM[name]
    picture = Image.fromarray(COLOURS)
    near(saved(picture, "PNG", icc_profile=profile), expected)
    near(saved(picture, "TIFF", icc_profile=profile), expected)
    near(saved(picture, "WEBP", lossless=True, icc_profile=profile), expected)
    near(saved(picture.quantize(8), "PNG", icc_profile=profile), expected)
    small = np.asarray(open_image(saved(Image.fromarray(large(COLOURS)), "JPEG", quality=100, icc_profile=profile)))
    assert np.abs(small[8, 8::16].astype(int) - expected).max() <= 6  # JPEG changes its input by up to 3 here


def test_a_profile_in_the_info_of_a_pil_image_counts_too() -> None:
    picture = Image.fromarray(COLOURS)
    picture.info["icc_profile"] = DISPLAY_P3
    assert np.abs(np.asarray(open_image(picture))[0].astype(int) - IN_CHROMIUM["Display P3"][1]).max() <= 1
    assert np.array_equal(np.asarray(picture), COLOURS)


@pytest.mark.parametrize("name", GREYS_IN_CHROMIUM)
def test_profiles_of_grey_pictures(name: str) -> None:
    profile, expected = GREYS_IN_CHROMIUM[name]
    expected = np.repeat(np.asarray(expected)[:, None], 3, axis=1)
    near(saved(Image.fromarray(GREYS), "PNG", icc_profile=profile), expected)
    wide = Image.fromarray(GREYS.astype(np.uint16) * 257)
    near(saved(wide, "PNG", icc_profile=profile), expected)


def test_colours_are_converted_before_transparency_is() -> None:
    rgba = Image.fromarray(np.dstack([COLOURS, np.full(COLOURS.shape[:2], 128, np.uint8)]))
    in_chromium = [(255, 127, 127), (127, 255, 127), (127, 127, 255), (234, 185, 127), (152, 173, 205)]
    near(saved(rgba, "PNG", icc_profile=DISPLAY_P3), [*in_chromium, (191, 191, 191), (131, 137, 143)])


def test_inks() -> None:
    """Chromium interpolates in the table another way: up to 7 levels. Inks with black are left out, as Chromium drops
    the black before it looks the others up."""
    inks = [[0, 0, 0, 0], [255, 0, 0, 0], [0, 255, 0, 0], [0, 0, 255, 0], [255, 255, 0, 0], [0, 255, 255, 0]]
    picture = Image.fromarray(large(np.array([[*inks, [128, 128, 128, 0], [40, 90, 160, 0]]], np.uint8)), "CMYK")
    in_chromium = [(253, 250, 243), (105, 192, 227), (223, 106, 163), (248, 234, 92), (93, 79, 149), (217, 98, 59)]
    expected = [*in_chromium, (175, 152, 134), (224, 185, 131)]
    data = saved(picture, "JPEG", quality=100, subsampling=0, icc_profile=cmyk_profile())
    found = np.asarray(open_image(data))[8, 8::16].astype(int)
    assert np.abs(found - expected).max() <= 7 and np.abs(found - expected)[:6].max() <= 1


@pytest.mark.parametrize("profile", [srgb_profile(), OWN_SRGB], ids=["of LittleCMS", "of code points"])
def test_an_srgb_profile_changes_nothing_and_converts_nothing(profile: bytes) -> None:
    picture = Image.fromarray(photograph())
    picture.info["icc_profile"] = profile
    assert SRGBConversion.of(picture) is None
    assert np.array_equal(np.asarray(open_image(saved(picture, "PNG", icc_profile=profile))), photograph())


def test_strips_give_what_the_whole_picture_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    """Large pictures are converted in strips of rows, of which the last one is shorter."""
    rgba = Image.fromarray(np.dstack([photograph(), photograph()[..., 0]]))
    wide = Image.fromarray(photograph()[..., 0].astype(np.int32) * 70_000 - 9)
    files = [
        saved(rgba, "PNG", icc_profile=ADOBE_RGB),
        saved(rgba.convert("P"), "PNG", transparency=3),
        saved(rgba.convert("LA"), "PNG"),
        saved(rgba.convert("CMYK"), "TIFF"),
        saved(wide, "TIFF"),
    ]
    whole = [np.asarray(open_image(data)) for data in files]
    monkeypatch.setattr(rgb, "STRIP_PIXELS", 120 * 7)
    monkeypatch.setattr(rgb, "WHOLE_PIXELS", 120 * 7)
    for data, expected in zip(files, whole, strict=True):
        assert np.array_equal(np.asarray(open_image(data)), expected)


# Colours that are stated without a profile: colours of the picture in Chromium, and a grey of 125

PATCHES = np.array([[[200, 50, 50], [50, 200, 50], [50, 50, 200], [125, 125, 125]]], np.uint8)


def gamma(value: float) -> bytes:
    return chunk(b"gAMA", struct.pack(">I", round(value * 100_000)))


def primaries(*xy: int) -> bytes:
    return chunk(b"cHRM", struct.pack(">8I", *xy))


SRGB_CHRM = primaries(31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)
ADOBE_CHRM = primaries(31270, 32900, 64000, 33000, 21000, 71000, 15000, 6000)
P3_CICP = chunk(b"cICP", bytes([12, 13, 0, 1]))
P3_PATCHES = [(218, 24, 40), (0, 204, 0), (50, 50, 208), (125, 125, 125)]
LINEAR_PATCHES = [(229, 122, 122), (122, 229, 122), (122, 122, 229), (186, 186, 186)]
STATED = {
    "an exponent of 1": ([gamma(1)], LINEAR_PATCHES),
    "an exponent of 1 / 1.8": ([gamma(0.55556)], [(210, 65, 65), (65, 210, 65), (65, 65, 210), (144, 144, 144)]),
    "an exponent of 1 / 2.2": ([gamma(0.45455)], PATCHES[0]),
    "an exponent and the primaries of Adobe RGB": (
        [gamma(0.45455), ADOBE_CHRM],
        [(232, 46, 46), (0, 201, 12), (46, 46, 205), (126, 126, 126)],
    ),
    "primaries alone": ([ADOBE_CHRM], PATCHES[0]),
    "sRGB against an exponent": ([gamma(1), chunk(b"sRGB", b"\0")], PATCHES[0]),
    "Display P3 by code points": ([P3_CICP], P3_PATCHES),
    "code points against sRGB": ([P3_CICP, chunk(b"sRGB", b"\0")], P3_PATCHES),
    "BT.2020 by code points": (
        [chunk(b"cICP", bytes([9, 1, 0, 1]))],
        [(245, 0, 26), (0, 208, 0), (0, 33, 207), (118, 118, 118)],
    ),
    "unspecified code points": ([chunk(b"cICP", bytes([2, 2, 0, 1]))], PATCHES[0]),
    "a wrong checksum": ([gamma(1)[:-1] + b"x"], PATCHES[0]),
    "primaries that are none": ([gamma(1), primaries(*[0] * 8)], PATCHES[0]),
}


@pytest.mark.parametrize("name", STATED)
def test_colours_stated_in_a_png(name: str) -> None:
    chunks, expected = STATED[name]
    near(png(PATCHES, before=chunks), expected)


def test_the_usual_exponent_with_the_usual_primaries_is_srgb() -> None:
    """Unlike in Chromium, which makes (201, 46, 46) of (200, 50, 50): many programs write this for sRGB."""
    assert np.array_equal(np.asarray(open_image(png(PATCHES, before=[gamma(0.45455), SRGB_CHRM]))), PATCHES)


@pytest.mark.parametrize(
    ("code_points", "expected"),
    [
        ((1, 13), PATCHES[0]),
        ((1, 1), PATCHES[0]),  # not as in a PNG
        ((2, 2), PATCHES[0]),
        ((12, 13), P3_PATCHES),
        ((1, 8), LINEAR_PATCHES),
    ],
)
def test_colours_stated_in_an_avif(code_points: tuple[int, int], expected: object) -> None:
    picture = Image.fromarray(large(PATCHES))
    data = saved(picture, "AVIF", quality=100, subsampling="4:4:4")
    place = data.index(b"colrnclx") + 8
    data = data[:place] + struct.pack(">HH", *code_points) + data[place + 4 :]
    found = np.asarray(open_image(data))[8, 8::16].astype(int)
    assert np.abs(found - np.asarray(expected)).max() <= 3

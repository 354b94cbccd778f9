"""Colours of ICC profiles as sRGB, the way a browser shows them.

Without this, a picture in Adobe RGB or Display P3 comes out too pale. LittleCMS does the conversion, relative
colorimetric and without black point compensation; Chromium shows RGB and grey pictures the same within one level.
Profiles that describe sRGB itself, as most do, change nothing and cost no conversion; broken ones and those that do not
fit the picture are ignored.
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import PIL.Image
from PIL import ImageCms

MAX_PROFILE = 8 << 20  # bytes
GREY_MODES = ("1", "L", "LA", "La", "I", "F")  # and the modes that begin with "I;16"
CACHED = 8  # conversions; the frames of an animation and the pages of a document share theirs
# sRGB: the matrix from linear RGB to XYZ, adapted to the profiles' white D50 (its columns are the colorants)
SRGB_MATRIX = np.array([[0.43607, 0.38515, 0.14307], [0.22249, 0.71687, 0.06061], [0.01392, 0.09708, 0.71410]])
SAME = 1.0  # levels of 255: a profile no further than this from sRGB is sRGB


@dataclass(frozen=True)
class SRGBConversion:
    """The conversion of a picture's colours to sRGB."""

    transform: ImageCms.ImageCmsTransform
    grey: tuple[bytes, bytes, bytes] | None = None  # of a grey profile: red, green and blue of each of the 256 levels

    @classmethod
    def of(cls, image: PIL.Image.Image) -> SRGBConversion | None:
        """The conversion for a picture, or None where its colours stay as they are."""
        profile = image.info.get("icc_profile")
        if not isinstance(profile, bytes) or not 132 <= len(profile) <= MAX_PROFILE or image.mode == "LAB":
            return None
        grey = image.mode in GREY_MODES or image.mode.startswith("I;16")
        space = profile[16:20]
        if space == b"RGB " and image.mode != "CMYK":
            return _conversion(profile, "RGB")
        if space == b"GRAY" and grey:
            return _conversion(profile, "L")
        if space == b"CMYK" and image.mode == "CMYK":
            return _conversion(profile, "CMYK")
        return None

    def apply(self, picture: PIL.Image.Image) -> PIL.Image.Image:
        """The picture in sRGB, as a new RGB picture. It may be grey, RGB or, for a CMYK profile, CMYK."""
        if self.grey is not None:
            level = picture.convert("L")
            return PIL.Image.merge("RGB", [level.point(list(channel)) for channel in self.grey])
        if picture.mode == "CMYK":
            return self.transform.apply(picture)
        converted = picture.convert("RGB")  # a copy where it is RGB already
        self.transform.apply_in_place(converted)
        return converted


@lru_cache(CACHED)
def _conversion(profile: bytes, mode: str) -> SRGBConversion | None:
    try:
        if mode == "RGB" and _is_srgb(profile):
            return None
        # Tables make LittleCMS fast, but are coarse in the darkest greys and make the white of paper pure white.
        flags = ImageCms.Flags.NOOPTIMIZE if mode == "L" else ImageCms.Flags.NOWHITEONWHITEFIXUP
        transform = ImageCms.buildTransform(
            ImageCms.ImageCmsProfile(io.BytesIO(profile)),
            ImageCms.createProfile("sRGB"),
            mode,
            "RGB",
            renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
            flags=flags,
        )
        if mode != "L":
            return SRGBConversion(transform)
        levels = PIL.Image.frombytes("L", (256, 1), bytes(range(256)))
        red, green, blue = transform.apply(levels).split()
        return SRGBConversion(transform, (red.tobytes(), green.tobytes(), blue.tobytes()))
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None  # a profile that LittleCMS cannot use


def _is_srgb(profile: bytes) -> bool:
    """Whether this is a profile of a matrix and three curves that leaves all colours within SAME of sRGB."""
    tags = _tags(profile)
    if b"A2B0" in tags or b"A2B1" in tags:
        return False
    try:
        matrix = np.column_stack([_xyz(tags[name]) for name in (b"rXYZ", b"gXYZ", b"bXYZ")])
        steps = np.linspace(0, 1, 33)
        curves = [_curve(tags[name], steps) for name in (b"rTRC", b"gTRC", b"bTRC")]
    except (KeyError, ValueError, struct.error):
        return False
    chosen = slice(None, None, 4)  # 9 of the 33 steps for mixtures, all of them for greys
    mixed = np.stack(np.meshgrid(*(c[chosen] for c in curves), indexing="ij"), -1).reshape(-1, 3)
    expected = np.stack(np.meshgrid(*[steps[chosen]] * 3, indexing="ij"), -1).reshape(-1, 3)
    linear = np.concatenate([mixed, np.column_stack(curves)]) @ (np.linalg.inv(SRGB_MATRIX) @ matrix).T
    expected = np.concatenate([expected, np.column_stack([steps] * 3)])
    return bool(np.abs(_encoded(linear) - expected).max() * 255 <= SAME)


def _encoded(linear: np.ndarray) -> np.ndarray:
    """Linear light, 0..1, as sRGB values, 0..1 (IEC 61966-2-1)."""
    linear = linear.clip(0, 1)
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def _tags(profile: bytes) -> dict[bytes, bytes]:
    """The data of each tag: after 128 bytes their number, then name, offset and length of each (ICC.1, 7.3)."""
    count = int.from_bytes(profile[128:132], "big")
    tags = {}
    for i in range(min(count, 100, (len(profile) - 132) // 12)):
        name, offset, length = struct.unpack_from(">4sII", profile, 132 + 12 * i)
        tags[name] = profile[offset : offset + length]
    return tags


def _xyz(tag: bytes) -> np.ndarray:
    """An XYZ tag: "XYZ ", four zeros, three numbers of 16.16 bits."""
    return np.array(struct.unpack_from(">3i", tag, 8)) / 65536


def _curve(tag: bytes, x: np.ndarray) -> np.ndarray:
    """The values of a tone curve at x, 0..1: a gamma, a table or one of the five parametric functions."""
    if tag[:4] == b"curv":
        (count,) = struct.unpack_from(">I", tag, 8)
        if count == 0:
            return x
        table = np.array(struct.unpack_from(f">{count}H", tag, 12))
        if count == 1:
            return x ** (table[0] / 256)
        return np.interp(x, np.linspace(0, 1, count), table / 65535)
    if tag[:4] != b"para":
        raise ValueError(tag[:4])
    (kind,) = struct.unpack_from(">H", tag, 8)
    numbers = (1, 3, 4, 5, 7)[kind] if kind < 5 else 8
    g, a, b, c, d, e, f = [*(p / 65536 for p in struct.unpack_from(f">{numbers}i", tag, 12)), *[0.0] * 6][:7]
    if kind == 0:
        return x**g
    power = np.maximum(a * x + b, 0) ** g
    if kind in (1, 2):  # with a constant c, which is 0 for kind 1
        return np.where(a * x + b >= 0, power, 0) + c
    return np.where(x >= d, power + e, c * x + f)

"""Decoding pictures: upright, RGB, transparency composited on white, 8 bits per channel, original size."""

from __future__ import annotations

import numpy as np
import PIL.Image
from PIL.Image import Transpose

from qwen2vl_demo.errors import UserError
from qwen2vl_demo.media.file_type import check_kind, identify_image
from qwen2vl_demo.media.source import DEFAULT_LIMITS, MediaLimits, Source, decode_errors, label_of, open_source

EXIF_ORIENTATION = 0x0112
# The transposition that makes a picture with this EXIF orientation upright (1 is upright already).
UPRIGHT = {
    2: Transpose.FLIP_LEFT_RIGHT,
    3: Transpose.ROTATE_180,
    4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_270,
    7: Transpose.TRANSVERSE,
    8: Transpose.ROTATE_90,
}


def open_image(source: Source, limits: MediaLimits = DEFAULT_LIMITS, label: str = "") -> PIL.Image.Image:
    """Decodes a picture to RGB, rotated by its EXIF orientation, transparent parts composited on white.

    Of an animation the first frame is taken. The result is a new image also where `source` is a PIL image, which is
    not modified. `label` replaces the file's name in error messages. Raises UserError for anything that is not a
    picture, is truncated, or exceeds `limits`; the number of pixels is checked before decoding.
    """
    if isinstance(source, PIL.Image.Image):
        label = label_of(source, label)
        with decode_errors(label, "picture"):
            return _upright_rgb(source, label, limits)
    with open_source(source, limits, label) as media, decode_errors(media.label, "picture"):
        try:
            image = identify_image(media)
        except Exception:
            check_kind(media, "image")  # raises a UserError that states the actual type
            raise
        with image:
            return _upright_rgb(image, media.label, limits)


def _upright_rgb(image: PIL.Image.Image, label: str, limits: MediaLimits) -> PIL.Image.Image:
    check_size(label, image.height, image.width, limits)
    image.load()
    picture = to_rgb(image)
    # Read after decoding: plugins that rotate while they decode (HEIC, TIFF) remove the tag then.
    transposition = UPRIGHT.get(_orientation(image))
    picture = picture.transpose(transposition) if transposition is not None else picture
    picture.info.clear()  # profile, EXIF and transparency describe the file, not the converted picture
    return picture


def check_size(label: str, height: int, width: int, limits: MediaLimits) -> None:
    """Raises UserError for an empty picture and for one with more than `limits.max_image_pixels`."""
    if height < 1 or width < 1:
        raise UserError(f"{label} is {height}x{width} pixels; send one that has at least one pixel a side.")
    if height * width > limits.max_image_pixels:
        raise UserError(
            f"{label} has {height}x{width} = {height * width} pixels, more than the limit of "
            f"{limits.max_image_pixels}; make it smaller and send it again."
        )


def to_rgb(image: PIL.Image.Image) -> PIL.Image.Image:
    """Converts a loaded picture of any mode to a new RGB picture; transparent parts become white."""
    if image.mode == "F" or image.mode.startswith("I"):
        return _grey_from_wide(image)
    if not image.has_transparency_data:
        return image.convert("RGB")  # returns a copy where the mode is RGB already
    unpremultiplied = image.convert("LA") if image.mode == "La" else image  # the only conversion PIL has for La
    rgba = unpremultiplied.convert("RGBA")
    picture = PIL.Image.new("RGB", rgba.size, (255, 255, 255))
    picture.paste(rgba.convert("RGB"), mask=rgba.getchannel("A"))
    return picture


def _grey_from_wide(image: PIL.Image.Image) -> PIL.Image.Image:
    """Converts grey pictures with 16-bit, 32-bit or float samples, which PIL would clip at 255.

    16-bit samples are scaled from 0..65535. For 32-bit and float samples there is no agreed white level: values
    within 0..1 (floats only), 0..255 or 0..65535 are taken to use that range, any other range is stretched from its
    minimum to its maximum.
    """
    values = np.asarray(image).astype(np.float64)
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    if image.mode.startswith("I;16"):
        low, high = 0.0, 65535.0
    else:
        ranges = (1.0, 255.0, 65535.0) if image.mode == "F" else (255.0, 65535.0)
        white = next((r for r in ranges if low >= 0 and high <= r), None)
        low, high = (0.0, white) if white else (low, high)
    values = np.nan_to_num(values, nan=low, posinf=high, neginf=low)
    grey = np.rint((values - low) * (255 / max(high - low, 1e-300))).clip(0, 255).astype(np.uint8)
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        grey[values == transparent] = 255
    return PIL.Image.fromarray(grey).convert("RGB")


def _orientation(image: PIL.Image.Image) -> int:
    try:
        return image.getexif().get(EXIF_ORIENTATION, 1)
    except Exception:  # broken EXIF data (PIL raises several types) is ignored
        return 1

"""Opens a picture as what a person would see: upright, RGB, on white, eight bits a channel.

Knows PIL and numpy; does not know what the picture is for, and never resizes it.
"""

from __future__ import annotations

import numpy as np
import PIL.Image
from PIL.Image import Transpose

from qwen2vl_demo.errors import UserError
from qwen2vl_demo.media.file_type import check_kind, identify_image
from qwen2vl_demo.media.source import MediaLimits, Source, label_of, opened, readable

EXIF_ORIENTATION = 0x0112
# What makes a picture with that EXIF orientation upright (1 is upright already).
UPRIGHT = {
    2: Transpose.FLIP_LEFT_RIGHT,
    3: Transpose.ROTATE_180,
    4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_270,
    7: Transpose.TRANSVERSE,
    8: Transpose.ROTATE_90,
}
DEFAULT_LIMITS = MediaLimits()


def open_image(source: Source, limits: MediaLimits = DEFAULT_LIMITS) -> PIL.Image.Image:
    """A picture in RGB, loaded, turned by its EXIF orientation, transparent parts composited on white.

    Takes the first frame of an animation. A PIL image is left as it is and copied. Raises UserError for whatever is
    not a picture, is cut off, or has more than `limits.max_image_pixels`, which is checked before decoding.
    """
    if isinstance(source, PIL.Image.Image):
        with readable(label_of(source), "picture"):
            return _upright_rgb(source, label_of(source), limits)
    with opened(source, limits.max_file_bytes) as media, readable(media.label, "picture"):
        try:
            image = identify_image(media)
        except Exception:
            check_kind(media, "image")  # says what it is instead
            raise
        with image:
            return _upright_rgb(image, media.label, limits)


def _upright_rgb(image: PIL.Image.Image, label: str, limits: MediaLimits) -> PIL.Image.Image:
    check_size(label, image.height, image.width, limits)
    image.load()
    picture = to_rgb(image)
    # Only now: formats that turn the picture while they decode it (HEIC, TIFF) have taken the mark away.
    turn = UPRIGHT.get(_orientation(image))
    picture = picture.transpose(turn) if turn is not None else picture
    picture.info.clear()  # profile, EXIF and transparency described the file, not this picture
    return picture


def check_size(label: str, height: int, width: int, limits: MediaLimits) -> None:
    """Raises UserError for a picture without pixels and for one with more than `limits.max_image_pixels`."""
    if height < 1 or width < 1:
        raise UserError(f"{label} is {height}x{width} pixels; send one that has at least one pixel a side.")
    if height * width > limits.max_image_pixels:
        raise UserError(
            f"{label} has {height}x{width} = {height * width} pixels, more than the limit of "
            f"{limits.max_image_pixels} (max_image_pixels); make it smaller and send it again."
        )


def to_rgb(image: PIL.Image.Image) -> PIL.Image.Image:
    """A loaded picture of any mode as a new RGB one; transparent parts become white."""
    if image.mode == "F" or image.mode.startswith("I"):
        return _from_numbers(image)
    if not image.has_transparency_data:
        return image.convert("RGB")  # a copy if it is RGB already
    straight = image.convert("LA") if image.mode == "La" else image  # PIL converts La to nothing else
    rgba = straight.convert("RGBA")
    picture = PIL.Image.new("RGB", rgba.size, (255, 255, 255))
    picture.paste(rgba.convert("RGB"), mask=rgba.getchannel("A"))
    return picture


def _from_numbers(image: PIL.Image.Image) -> PIL.Image.Image:
    """Grey pictures of 16 or 32 bits or floats, which PIL would clip at 255.

    16 bits are scaled from 0..65535. 32 bits and floats have no agreed white: values within 0..1 (floats only),
    0..255 or 0..65535 are taken to use that range, anything else is stretched from its least to its greatest.
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
    except Exception:  # a broken EXIF block (PIL raises half a dozen types) is no reason to refuse the picture
        return 1

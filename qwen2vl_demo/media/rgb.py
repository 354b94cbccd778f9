"""Converting a decoded picture of any mode to RGB: 8 bits, transparency on white, colours in sRGB.

Large pictures are converted in strips of rows, so that beside the picture and the result only a strip is in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import PIL.Image

from qwen2vl_demo.media.colour_profile import SRGBConversion
from qwen2vl_demo.media.hdr_pictures import HDR, HdrColours

WIDE_SAMPLES = "wide_samples"  # key in the `info` of a picture whose samples are not what its mode says
STRIP_PIXELS = 1 << 22  # 4 million: 16 MB of RGB, which PIL keeps in 4 bytes a pixel
WHOLE_PIXELS = 1 << 25  # 33 million: up to here 8-bit samples are converted at once, which is faster
WHITE = (255, 255, 255)


@dataclass(frozen=True)
class WideSamples:
    """What the grey samples of a picture with more than 8 bits mean."""

    white: float | None = None  # the value of white where it is known; black is 0
    unsigned: bool = False  # 32-bit samples are from 0 up, which PIL has no mode for
    inverted: bool = False  # the lowest value is white


def to_rgb(image: PIL.Image.Image) -> PIL.Image.Image:
    """Converts a loaded picture of any mode to a new RGB picture. Transparent parts become white, and the colours of
    the profile in `info["icc_profile"]` become sRGB, or those of HDR in `info["hdr"]`."""
    hdr = image.info.get(HDR)
    colours = hdr if isinstance(hdr, HdrColours) else SRGBConversion.of(image)
    if image.mode == "RGB" and "transparency" not in image.info and not isinstance(colours, HdrColours):
        return image.copy() if colours is None else colours.apply(image)
    wide = _wide_to_grey(image) if image.mode == "F" or image.mode.startswith("I") else None

    def convert(strip: PIL.Image.Image) -> PIL.Image.Image:
        if wide is not None:
            return _opaque(wide(strip), colours)
        return _composited(strip, colours) if strip.has_transparency_data else _opaque(strip, colours)

    in_numpy = wide is not None or isinstance(colours, HdrColours)
    if image.width * image.height <= (STRIP_PIXELS if in_numpy else WHOLE_PIXELS):
        return convert(image)
    picture = PIL.Image.new("RGB", image.size)
    for top, strip in _strips(image):
        picture.paste(convert(strip), (0, top))
    return picture


def _strips(image: PIL.Image.Image) -> Iterator[tuple[int, PIL.Image.Image]]:
    rows = max(1, STRIP_PIXELS // image.width)
    for top in range(0, image.height, rows):
        yield top, image.crop((0, top, image.width, min(top + rows, image.height)))


def _opaque(strip: PIL.Image.Image, colours: SRGBConversion | HdrColours | None) -> PIL.Image.Image:
    return strip.convert("RGB") if colours is None else colours.apply(strip)


def _composited(strip: PIL.Image.Image, colours: SRGBConversion | HdrColours | None) -> PIL.Image.Image:
    """On white. As in a browser, the colours are converted first."""
    unpremultiplied = strip.convert("LA") if strip.mode == "La" else strip  # the only conversion PIL has for La
    rgba = unpremultiplied.convert("RGBA")
    picture = PIL.Image.new("RGB", rgba.size, WHITE)
    picture.paste(_opaque(rgba.convert("RGB"), colours), mask=rgba.getchannel("A"))
    return picture


def _wide_to_grey(image: PIL.Image.Image) -> Callable[[PIL.Image.Image], PIL.Image.Image]:
    """Returns the conversion to 8 bits of a grey picture with 16-bit, 32-bit or float samples, which PIL would clip at
    255. It takes strips of the picture.

    16-bit samples are scaled from 0..65535. For 32-bit and float samples there is no agreed white level: values
    within 0..1 (floats only), 0..255 or 0..65535 are taken to use that range, any other range is stretched from its
    minimum to its maximum.
    """
    samples = image.info.get(WIDE_SAMPLES, WideSamples())

    def values_of(strip: PIL.Image.Image) -> np.ndarray:
        values = np.asarray(strip)
        return values.view(np.uint32) if samples.unsigned and values.dtype == np.int32 else values

    if image.mode.startswith("I;16"):
        low, high = 0.0, samples.white or 65535.0
    else:
        extremes = [e for _, strip in _strips(image) if (e := _finite_range(values_of(strip)))]
        low, high = min((e[0] for e in extremes), default=0.0), max((e[1] for e in extremes), default=0.0)
        ranges = (1.0, 255.0, 65535.0) if image.mode == "F" else (255.0, 65535.0)
        white = next((r for r in ranges if low >= 0 and high <= r), None)
        low, high = (0.0, white) if white else (low, high)
    transparent = image.info.get("transparency")

    def convert(strip: PIL.Image.Image) -> PIL.Image.Image:
        values = values_of(strip).astype(np.float64)
        values = np.nan_to_num(values, nan=low, posinf=high, neginf=low)
        grey = np.rint((values - low) * (255 / max(high - low, 1e-300))).clip(0, 255).astype(np.uint8)
        if isinstance(transparent, int):
            grey[values == transparent] = 255
        return PIL.Image.fromarray(255 - grey if samples.inverted else grey)

    return convert


def _finite_range(values: np.ndarray) -> tuple[float, float] | None:
    finite = values[np.isfinite(values)]
    return (float(finite.min()), float(finite.max())) if finite.size else None

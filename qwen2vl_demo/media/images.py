"""Decoding pictures: upright, RGB, transparency composited on white, 8 bits per channel, original size.

What the visitor should know about a picture that was opened (its end is missing, it was read at reduced size) is in
`notices(picture)`, as sentences that do not name the file.
"""

from __future__ import annotations

from contextlib import suppress

import numpy as np
import PIL.Image
from PIL import ImageFile
from PIL.Image import Transpose

from qwen2vl_demo.errors import UserError
from qwen2vl_demo.geometry import Size, check_aspect_ratio
from qwen2vl_demo.media import jpeg
from qwen2vl_demo.media.file_type import check_kind, identify_image
from qwen2vl_demo.media.jpeg import JpegPicture
from qwen2vl_demo.media.rgb import to_rgb
from qwen2vl_demo.media.source import (
    DEFAULT_LIMITS,
    MediaFile,
    MediaLimits,
    Source,
    check_size,
    decode_errors,
    label_of,
    open_source,
)
from qwen2vl_demo.media.tiff import TiffPicture

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
NOTICES, ORIGINAL_SIZE = "notices", "original_size"  # keys in the `info` of a picture that was opened
MAX_MISSING = 0.05  # share of a picture that may be missing at its end
TRUNCATED = "image file is truncated"  # the beginning of Pillow's message
CUT_OFF = "The file is cut off: at its end {} missing. Save or export it again to get all of it."
BLACK, WHITE = 0, 1
MAX_REDUCTION = 8  # of a JPEG's sides while it is decoded; 2 and 4 are possible as well
MAX_SCANNED_PIXELS = 4_000_000_000  # pixels times scans of such a JPEG; a decoder does about 300 million a second
MAX_COEFFICIENT_BYTES = 1_000_000_000  # of a JPEG that is not coded in one pass; 120 million pixels need 720 MB


def open_image(
    source: Source, limits: MediaLimits = DEFAULT_LIMITS, label: str = "", directory: int | None = None
) -> PIL.Image.Image:
    """Decodes a picture to sRGB, rotated by its EXIF orientation, transparent parts composited on white.

    Of an animation the first frame is taken. The result is a new image also where `source` is a PIL image, which is
    not modified. Of a TIFF the picture at `directory` of its chain is taken, by default the first page. `label`
    replaces the file's name in error messages. A JPEG above `limits.max_image_pixels` is decoded at a half, a quarter
    or an eighth of its size; `original_size(picture)` is that of the file. Of a JPEG or PNG, up to MAX_MISSING may be
    missing at its end. Raises UserError for anything that is not a picture, is truncated, or
    exceeds `limits`; the number of pixels is checked before decoding.
    """
    if isinstance(source, PIL.Image.Image):
        label = label_of(source, label)
        with decode_errors(label, "picture"):
            check_size(label, source.height, source.width, limits)
            source.load()
            return _upright(to_rgb(source), _orientation(source))
    with open_source(source, limits, label) as media, decode_errors(media.label, "picture"):
        try:
            image = identify_image(media, limits, directory)
        except UserError:
            raise
        except Exception:
            check_kind(media, "image")  # raises a UserError that states the actual type
            raise
        size = (image.height, image.width)
        if isinstance(image, JpegPicture):
            image, found = _decoded_jpeg(media, image, limits)
        else:
            image, found = _decoded(media, image, limits)
            size = (image.height, image.width)  # some formats are turned while they are decoded
        reduced = size != (image.height, image.width)
        picture, orientation = upright_rgb(image)
        if found:
            picture.info[NOTICES] = found
        if reduced:
            picture.info[ORIGINAL_SIZE] = size[::-1] if orientation >= 5 else size
        return picture


def notices(picture: PIL.Image.Image) -> tuple[str, ...]:
    """What the visitor should know about a picture from `open_image`, as sentences."""
    return tuple(picture.info.get(NOTICES, ()))


def original_size(picture: PIL.Image.Image) -> Size:
    """The size, upright, of the file from which `open_image` decoded this picture."""
    return picture.info.get(ORIGINAL_SIZE, (picture.height, picture.width))


def _decoded(
    media: MediaFile, image: ImageFile.ImageFile, limits: MediaLimits
) -> tuple[ImageFile.ImageFile, tuple[str, ...]]:
    """A picture that is no JPEG with its pixels, and the notices about it."""
    check_size(media.label, image.height, image.width, limits, image.format)
    check_aspect_ratio(image.height, image.width)
    try:
        image.load()
        return image, ()
    except OSError as error:
        if image.format != "PNG" or not str(error).startswith(TRUNCATED):
            raise
    image, missing = _decoded_as_far_as_possible(media, limits)
    return image, (CUT_OFF.format(f"{missing:.1%} of the picture is"),)


def _decoded_as_far_as_possible(media: MediaFile, limits: MediaLimits) -> tuple[ImageFile.ImageFile, float]:
    """A cut PNG, white where it is missing, and the share that is. It is decoded onto black and onto white: what
    differs was not decoded. Only the end is compared; nothing may be missing before it."""
    ends = []
    for fill in (BLACK, WHITE):
        image = identify_image(media, limits)
        level = fill * (65535 if image.mode.startswith("I;16") else 255)
        image.im = PIL.Image.new(image.mode, image.size, (level,) * len(image.getbands())).im
        with suppress(OSError):
            image.load()
        image.tile = []  # nothing more to decode
        top = image.height - int(MAX_MISSING * image.height) - 2
        ends.append(np.asarray(image.crop((0, max(0, top), image.width, image.height))))
    differs = ends[0] != ends[1]
    missing = differs if differs.ndim == 2 else differs.any(axis=-1)  # (rows, width)
    share = float(missing.sum()) / (image.height * image.width)
    if missing[:2].any() or share > MAX_MISSING:
        raise OSError("too much of the picture is missing")
    return image, share


def _decoded_jpeg(media: MediaFile, image: JpegPicture, limits: MediaLimits) -> tuple[JpegPicture, tuple[str, ...]]:
    """A JPEG with its pixels, at reduced size where it is too large, and the notices about it."""
    height, width = image.height, image.width
    reduction = 1
    while reduction < MAX_REDUCTION and -(-height // reduction) * -(-width // reduction) > limits.max_image_pixels:
        reduction *= 2
    if reduction == MAX_REDUCTION:
        check_size(media.label, -(-height // reduction), -(-width // reduction), limits)
    check_aspect_ratio(height, width)
    complete = True
    if not image.header.one_pass:
        if image.header.coefficient_bytes(height, width) > MAX_COEFFICIENT_BYTES:
            raise UserError(
                f"{media.label} has {height}x{width} = {height * width} pixels, too many for a progressive JPEG; "
                "make it smaller and send it again."
            )
        scans = jpeg.read_scans(media.file, image.header)
        if scans.count > jpeg.MAX_SCANS or scans.count * height * width > MAX_SCANNED_PIXELS:
            raise UserError(
                f"{media.label} is a JPEG of {scans.count} scans or more, which would take too long to read; "
                "open it in a picture editor, save it again and send the new file."
            )
        complete = scans.complete
    found = []
    if reduction != 1:
        found.append(
            f"The picture has {height}x{width} pixels, more than the limit of {limits.max_image_pixels} "
            f"(--max-image-mp), and was read at 1/{reduction} of its size."
        )
    try:
        return _loaded(image, reduction), tuple(found)
    except OSError as error:
        if not str(error).startswith(TRUNCATED) or not complete:
            raise
    image = _loaded(jpeg.open_jpeg(media.file, jpeg.END), reduction)
    missing = jpeg.missing_share(image, MAX_MISSING)
    if missing > MAX_MISSING:
        raise OSError(f"{missing:.0%} of the picture are missing")
    lost = f"{missing:.1%} of the picture is" if missing else "the finest details of the picture are"
    found.append(CUT_OFF.format(lost))
    return image, tuple(found)


def _loaded(image: JpegPicture, reduction: int) -> JpegPicture:
    if reduction != 1:
        image.draft(image.mode, (image.width // reduction, image.height // reduction))
    image.load()
    return image


def upright_rgb(image: ImageFile.ImageFile) -> tuple[PIL.Image.Image, int]:
    """A decoded picture as an RGB one that stands upright, and the EXIF orientation that it had. Frees `image`."""
    picture, orientation = to_rgb(image), _orientation(image)
    PIL.Image.Image.close(image)  # frees the pixels, as turning needs memory, and leaves the file open
    return _upright(picture, orientation), orientation


def _upright(picture: PIL.Image.Image, orientation: int) -> PIL.Image.Image:
    """Turns a picture by its EXIF orientation and removes what described the file, such as the profile."""
    if orientation in UPRIGHT:
        picture = picture.transpose(UPRIGHT[orientation])
    picture.info.clear()
    return picture


def _orientation(image: PIL.Image.Image) -> int:
    """The orientation in the EXIF block. `Image.getexif` would also take one from XMP, which no browser does."""
    if isinstance(image, TiffPicture):
        return image.orientation
    exif = PIL.Image.Exif()
    try:
        exif.load(image.info.get("exif") or b"")
        return int(exif.get(EXIF_ORIENTATION, 1))
    except Exception:  # broken EXIF data (PIL raises several types) is ignored
        return 1

"""Files made from media for the browser and for the page's store: reduced stills and the pages of a PDF."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import PIL.Image

from qwen2vl_demo.geometry import Size
from qwen2vl_demo.media.documents import open_document
from qwen2vl_demo.media.images import open_image
from qwen2vl_demo.media.pages import FIRST_PAGES, PageChoice
from qwen2vl_demo.media.source import MediaLimits
from qwen2vl_demo.media.video import read_video
from qwen2vl_demo.media.webp import HEADER_BYTES, has_exif

WEBP_QUALITY = 88


def is_turned_by_browsers(path: Path) -> bool:
    """Whether a PNG, JPEG, GIF or WebP stands in a browser as `still` has it. Chromium does not turn a WebP by its EXIF
    orientation. Raises OSError."""
    with path.open("rb") as file:
        return not has_exif(file.read(HEADER_BYTES))


def still(path: Path, kind: Literal["image", "video"], limits: MediaLimits, max_side: int) -> np.ndarray:
    """A picture, or the first frame of a clip, (H, W, 3) uint8, reduced to at most `max_side` pixels a side."""
    if kind == "image":
        picture = open_image(path, limits)
    else:

        def fitting(_: int, size: Size) -> Size:
            scale = min(1.0, max_side / max(size))
            return max(2, round(size[0] * scale)), max(2, round(size[1] * scale))

        clip = read_video(path, fps=1.0, min_frames=2, max_frames=2, resize=fitting, limits=limits)
        picture = PIL.Image.fromarray(clip.frames[0])
    picture.thumbnail((max_side, max_side))
    return np.asarray(picture)


def still_webp(path: Path, kind: Literal["image", "video"], limits: MediaLimits, max_side: int) -> bytes:
    """`still`, as the bytes of a WebP file."""
    return encode_webp(PIL.Image.fromarray(still(path, kind, limits, max_side)))


def encode_webp(picture: PIL.Image.Image) -> bytes:
    return _encoded(picture, "WEBP", quality=WEBP_QUALITY)


@dataclass(frozen=True)
class EncodedPages:
    """The pages that were read of a document, each as the bytes of a PNG file."""

    count: int  # pages of the whole document
    pages: dict[int, bytes]  # by number, from 1, in the order in which they were chosen


def document_pages(path: Path, limits: MediaLimits, name: str, choice: PageChoice = FIRST_PAGES) -> EncodedPages:
    """The chosen pages of a PDF or TIFF. Raises UserError as `open_document` does."""
    document = open_document(path, limits, name, choice)
    pages = zip(document.numbers, document.pages, strict=True)
    return EncodedPages(document.count, {number: _encoded(page, "PNG") for number, page in pages})


def check_opens(path: Path, limits: MediaLimits, name: str) -> None:
    """Raises UserError for a picture that cannot be decoded."""
    open_image(path, limits, name)


def _encoded(picture: PIL.Image.Image, file_format: str, **options: int) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, file_format, **options)
    return buffer.getvalue()

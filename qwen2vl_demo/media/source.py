"""Opening media sources: a path, the bytes of a file or a PIL image, within limits.

Every way in which a file can be missing, too large or broken becomes a `UserError` of one sentence that starts with
the file's label. What is inside the file is handled by the other modules of this package.
"""

from __future__ import annotations

import io
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import PIL.Image

from qwen2vl_demo.errors import UserError
from qwen2vl_demo.memory import format_bytes

Source = str | Path | bytes | PIL.Image.Image

MB = 10**6
HEAD_BYTES = 4096  # read to identify the file type
# Share of the largest number of pixels for formats whose decoders need more than 10 bytes a pixel (14, 16 and 23)
DECODABLE_SHARE = {"AVIF": 5 / 6, "WEBP": 2 / 3, "JPEG2000": 1 / 2}
# A scheme has at least two letters, so that a Windows drive letter is not taken for a URL.
ADDRESS = re.compile(r"(?i)([a-z][a-z0-9+.-]+:/|data:)")


@dataclass(frozen=True)
class MediaLimits:
    """Upper bounds on what is opened. Exceeding one raises a `UserError` that states the limit."""

    max_file_bytes: int = 256 * MB  # size of one file
    max_image_pixels: int = 120_000_000  # height x width of a picture as it is decoded, checked before
    max_pdf_pages: int = 12  # read of one document at once; every page becomes a picture
    pdf_dpi: int = 144  # resolution at which a page is rendered ...
    max_pdf_page_pixels: int = 16_000_000  # ... reduced where the page would have more pixels than this
    max_video_seconds: float = 2 * 3600  # length of a clip, by its timestamps
    max_video_frames: int = 500_000  # frames in a clip, whatever its length: 2 h at 60 frames a second fit
    max_video_frame_pixels: int = 36_000_000  # height x width of one frame: 8K (4320x7680) fits

    @classmethod
    def for_uploads(cls, max_file_mb: int, *, max_image_mp: int = 120, max_pdf_pages: int = 12) -> MediaLimits:
        """The limits that go with `--max-file-mb`, `--max-image-mp` and `--max-pdf-pages`.

        The first raises `max_file_bytes` but never lowers it below the default: larger uploads are refused where
        they arrive, and what is derived from an upload (the rendered page of a PDF) may be larger than the upload.
        """
        return cls(
            max_file_bytes=max(cls.max_file_bytes, max_file_mb * MB),
            max_image_pixels=max_image_mp * 1_000_000,
            max_pdf_pages=max_pdf_pages,
        )


DEFAULT_LIMITS = MediaLimits()


@dataclass(frozen=True)
class MediaFile:
    """An open binary file. The position is undefined between uses; read through `rewound()`."""

    file: BinaryIO
    label: str  # the file's name, or a phrase for a file without one; error messages start with it
    head: bytes  # the first HEAD_BYTES

    def rewound(self) -> BinaryIO:
        """The file, positioned at its start."""
        self.file.seek(0)
        return self.file


@contextmanager
def open_source(
    source: str | Path | bytes, limits: MediaLimits = DEFAULT_LIMITS, label: str = ""
) -> Iterator[MediaFile]:
    """Context manager that opens a path, or the bytes of a file, for reading.

    `label` replaces the file's own name in error messages. Raises UserError for a URL, a missing file, a folder, a
    device, an empty file and a file above `limits.max_file_bytes`.
    """
    label = label_of(source, label)
    file: BinaryIO
    file, size = (io.BytesIO(source), len(source)) if isinstance(source, bytes) else _open_path(source, label)
    with file:
        if size == 0:
            raise UserError(f"{label} is empty (0 bytes); save it again and send the new file.")
        if size > limits.max_file_bytes:
            raise UserError(
                f"{label} has {format_bytes(size)}, more than the limit of {format_bytes(limits.max_file_bytes)} "
                "(--max-file-mb); send a smaller or shorter one."
            )
        with decode_errors(label, "file"):
            head = file.read(HEAD_BYTES)
        yield MediaFile(file, label, head)


def check_size(label: str, height: int, width: int, limits: MediaLimits, format: str | None = None) -> None:
    """Raises UserError for an empty picture and for one with more than `limits.max_image_pixels`, or than the share of
    it that a decoder of this format (PIL's name) can keep in memory. Called before a picture is decoded."""
    most = int(limits.max_image_pixels * DECODABLE_SHARE.get(format or "", 1.0))
    if height < 1 or width < 1:
        raise UserError(f"{label} is {height}x{width} pixels; send one that has at least one pixel a side.")
    if height * width > most:
        of_format = f" for {format}" if most < limits.max_image_pixels else ""
        raise UserError(
            f"{label} has {height}x{width} = {height * width} pixels, more than the limit of {most}{of_format} "
            "(--max-image-mp); make it smaller and send it again."
        )


@contextmanager
def decode_errors(label: str, what: str) -> Iterator[None]:
    """Context manager that turns any exception of PIL, FFmpeg, pdfium or the system into a `UserError`.

    The libraries raise almost every built-in exception for a broken file, so all of them are caught here; the
    original exception is kept as the cause. A UserError passes through unchanged.
    """
    try:
        yield
    except UserError:
        raise
    except MemoryError as error:
        raise UserError(f"{label} does not fit into this machine's memory; send a smaller {what}.") from error
    except Exception as error:
        raise UserError(
            f"{label} cannot be read as a {what}: it is damaged, cut off or of an unknown variant. "
            "Save or export it again and send the new file."
        ) from error


def label_of(source: Source, name: str = "") -> str:
    """What error messages call a source: `name`, its file name without folders, "This file" or "This picture"."""
    if name := _printable(name):
        return name
    if isinstance(source, bytes):
        return "This file"
    if isinstance(source, PIL.Image.Image):
        path = getattr(source, "filename", "") or ""
        return _printable(os.path.basename(os.fsdecode(path))) or "This picture"
    return _printable(os.path.basename(str(source).rstrip("/\\"))) or "This file"


def _printable(name: str) -> str:
    name = "".join(c for c in name if c.isprintable())
    return name if len(name) <= 80 else name[:50] + "..." + name[-20:]


def _open_path(source: str | Path, label: str) -> tuple[BinaryIO, int]:
    path = str(source)
    if ADDRESS.match(path):
        raise UserError(f"{_printable(path)} is an address, not a file; download it first and send the file.")
    if not path:
        raise UserError("The file has an empty name; choose a file.")
    try:
        status = os.stat(path)
        if stat.S_ISDIR(status.st_mode):
            raise UserError(f"{label} is a folder; choose a file in it.")
        if not stat.S_ISREG(status.st_mode):  # opening a named pipe would block
            raise UserError(f"{label} is not an ordinary file; choose a picture, a video or a PDF.")
        return open(path, "rb", buffering=0), status.st_size
    except FileNotFoundError as error:
        raise UserError(f"{label} does not exist; check the path.") from error
    except PermissionError as error:
        raise UserError(f"{label} may not be read; change its permissions or choose another file.") from error
    except (OSError, ValueError) as error:  # the name is too long or contains a null character
        raise UserError(f"{label} cannot be opened; check the path.") from error

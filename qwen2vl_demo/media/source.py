"""Where media come from: a path, the bytes of a file or a PIL image, opened within limits.

Turns every way in which a file can be missing, too large or broken into a `UserError` of one sentence. Knows
files, names and errors; does not know what is inside them.
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

Source = str | Path | bytes | PIL.Image.Image

MIB = 1024 * 1024
HEAD_BYTES = 4096  # what is looked at to tell what a file is
# Two letters or more before the colon, so that a Windows drive is not an address.
ADDRESS = re.compile(r"(?i)([a-z][a-z0-9+.-]+:/|data:)")


@dataclass(frozen=True)
class MediaLimits:
    """The most that is opened; beyond it the visitor gets a sentence that names the limit."""

    max_file_bytes: int = 256 * MIB  # bytes of one file
    max_image_pixels: int = 120_000_000  # height x width of a picture, checked before it is decoded
    max_pdf_pages: int = 12  # every page becomes a picture
    pdf_dpi: int = 144  # dots an inch at which a page is drawn ...
    max_pdf_page_pixels: int = 16_000_000  # ... unless it is so large that it has to be drawn smaller than that
    max_video_seconds: float = 2 * 3600  # length of a clip, by its timestamps
    max_video_frames: int = 500_000  # frames in a clip, whatever its length: 2 h at 60 frames a second fit
    max_video_frame_pixels: int = 36_000_000  # height x width of one frame: 8K (4320x7680) fits


@dataclass(frozen=True)
class MediaFile:
    """An opened file of bytes. Whoever reads it rewinds it first."""

    file: BinaryIO
    label: str  # its name, or words for a file without one; every sentence begins with it
    head: bytes  # its first bytes

    def rewound(self) -> BinaryIO:
        self.file.seek(0)
        return self.file


@contextmanager
def opened(source: str | Path | bytes, max_bytes: int | None = None) -> Iterator[MediaFile]:
    """Opens a path or the bytes of a file for reading, and closes it.

    Raises UserError for an address, a missing file, a folder, a device, an empty file and one above `max_bytes`.
    """
    label = label_of(source)
    file: BinaryIO
    file, size = (io.BytesIO(source), len(source)) if isinstance(source, bytes) else _open_path(source, label)
    with file:
        if size == 0:
            raise UserError(f"{label} is empty (0 bytes); save it again and send the new file.")
        if max_bytes is not None and size > max_bytes:
            raise UserError(
                f"{label} has {size / MIB:.1f} MiB, more than the limit of {max_bytes / MIB:.1f} MiB (max_file_bytes); "
                "send a smaller or shorter one."
            )
        with readable(label, "file"):
            head = file.read(HEAD_BYTES)
        yield MediaFile(file, label, head)


@contextmanager
def readable(label: str, what: str) -> Iterator[None]:
    """The one place where an exception of PIL, FFmpeg, pdfium or the system becomes a sentence.

    The libraries raise almost every built-in exception for a broken file, so all of them are caught here; the
    original one stays attached as the cause.
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


def label_of(source: Source) -> str:
    """The file's name without its folders and unprintable characters; "This file" or "This picture" without one."""
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
        if not stat.S_ISREG(status.st_mode):  # opening a pipe would wait for ever
            raise UserError(f"{label} is not an ordinary file; choose a picture, a video or a PDF.")
        return open(path, "rb", buffering=0), status.st_size
    except FileNotFoundError as error:
        raise UserError(f"{label} does not exist; check the path.") from error
    except PermissionError as error:
        raise UserError(f"{label} may not be read; change its permissions or choose another file.") from error
    except (OSError, ValueError) as error:  # a name that is too long, a null character in it
        raise UserError(f"{label} cannot be opened; check the path.") from error

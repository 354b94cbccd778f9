"""Draws the pages of a PDF as pictures.

Knows pdfium; does not read text, run scripts or follow links.
"""

from __future__ import annotations

import math
import threading

import PIL.Image
import pypdfium2
import pypdfium2.raw

from qwen2vl_demo.errors import UserError
from qwen2vl_demo.media.file_type import check_kind
from qwen2vl_demo.media.source import MediaLimits, Source, opened, readable

POINTS_PER_INCH = 72  # PDF sizes are in points
DEFAULT_LIMITS = MediaLimits()

_pdfium = threading.Lock()  # pdfium is not thread-safe: one document at a time in this process


def open_pdf(source: Source, limits: MediaLimits = DEFAULT_LIMITS) -> list[PIL.Image.Image]:
    """The pages as RGB pictures on white, `limits.pdf_dpi` dots an inch, with form fields as filled in.

    Raises UserError for what is not a PDF, for one with a password, without pages, damaged, or with more than
    `limits.max_pdf_pages`.
    """
    if isinstance(source, PIL.Image.Image):
        raise UserError("A PIL image is a picture, not a PDF; send it as a picture.")
    with opened(source, limits.max_file_bytes) as media:
        if b"%PDF-" not in media.head[:1024]:
            check_kind(media, "pdf")
        with readable(media.label, "PDF"), _pdfium:
            document = _document(media.rewound().read(), media.label)
            try:
                document.init_forms()  # pdfium wants this before anything is asked of the document
                return _pages(document, media.label, limits)
            finally:
                document.close()


def _document(data: bytes, label: str) -> pypdfium2.PdfDocument:
    try:
        return pypdfium2.PdfDocument(data)
    except pypdfium2.PdfiumError as error:
        if error.err_code in (pypdfium2.raw.FPDF_ERR_PASSWORD, pypdfium2.raw.FPDF_ERR_SECURITY):
            raise UserError(f"{label} is protected by a password; save a copy without one and send that.") from error
        raise


def _pages(document: pypdfium2.PdfDocument, label: str, limits: MediaLimits) -> list[PIL.Image.Image]:
    count = len(document)
    if count == 0:
        raise UserError(f"{label} has no pages; send a PDF that has some.")
    if count > limits.max_pdf_pages:
        raise UserError(
            f"{label} has {count} pages, more than the limit of {limits.max_pdf_pages} (max_pdf_pages); "
            "save the pages you need as a PDF of their own."
        )
    return [_drawn(document, index, limits) for index in range(count)]


def _drawn(document: pypdfium2.PdfDocument, index: int, limits: MediaLimits) -> PIL.Image.Image:
    page = document[index]
    try:
        width, height = page.get_size()  # points
        largest = math.sqrt(limits.max_pdf_page_pixels / max(width * height, 1.0))
        bitmap = page.render(scale=min(limits.pdf_dpi / POINTS_PER_INCH, largest), rev_byteorder=True)
        try:
            return bitmap.to_pil().convert("RGB").copy()  # the copy outlives the bitmap's memory
        finally:
            bitmap.close()
    finally:
        page.close()

"""Rendering the pages of a PDF as pictures with pdfium. Scripts are not run and links are not followed."""

from __future__ import annotations

import math
import threading

import PIL.Image
import pypdfium2
import pypdfium2.raw

from qwen2vl_demo.errors import UserError
from qwen2vl_demo.media.file_type import check_kind
from qwen2vl_demo.media.source import DEFAULT_LIMITS, MediaLimits, Source, decode_errors, open_source

POINTS_PER_INCH = 72  # page sizes are in points

_pdfium_lock = threading.Lock()  # pdfium is not thread-safe: one document at a time per process


def open_pdf(source: Source, limits: MediaLimits = DEFAULT_LIMITS, label: str = "") -> list[PIL.Image.Image]:
    """Renders the pages as RGB pictures on white at `limits.pdf_dpi`, including the contents of form fields.

    `label` replaces the file's name in error messages. Raises UserError for a file that is not a PDF, is damaged or
    protected by a password, has no pages, or has more than `limits.max_pdf_pages`.
    """
    if isinstance(source, PIL.Image.Image):
        raise UserError("A PIL image is a picture, not a PDF; send it as a picture.")
    with open_source(source, limits, label) as media:
        if b"%PDF-" not in media.head[:1024]:
            check_kind(media, "pdf")
        with decode_errors(media.label, "PDF"), _pdfium_lock:
            document = _open_document(media.rewound().read(), media.label)
            try:
                document.init_forms()  # has to be called before any page is loaded
                return _render_pages(document, media.label, limits)
            finally:
                document.close()


def _open_document(data: bytes, label: str) -> pypdfium2.PdfDocument:
    try:
        return pypdfium2.PdfDocument(data)
    except pypdfium2.PdfiumError as error:
        if error.err_code in (pypdfium2.raw.FPDF_ERR_PASSWORD, pypdfium2.raw.FPDF_ERR_SECURITY):
            raise UserError(f"{label} is protected by a password; save a copy without one and send that.") from error
        raise


def _render_pages(document: pypdfium2.PdfDocument, label: str, limits: MediaLimits) -> list[PIL.Image.Image]:
    count = len(document)
    if count == 0:
        raise UserError(f"{label} has no pages; send a PDF that has some.")
    if count > limits.max_pdf_pages:
        raise UserError(
            f"{label} has {count} pages, more than the limit of {limits.max_pdf_pages}; "
            "save the pages you need as a PDF of their own."
        )
    return [_render(document, index, limits) for index in range(count)]


def _render(document: pypdfium2.PdfDocument, index: int, limits: MediaLimits) -> PIL.Image.Image:
    page = document[index]
    try:
        width, height = page.get_size()  # points
        max_scale = math.sqrt(limits.max_pdf_page_pixels / max(width * height, 1.0))
        bitmap = page.render(scale=min(limits.pdf_dpi / POINTS_PER_INCH, max_scale), rev_byteorder=True)
        try:
            return bitmap.to_pil().convert("RGB").copy()  # the bitmap's memory is freed below
        finally:
            bitmap.close()
    finally:
        page.close()

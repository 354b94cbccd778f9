"""Rendering the pages of a PDF as pictures with pdfium. Scripts are not run and links are not followed."""

from __future__ import annotations

import math
import threading

import PIL.Image
import pypdfium2
import pypdfium2.raw

from qwen2vl_demo.errors import UserError
from qwen2vl_demo.media.file_type import check_kind
from qwen2vl_demo.media.pages import FIRST_PAGES, Document, PageChoice
from qwen2vl_demo.media.pdf_user_unit import mentions_user_unit, user_unit
from qwen2vl_demo.media.source import DEFAULT_LIMITS, MediaLimits, Source, decode_errors, open_source

POINTS_PER_INCH = 72  # page sizes are in points, unless the page has a UserUnit
MIN_SIDE = 336  # px, the longer side of a page at least: labels and icons would be unreadable at their printed size
MAX_SIDE = 30_000  # px, pdfium draws nothing that is much longer

_pdfium_lock = threading.Lock()  # pdfium is not thread-safe: one document at a time per process


def open_pdf(
    source: Source, limits: MediaLimits = DEFAULT_LIMITS, label: str = "", choice: PageChoice = FIRST_PAGES
) -> Document:
    """Renders the chosen pages as RGB pictures on white at `limits.pdf_dpi`, including the contents of form fields.

    At most `limits.max_pdf_pages` are read, with at most `limits.max_image_pixels` together. `label` replaces the
    file's name in error messages. Raises UserError for a file that is not a PDF, is damaged or protected by a password,
    or has none of the chosen pages, and for too many of them.
    """
    if isinstance(source, PIL.Image.Image):
        raise UserError("A PIL image is a picture, not a PDF; send it as a picture.")
    with open_source(source, limits, label) as media:
        if b"%PDF-" not in media.head[:1024]:
            check_kind(media, "pdf")
        with decode_errors(media.label, "PDF"), _pdfium_lock:
            data = media.rewound().read()
            document = _open_document(data, media.label)
            try:
                document.init_forms()  # has to be called before any page is loaded
                numbers = choice.numbers(len(document), limits.max_pdf_pages, media.label)
                most = min(limits.max_pdf_page_pixels, limits.max_image_pixels // len(numbers))
                units = mentions_user_unit(data)
                pages = [_render(document, number - 1, most, limits.pdf_dpi, units) for number in numbers]
                return Document(len(document), numbers, tuple(pages))
            finally:
                document.close()


def _open_document(data: bytes, label: str) -> pypdfium2.PdfDocument:
    try:
        return pypdfium2.PdfDocument(data)
    except pypdfium2.PdfiumError as error:
        if error.err_code in (pypdfium2.raw.FPDF_ERR_PASSWORD, pypdfium2.raw.FPDF_ERR_SECURITY):
            raise UserError(f"{label} is protected by a password; save a copy without one and send that.") from error
        raise


def _render(document: pypdfium2.PdfDocument, index: int, max_pixels: int, dpi: int, has_units: bool) -> PIL.Image.Image:
    page = document[index]
    try:
        width, height = page.get_size()  # as it is shown, that is after its rotation
        wanted = dpi / POINTS_PER_INCH * (user_unit(document, index) if has_units else 1.0)
        scale = max(wanted, MIN_SIDE / max(width, height))
        scale = min(scale, math.sqrt(max_pixels / (width * height)), MAX_SIDE / max(width, height))
        bitmap = page.render(scale=scale, rev_byteorder=True)
        try:
            return bitmap.to_pil().convert("RGB").copy()  # the bitmap's memory is freed below
        finally:
            bitmap.close()
    finally:
        page.close()

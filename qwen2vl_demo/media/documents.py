"""Documents: files of pages that become one picture each, PDFs and TIFF files of several pages."""

from __future__ import annotations

from pathlib import Path

from qwen2vl_demo.errors import UserError
from qwen2vl_demo.media import tiff
from qwen2vl_demo.media.file_type import image_format
from qwen2vl_demo.media.images import open_image
from qwen2vl_demo.media.pages import FIRST_PAGES, Document, PageChoice
from qwen2vl_demo.media.pdf import open_pdf
from qwen2vl_demo.media.source import DEFAULT_LIMITS, MediaLimits, decode_errors, open_source


def open_document(
    source: str | Path | bytes,
    limits: MediaLimits = DEFAULT_LIMITS,
    label: str = "",
    choice: PageChoice = FIRST_PAGES,
) -> Document:
    """The chosen pages of a PDF or TIFF file as pictures; `label` and errors are those of `open_pdf`."""
    with open_source(source, limits, label) as media:
        label = media.label
        if image_format(media) != "TIFF":
            return open_pdf(source, limits, label, choice)
        with decode_errors(label, "picture"):
            places = tiff.pages(media.file, label)
    numbers = choice.numbers(len(places), limits.max_pdf_pages, label)
    pages, pixels = [], 0
    for number in numbers:
        page = open_image(source, limits, label, directory=places[number - 1])
        pixels += page.height * page.width
        if pixels > limits.max_image_pixels:
            raise UserError(
                f"{label}: the pages chosen have more than {limits.max_image_pixels} pixels together "
                "(--max-image-mp); choose fewer at once."
            )
        pages.append(page)
    return Document(len(places), numbers, tuple(pages))

"""UserUnit of a PDF page: how many points one unit of its coordinates has. pdfium ignores it and cannot be asked."""

from __future__ import annotations

import io
import re
import zlib

import pypdfium2

MAX_STREAMS = 1000  # object streams that are looked into ...
PACKED_BYTES = 2**20  # ... bytes of each, compressed ...
MAX_BYTES = 64 * 2**20  # ... and bytes of all of them, uncompressed
# Acrobat's limit of a page is 14,400 units of at most 75,000 points.
MAX_UNIT = 75_000.0
_OBJECT_STREAM = re.compile(rb"/ObjStm\b[^>]{0,500}>>\s{0,4}stream\r?\n")
_VALUE = re.compile(rb"/UserUnit\s+(\d{0,9}\.?\d{0,9})")


def mentions_user_unit(data: bytes) -> bool:
    """Whether any page of the file may have one. Pages may be in compressed object streams, which are looked into."""
    if b"/UserUnit" in data:
        return True
    at, left = -1, MAX_BYTES
    for _ in range(MAX_STREAMS):
        at = data.find(b"/ObjStm", at + 1)
        if at < 0 or left <= 0:
            return False
        if found := _OBJECT_STREAM.match(data, at):
            try:
                packed = data[found.end() : found.end() + PACKED_BYTES]
                content = zlib.decompressobj().decompress(packed, left)
            except zlib.error:  # encrypted, or compressed in another way
                continue
            left -= len(content)
            if b"/UserUnit" in content:
                return True
    return False


def user_unit(document: pypdfium2.PdfDocument, index: int) -> float:
    """The UserUnit of a page, 1 if it has none. A copy of the page is written without compression and read."""
    copy = pypdfium2.PdfDocument.new()
    try:
        copy.import_pages(document, [index])
        written = io.BytesIO()
        copy.save(written)
    finally:
        copy.close()
    content = written.getvalue()
    found = _VALUE.search(content)
    try:
        value = float(found[1]) if found else 1.0
    except ValueError:
        return 1.0
    return value if 0 < value <= MAX_UNIT else 1.0

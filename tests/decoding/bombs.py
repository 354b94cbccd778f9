"""Small files that take a decoder minutes, or all memory."""

from pathlib import Path


def endless_pdf(path: Path) -> Path:
    """A page of a million dashed lines, which pdfium draws for minutes."""
    dashes = b"[0.003] 0 d 0.001 w\n" + b"0 0 m 500 500 l S\n" * 1_000_000
    return _pdf(
        path,
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 500 500]/Contents 4 0 R>>",
        b"<</Length %d>>stream\n%s\nendstream" % (len(dashes), dashes),
    )


def recursive_pdf(path: Path) -> Path:
    """Two forms that draw each other three times: pdfium takes all memory that there is."""
    form = b"<</Type/XObject/Subtype/Form/BBox[0 0 9 9]/Resources<</XObject<</A 5 0 R/B 6 0 R>>>>/Length 17>>stream\n%s"
    return _pdf(
        path,
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 9 9]/Resources<</XObject<</A 5 0 R>>>>/Contents 4 0 R>>",
        b"<</Length 5>>stream\n/A Do\nendstream",
        form % b"/B Do /B Do /B Do\nendstream",
        form % b"/A Do /A Do /A Do\nendstream",
    )


def _pdf(path: Path, *objects: bytes) -> Path:
    """A PDF of one page; `objects` are numbered from 3, which is the page."""
    body, offsets = b"%PDF-1.4\n", []
    for number, content in enumerate(
        (b"<</Type/Catalog/Pages 2 0 R>>", b"<</Type/Pages/Kids[3 0 R]/Count 1>>", *objects), 1
    ):
        offsets.append(len(body))
        body += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    size = len(offsets) + 1
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    end = b"xref\n0 %d\n0000000000 65535 f \n%strailer\n<</Root 1 0 R/Size %d>>\nstartxref\n%d\n%%%%EOF"
    path.write_bytes(body + end % (size, table, size, len(body)))
    return path

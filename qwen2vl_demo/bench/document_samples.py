"""Documents, and files that are not what they seem."""

from __future__ import annotations

import io
from collections.abc import Sequence

import PIL.Image

from qwen2vl_demo.bench.picture_samples import saved
from qwen2vl_demo.bench.samples import COLOURS, Expected, Sample, quadrants, turned

PAGE = b"/MediaBox[0 0 84 56]"  # points: 112 x 168 px at 144 dots an inch


def pdf(*pages: bytes, content: bytes | None = None, more: Sequence[bytes] = (), trailer: bytes = b"") -> bytes:
    """A PDF of page dictionaries that all show the four quadrants, without a table of its objects."""
    if content is None:
        fills = []
        for index, colour in enumerate(COLOURS):
            row, column = divmod(index, 2)
            numbers = b" ".join(b"%.4f" % (value / 255) for value in colour)
            fills.append(b"%b rg %d %d 42 28 re f" % (numbers, 42 * column, 28 * (1 - row)))
        content = b"\n".join(fills)
    kids = b" ".join(b"%d 0 R" % (10 + i) for i in range(len(pages)))
    shown = b"/Contents 4 0 R/Resources<<>>"
    objects = [
        b"1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj",
        b"2 0 obj<</Type/Pages/Kids[%b]/Count %d>>endobj" % (kids, len(pages)),
        *(b"%d 0 obj<</Type/Page/Parent 2 0 R%b%b>>endobj" % (10 + i, shown, page) for i, page in enumerate(pages)),
        b"4 0 obj<</Length %d>>stream\n%b\nendstream endobj" % (len(content), content),
        *more,
    ]
    return b"%PDF-1.6\n" + b"\n".join(objects) + b"\ntrailer<</Root 1 0 R/Size 9999%b>>\n%%%%EOF" % trailer


def document_samples() -> list[Sample]:
    spec = "ISO 32000-1; mutool draw -r 144"
    size = (224, 336)  # a page of 84 x 56 points is drawn twice as large as printed, to be readable
    one = Expected(size=size, tolerance=3)
    large = b"/MediaBox[0 0 84 56]/UserUnit 10"
    password = b"8 0 obj<</Filter/Standard/V 1/R 2/P -4/O<%b>/U<%b>>>endobj" % (b"41" * 32, b"42" * 32)
    locked = b"/Encrypt 8 0 R/ID[<00><00>]"
    text = "it is opened by its content"
    svg = b'<svg xmlns="http://www.w3.org/2000/svg"/>'
    png = saved(quadrants(), "PNG")
    return [
        Sample("one.pdf", "1.12", "one page", lambda: pdf(PAGE), spec, [one]),
        Sample("many.pdf", "1.12", "forty pages", lambda: pdf(*[PAGE] * 40), "the first 12", [one] * 12),
        Sample("chosen.pdf", "1.12", "pages 1-3, 39", lambda: pdf(*[PAGE] * 40), spec, [one] * 4, pages="1-3, 39"),
        Sample("unit.pdf", "1.12", "UserUnit 10", lambda: pdf(large), spec, [Expected(size=(1120, 1680), tolerance=3)]),
        Sample(
            "turned.pdf",
            "1.12",
            "a rotated page",
            lambda: pdf(PAGE + b"/Rotate 90"),
            spec,
            [Expected(size=(size[1], size[0]), colours=turned(), tolerance=3)],
        ),
        Sample(
            "poster.pdf",
            "1.12",
            "a page of 5 x 5 m",
            lambda: pdf(b"/MediaBox[0 0 14400 14400]", content=b"1 g"),
            "the limit of 16 megapixels",
            [Expected(size=(4000, 4000), colours=None)],
        ),
        Sample(
            "locked.pdf", "1.12", "a password", lambda: pdf(PAGE, more=[password], trailer=locked), spec, [], "password"
        ),
        Sample("photo.txt", "1.13", "a PNG named .txt", lambda: png, text),
        Sample("photo", "1.13", "no ending", lambda: png, text),
        Sample("clip.mp4", "1.13", "a PNG named .mp4", lambda: png, text),
        Sample("caf\u00e9 \u732b \U0001f431.png", "1.13", "a name in several scripts", lambda: png, text),
        Sample("a\u202egnp.exe", "1.13", "a name that turns around", lambda: png, text),
        Sample("new\nline\x1b[31m.png", "1.13", "a name with control characters", lambda: png, text),
        Sample("n" * 200 + ".png", "1.13", "a long name", lambda: png, text),
        Sample(
            "page.png", "1.13", "a web page named .png", lambda: b"<!doctype html><p>Not found", text, [], "web page"
        ),
        Sample("drawing.png", "1.13", "an SVG named .png", lambda: svg, text, [], "SVG"),
        Sample("empty.png", "1.13", "nothing", lambda: b"", text, [], "empty"),
        Sample("sound.mp3", "1.13", "sound alone", lambda: b"ID3\3\0\0\0\0\0\0" + bytes(400), text, [], "video"),
        Sample("word.docx", "1.13", "an office document", lambda: b"PK\3\4" + bytes(400), text, [], "send"),
        Sample("scan.pdf", "1.12", "a picture saved as PDF", _scan, spec, [Expected(size=size)]),
    ]


def _scan() -> bytes:
    file = io.BytesIO()
    PIL.Image.fromarray(quadrants()).save(file, "PDF", resolution=144, quality=95)
    return file.getvalue()

"""Pages of PDFs and TIFF files: which are read, how large they are drawn, and which way up.

The sizes come from MuPDF 1.21.1 (`mutool draw -r 144`) and the page tree from qpdf 11.3, which both read UserUnit;
pdfium, Chromium's own reader, does not.
"""

from __future__ import annotations

import base64
import io
import zlib

import numpy as np
import PIL.Image
import pytest

from qwen2vl_demo.errors import UserError
from qwen2vl_demo.media import DEFAULT_LIMITS, MediaLimits, PageChoice, identify_file, open_document, open_pdf
from qwen2vl_demo.media.pdf_user_unit import mentions_user_unit
from qwen2vl_demo.processing.messages import Image, Message, Text
from qwen2vl_demo.processing.processor import expand_documents

CORNER = b"0 0 1 rg 0 0 1 1 re f"  # blue, one unit at the lower left
WITH_CORNER = b"/Resources<<>>/Contents 900 0 R"


def pdf(*pages: bytes, content: bytes = CORNER, more: bytes = b"", trailer: bytes = b"") -> bytes:
    """A PDF of page dictionaries, without a table of its objects, which readers make up."""
    kids = b" ".join(b"%d 0 R" % (10 + i) for i in range(len(pages)))
    objects = [
        b"1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj",
        b"2 0 obj<</Type/Pages/Kids[%b]/Count %d>>endobj" % (kids, len(pages)),
        *(b"%d 0 obj<</Type/Page/Parent 2 0 R%b>>endobj" % (10 + i, page) for i, page in enumerate(pages)),
        b"900 0 obj<</Length %d>>stream\n%b\nendstream endobj" % (len(content), content),
        more,
    ]
    return b"%PDF-1.6\n" + b"\n".join(objects) + b"\ntrailer<</Root 1 0 R/Size 999%b>>\n%%%%EOF" % trailer


def sized(*widths: int) -> bytes:
    """A page of each width in points, 100 high: a picture that tells its own page."""
    return pdf(*(b"/MediaBox[0 0 %d 100]" % width for width in widths))


def sentence(data: bytes, choice: str = "", limits: MediaLimits = DEFAULT_LIMITS) -> str:
    with pytest.raises(UserError) as caught:
        open_pdf(data, limits, "a.pdf", PageChoice.parse(choice))
    text = str(caught.value)
    assert text.startswith("a.pdf") and "\n" not in text and text.endswith(".")
    return text


# which pages


@pytest.mark.parametrize(
    ("choice", "numbers"),
    [
        ("", (1, 2, 3)),
        ("2", (2,)),
        ("1-3, 7", (1, 2, 3, 7)),
        ("7,1", (7, 1)),
        ("8-", (8, 9)),
        ("-2", (1, 2)),
        (" 2 – 3 ;2", (2, 3)),
        ("8-100", (8, 9)),
        ("-", (1, 2, 3, 4, 5, 6, 7, 8, 9)),
    ],
)
def test_pages_are_chosen_by_number(choice: str, numbers: tuple[int, ...]) -> None:
    parsed = PageChoice.parse(choice) if choice != "-" else PageChoice(((1, None),))
    assert parsed.numbers(9, 3 if not choice else 9, "a.pdf") == numbers
    assert PageChoice.parse(str(parsed)) == parsed


@pytest.mark.parametrize("text", ["x", "0", "3-1", "1-2-3", "-", "1.5", "1 2", "٣-", "9" * 12, "1," * 600])
def test_what_is_no_choice_is_a_sentence(text: str) -> None:
    with pytest.raises(UserError, match=r"^--pages are .*such as 1-3"):
        if text == "٣-":  # digits of other scripts are numbers, too
            assert PageChoice.parse(text) == PageChoice(((3, None),))
            PageChoice.parse("x", "--pages")
        PageChoice.parse(text, "--pages")


def test_a_long_document_is_not_a_wall() -> None:
    """A PDF of more than 12 pages was refused."""
    data = sized(*range(200, 240))
    first = open_pdf(data)
    assert (first.count, first.numbers) == (40, tuple(range(1, 13)))
    chosen = open_pdf(data, choice=PageChoice.parse("40, 3-4"))
    assert chosen.numbers == (40, 3, 4) and [page.width for page in chosen.pages] == [478, 404, 406]
    assert open_pdf(data, MediaLimits(max_pdf_pages=40)).numbers == tuple(range(1, 41))


def test_what_cannot_be_chosen_is_a_sentence() -> None:
    data = sized(200, 200)
    assert "has 2 pages, and none of them was chosen; choose from 1 to 2" in sentence(data, "3-9")
    assert "more than 1 page was chosen, the limit of --max-pdf-pages" in sentence(
        data, "1-2", MediaLimits(max_pdf_pages=1)
    )
    sentence(pdf())
    with pytest.raises(UserError, match="more than 12 pages were chosen"):  # at once, however many it claims to have
        PageChoice.parse("1-").numbers(2**40, 12, "a.pdf")


# how large


@pytest.mark.parametrize(
    ("page", "size"),
    [
        (b"/MediaBox[0 0 612 792]", (1224, 1584)),
        (b"/MediaBox[0 0 100 200]/UserUnit 10", (2000, 4000)),  # was drawn at 200 x 400
        (b"/MediaBox[0 0 2550 3300]/UserUnit 0.24", (1224, 1584)),  # a scan with one unit a pixel
        (b"/MediaBox[0 0 200 300]/UserUnit -2", (400, 600)),
        (b"/MediaBox[0 0 200 300]/UserUnit 1e9", (400, 600)),
        (b"/MediaBox[0 0 200 300]/Rotate 90", (600, 400)),
        (b"/MediaBox[0 0 200 300]/Rotate -90", (600, 400)),
        (b"/MediaBox[0 0 200 300]/CropBox[10 10 190 110]", (360, 200)),
        (b"/MediaBox[200 300 0 0]", (400, 600)),
        (b"", (1224, 1584)),
        (b"/MediaBox[0 0 28 14]", (336, 168)),  # a label of 1 cm
        (b"/MediaBox[0 0 0.01 0.01]", (336, 336)),
        (b"/MediaBox[0 0 14400 14400]", (4000, 4000)),
        (b"/MediaBox[0 0 14400 14400]/UserUnit 75000", (4000, 4000)),
        (b"/MediaBox[0 0 14400 3]", (28_800, 6)),
    ],
)
def test_pages_have_their_printed_size_within_limits(page: bytes, size: tuple[int, int]) -> None:
    (drawn,) = open_pdf(pdf(page)).pages
    assert abs(drawn.width - size[0]) <= 1 and abs(drawn.height - size[1]) <= 1, drawn.size


def test_each_page_has_a_user_unit_of_its_own() -> None:
    box = b"/MediaBox[0 0 200 300]"
    pages = open_pdf(pdf(box, box + b"/UserUnit 2.5", box)).pages
    assert [page.size for page in pages] == [(400, 600), (1000, 1500), (400, 600)]


def test_a_user_unit_in_a_compressed_object_is_found() -> None:
    held = b"10 0 <</Type/Page/Parent 2 0 R/MediaBox[0 0 200 300]/UserUnit 2>>"
    packed = zlib.compress(held)
    stream = b"20 0 obj<</Type/ObjStm/N 1/First 5/Length %d/Filter/FlateDecode>>stream\n%b\nendstream endobj"
    assert mentions_user_unit(stream % (len(packed), packed))
    assert not mentions_user_unit(stream % (len(packed), packed[:4]))
    bomb = zlib.compress(bytes(2**26))
    assert not mentions_user_unit((stream % (len(bomb), bomb)) * 3)


def test_all_pages_together_have_no_more_pixels_than_a_picture_may() -> None:
    """Twelve pages of 16 million pixels took 576 MB."""
    limits = MediaLimits(max_image_pixels=1_000_000)
    pages = open_pdf(pdf(*[b"/MediaBox[0 0 2000 1000]"] * 4), limits).pages
    assert all(abs(page.width * page.height - 250_000) < 2000 for page in pages)


# which way up


@pytest.mark.parametrize(
    ("rotation", "row", "column"), [(0, -1, 0), (90, 0, 0), (180, 0, -1), (270, -1, -1), (-90, -1, -1), (450, 0, 0)]
)
def test_a_page_stands_as_readers_show_it(rotation: int, row: int, column: int) -> None:
    """The corner of the content is at the lower left; Rotate turns it clockwise (ISO 32000-1, table 30)."""
    (page,) = open_pdf(pdf(b"/MediaBox[0 0 10 10]/Rotate %d" % rotation + WITH_CORNER)).pages
    pixels = np.asarray(page)
    assert pixels[row, column].tolist() == [0, 0, 255] and pixels[-1 - row, -1 - column].tolist() == [255, 255, 255]


# protection


# The page above with its corner, as qpdf 11.3 wrote it with --encrypt "" owner 256 --object-streams=generate, deflated.
ENCRYPTED = (
    "eNp1VF1oHUUUbk0MeiVQFIQWglPjLVitO/+zUy/BJPdeFWMSEnMTLYLzt0na+xP2bkqi4osShTwUlNYfgg8FfVFqoaWKik1RoyJRQQoVLWp9UJ"
    "H6kAeLplZn89NciMKyM7Pn23PO951zJtufL+5Bd4lM9vSlo1cyCEBQ0/szuRwIClOJq9bHa9U6SI+d+a7CyqZL1V3JxakFBP7XBmSPO+jKIAQd"
    "HekT9KtRVwfE+xwAwUPTEw4E3SpR5dqoN2dc1aahcEPIVUyf3j+YVEDQ46qjyRhAlIKgOF5OXOzXskpc3pma9cBegFNLXE+ATD3Wk9ipSubEju"
    "ZnzjW9O3Nm9rOly+1dwRO/i7neQ5dm5yuls8/e5D4ZObXcdGihp2+mkz189OMbL4ws3fDK+Zu72nZ/Pvf1UOHX5ivXTvBj98y/Y/5+u+168Odb"
    "fwwdZsutz31/8r7vFs/c+cuB9mPzd5ThifNHju/dNgx/vu7DbKmw8OQHF0rfPp89vvORzEtbv1o89+oPnW2LCy9WZr855YmuZbZGmTVQ/k9ia8"
    "xp2MDqhYF7X2+d6m3/58B7X4xd3PnbT9sfuFhqvfXNvUu3l1umZ86+FnQf+TH39I5le7rrbjE8uSkqb4jaXVwp5WBi13adk8lY4aCrJiDI10zf"
    "hKumoAe9oTBYIlczIni9tut5DyaqalVsr0Iw476EIBc5xwiOGAqhcDIMpYmY4sRBRhiCRiknCDXQYa6MwcR/wJq4ULIQWy6sJNjJCClNMOecKi"
    "sYpY5SHrKIUBJJn0Ofb0jDYKQ5ZY5FCHKMoOLcWEYhgwr7D4pLjAnhItSChN4IhaGQS65ZCDGP0jYFe3yH9bu44judQYEEJDAkoUMOKsU1RMYY"
    "gQWnmjOPHwA85V0prgvol3jjMOSdYBFGQkqGKYWGIqctQxJK4V0qSDDV6TvyGKFD5DMzOKReBx2p0GGFvC6hpqFXxGDllfGkhTZKe19UUEJ8Ek"
    "OeO3KWakx0hB2S1AoptDTSwyyhlhmMiE/Ya6ZsFFlihWKMGeqswkYhhKl3UwKsYRbFplkcGXDRRvXl//Tr6tqvVhRM26tWnqz4eyOVNXZ23CS1"
    "GKCV3gmGwT6A/OAi8KiXslZLAFq9IAbHH3f+7gjuz4N9OaQ5ZJRzYaDmRPmqRgI5gX1ZmY2I7MhxGWrHOUFMacW0xVJHjHAmtUGcM9Th3ReqJp"
    "6eSABfibAxS1NzRm+5Zlex5amWXS0zetsbWz/Sj9m/vhy5fMunu5vilw9v35J7v/m2zKYZqicqTqZiF2UQJGEmmy30FTP/ApjlqXs="
)


def test_a_password_that_only_restricts_is_not_asked_for() -> None:
    """AES of 256 bits with an empty user password, as banks and journals send them."""
    (page,) = open_pdf(zlib.decompress(base64.b64decode(ENCRYPTED))).pages
    assert page.size == (336, 336) and page.getpixel((3, 330)) == (0, 0, 255) and page.getpixel((330, 3)) == (255,) * 3


# TIFF


def tiff(*colours: str, size: tuple[int, int] = (30, 20)) -> bytes:
    first, *others = [PIL.Image.new("RGB", size, colour) for colour in colours]
    file = io.BytesIO()
    first.save(file, "TIFF", save_all=True, append_images=others)
    return file.getvalue()


def test_pages_of_a_tiff_are_chosen_like_those_of_a_pdf() -> None:
    """Only the first one was shown, without a word."""
    data = tiff("red", "lime", "blue")
    assert identify_file(data).document and not identify_file(tiff("red")).document
    document = open_document(data, choice=PageChoice.parse("3,1"))
    assert (document.count, document.numbers) == (3, (3, 1))
    assert [page.getpixel((5, 5)) for page in document.pages] == [(0, 0, 255), (255, 0, 0)]
    assert open_document(data, MediaLimits(max_pdf_pages=2)).numbers == (1, 2)
    assert len(open_document(sized(200, 300)).pages) == 2  # a PDF is one as well
    with pytest.raises(UserError, match=r"^scan.tif has 3 pages.* from 1 to 3"):
        open_document(data, DEFAULT_LIMITS, "scan.tif", PageChoice.parse("4"))
    with pytest.raises(UserError, match=r"^scan.tif: .* more than 1300 pixels together"):
        open_document(data, MediaLimits(max_image_pixels=1300), "scan.tif")


def test_a_tiff_with_a_thumbnail_is_one_picture() -> None:
    """Its second directory says that it is a reduced one (NewSubfileType 1)."""
    large, small = PIL.Image.new("RGB", (30, 20), "red"), PIL.Image.new("RGB", (3, 2), "red")
    small.encoderinfo = {"tiffinfo": {254: 1}}
    file = io.BytesIO()
    large.save(file, "TIFF", save_all=True, append_images=[small])
    assert not identify_file(file.getvalue()).document


def test_a_tiff_becomes_its_pages_in_a_conversation() -> None:
    said: list[str] = []
    messages = [Message("user", [Image(tiff("red", "lime", "blue"), "scan.tif"), Text("?")])]
    (message,) = expand_documents(messages, MediaLimits(max_pdf_pages=2), tell=said.append)
    assert [part.name for part in message.parts[:-1] if isinstance(part, Image)] == [
        "scan.tif, page 1 of 3",
        "scan.tif, page 2 of 3",
    ]
    assert said == ["scan.tif has 3 pages, of which the first 2 are read."]

"""Pictures and PDFs: every odd kind opens as what a person would see; every bad one gives one clear sentence."""

import io
import os
import struct
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import PIL.Image
import pillow_heif
import pytest
import skimage.data

from qwen2vl_demo.errors import UserError
from qwen2vl_demo.media import FileType, MediaLimits, identify_file, kind_of, open_image, open_pdf

Image = PIL.Image
ORIENTATION = 0x0112


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    """(90, 120, 3): a photograph with no symmetry."""
    return np.ascontiguousarray(skimage.data.astronaut()[60:150, 180:300])


def saved(image: PIL.Image.Image, format: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def pixels(source: object, **options: object) -> np.ndarray:
    picture = open_image(source, **options)  # type: ignore[arg-type]
    assert picture.mode == "RGB"
    return np.asarray(picture)


def sentence(call: object, *args: object, **kwargs: object) -> str:
    """The UserError's text: one sentence (or two joined by a semicolon) on one line, ending in a full stop."""
    with pytest.raises(UserError) as caught:
        call(*args, **kwargs)  # type: ignore[operator]
    text = str(caught.value)
    assert text.endswith(".") and "\n" not in text and "Traceback" not in text
    return text


# What opens


@pytest.mark.parametrize("format", ["PNG", "TIFF", "BMP", "WEBP", "PPM", "JPEG2000"])
def test_lossless_formats_come_out_as_they_went_in(photo: np.ndarray, tmp_path: Path, format: str) -> None:
    path = tmp_path / "misnamed.txt"
    path.write_bytes(saved(Image.fromarray(photo), format, **({"lossless": True} if format == "WEBP" else {})))
    for source in (path, str(path), path.read_bytes()):
        assert np.array_equal(pixels(source), photo)
        assert kind_of(source) == "image"


@pytest.mark.parametrize("format", ["JPEG", "HEIF", "AVIF", "MPO"])
def test_lossy_formats_come_out_nearly_as_they_went_in(photo: np.ndarray, format: str) -> None:
    data = saved(Image.fromarray(photo), format, quality=95)
    assert kind_of(data) == "image"
    assert np.abs(pixels(data).astype(int) - photo).mean() < 4


@pytest.mark.parametrize(
    ("format", "ending"),
    [
        ("PNG", "png"),
        ("JPEG", "jpg"),
        ("MPO", "jpg"),
        ("WEBP", "webp"),
        ("GIF", "gif"),
        ("TIFF", "tiff"),
        ("BMP", "bmp"),
        ("PPM", "ppm"),
        ("HEIF", "heic"),
        ("AVIF", "avif"),
        ("JPEG2000", "jp2"),
    ],
)
def test_the_ending_is_found_from_the_content(photo: np.ndarray, tmp_path: Path, format: str, ending: str) -> None:
    """A name without an ending, as uploads and imported files may have, says nothing."""
    path = tmp_path / "part"
    path.write_bytes(saved(Image.fromarray(photo), format))
    for source in (path, str(path), path.read_bytes()):
        assert identify_file(source) == FileType("image", ending)


def test_a_pil_image_is_taken_and_left_alone(photo: np.ndarray) -> None:
    source = Image.fromarray(photo).convert("RGBA")
    before = source.tobytes()
    assert kind_of(source) == "image"
    assert np.array_equal(pixels(source), photo)
    assert source.mode == "RGBA" and source.tobytes() == before
    rgb = Image.fromarray(photo)
    assert open_image(rgb) is not rgb


# Stored picture -> upright picture, from the EXIF specification's "where the 0th row and 0th column are".
HAND_TURNED = {
    1: lambda a: a,  # top, left
    2: lambda a: a[:, ::-1],  # top, right
    3: lambda a: a[::-1, ::-1],  # bottom, right
    4: lambda a: a[::-1],  # bottom, left
    5: lambda a: a.swapaxes(0, 1),  # left, top
    6: lambda a: np.rot90(a, -1),  # right, top: turn clockwise
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),  # right, bottom
    8: lambda a: np.rot90(a, 1),  # left, bottom: turn counterclockwise
}


@pytest.mark.parametrize("orientation", HAND_TURNED)
@pytest.mark.parametrize("format", ["PNG", "TIFF", "JPEG", "WEBP"])
def test_exif_orientation_is_applied_once(photo: np.ndarray, format: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    data = saved(Image.fromarray(photo), format, exif=exif)
    without = saved(Image.fromarray(photo), format)
    assert np.array_equal(pixels(data), HAND_TURNED[orientation](pixels(without)))
    assert open_image(open_image(data)).size == open_image(data).size  # the mark is gone


def test_a_phone_photo_in_heic_is_upright(photo: np.ndarray) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    data = saved(Image.fromarray(photo), "HEIF", exif=exif.tobytes(), quality=95)
    assert np.abs(pixels(data).astype(int) - np.rot90(photo, -1)).mean() < 4


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_a_broken_exif_block_does_not_cost_the_picture(photo: np.ndarray) -> None:
    data = saved(Image.fromarray(photo), "JPEG", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff\0\0")
    assert open_image(data).size == (120, 90)


def test_transparent_parts_become_white(photo: np.ndarray) -> None:
    """Alpha a over white is a * colour + (1 - a) * 255."""
    alpha = np.tile(np.linspace(0, 255, 120).round().astype(np.uint8), (90, 1))
    expected = (photo * (alpha[..., None] / 255.0) + 255 * (1 - alpha[..., None] / 255.0)).round()
    rgba = Image.fromarray(np.dstack([photo, alpha]))
    assert np.abs(pixels(saved(rgba, "PNG")) - expected).max() <= 1
    grey = photo[..., :1].repeat(3, axis=2)
    expected = (grey * (alpha[..., None] / 255.0) + 255 * (1 - alpha[..., None] / 255.0)).round()
    la = Image.merge("LA", [Image.fromarray(photo[..., 0]), Image.fromarray(alpha)])
    assert np.abs(pixels(saved(la, "PNG")) - expected).max() <= 1
    assert np.abs(pixels(la.convert("La")) - expected).max() <= 2
    assert np.abs(pixels(rgba.convert("RGBa")).astype(int) - pixels(rgba)).max() <= 2


def test_palettes_with_and_without_transparency() -> None:
    image = Image.new("P", (4, 1))
    image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255, 9, 9, 9])
    image.putdata([0, 1, 2, 3])
    red, green, blue, dark = (255, 0, 0), (0, 255, 0), (0, 0, 255), (9, 9, 9)
    white = (255, 255, 255)
    assert pixels(saved(image, "PNG"))[0].tolist() == [list(c) for c in (red, green, blue, dark)]
    assert pixels(saved(image, "PNG", transparency=1))[0].tolist() == [list(c) for c in (red, white, blue, dark)]
    assert pixels(saved(image, "GIF", transparency=2))[0].tolist() == [list(c) for c in (red, green, white, dark)]
    per_entry = pixels(saved(image, "PNG", transparency=bytes([255, 0, 255, 0])))
    assert per_entry[0].tolist() == [list(c) for c in (red, white, blue, white)]


def test_one_bit_and_grey() -> None:
    bits = np.array([[0, 255, 255, 0]], np.uint8)
    assert pixels(saved(Image.fromarray(bits).convert("1"), "PNG"))[0, :, 2].tolist() == [0, 255, 255, 0]
    assert pixels(saved(Image.fromarray(bits), "PNG", transparency=0))[0, :, 1].tolist() == [255] * 4


@pytest.mark.parametrize("format", ["PNG", "TIFF"])
def test_sixteen_bits_are_scaled_and_not_clipped(format: str) -> None:
    """White is 65535: round(v * 255 / 65535). PIL's own convert() would clip all but the darkest 256 levels."""
    values = np.array([[0, 128, 129, 257, 32768, 65535]], np.uint16)
    data = saved(Image.fromarray(values), format)
    assert pixels(data)[0, :, 0].tolist() == [0, 0, 1, 1, 128, 255]


def test_sixteen_bit_colour() -> None:
    """An RGB PNG of 16 bits a channel, written by hand because PIL cannot."""
    row = b"\0" + struct.pack(">6H", 65535, 32768, 0, 257, 514, 65535)
    data = png(2, 1, zlib.compress(row), depth=16, colour=2)
    assert pixels(data)[0].tolist() == [[255, 128, 0], [1, 2, 255]]


def test_transparency_of_a_sixteen_bit_picture() -> None:
    row = b"\0" + struct.pack(">3H", 0, 1000, 65535)
    data = png(3, 1, zlib.compress(row), depth=16, colour=0, extra=chunk(b"tRNS", struct.pack(">H", 1000)))
    assert pixels(data)[0, :, 0].tolist() == [0, 255, 255]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.0, 0.5, 1.0], [0, 128, 255]),  # 0..1
        ([0.0, 100.0, 255.0], [0, 100, 255]),  # 0..255
        ([0.0, 257.0, 65535.0], [0, 1, 255]),  # 0..65535
        ([-10.0, 0.0, 10.0], [0, 128, 255]),  # no agreed white: stretched
        ([np.nan, 0.0, np.inf], [0, 0, 255]),  # no number is black, infinity is white
    ],
)
def test_float_pictures_take_the_range_they_use(values: list[float], expected: list[int]) -> None:
    assert pixels(saved(Image.fromarray(np.array([values], np.float32)), "TIFF"))[0, :, 1].tolist() == expected


def test_whole_numbers_of_32_bits() -> None:
    image = Image.fromarray(np.array([[0, 257, 65535]], np.int32))
    assert pixels(saved(image, "TIFF"))[0, :, 0].tolist() == [0, 1, 255]
    assert pixels(Image.fromarray(np.array([[5, 5]], np.int32)))[0, :, 0].tolist() == [5, 5]


def test_a_cmyk_jpeg_has_the_right_colours(photo: np.ndarray) -> None:
    data = saved(Image.fromarray(photo).convert("CMYK"), "JPEG", quality=95)
    assert np.abs(pixels(data).astype(int) - photo).mean() < 6


@pytest.mark.parametrize("mode", ["HSV", "YCbCr", "LAB", "RGBX", "PA", "1", "L", "I;16B"])
def test_every_mode_of_pil_becomes_rgb(photo: np.ndarray, mode: str) -> None:
    if mode == "I;16B":
        image = Image.frombytes(mode, (2, 1), struct.pack(">2H", 257, 65535))
        assert pixels(image)[0, :, 0].tolist() == [1, 255]
    else:
        assert pixels(Image.fromarray(photo).convert("P" if mode == "PA" else "RGB").convert(mode)).shape == (
            90,
            120,
            3,
        )


def test_the_first_frame_of_what_moves(photo: np.ndarray) -> None:
    """An animated PNG counts as a picture, a GIF or WebP with two frames as a video; all open as their first frame."""
    frames = [Image.fromarray(photo), Image.fromarray(photo[::-1].copy())]
    options = {"save_all": True, "append_images": frames[1:], "duration": 100}
    for format, kind in (("PNG", "image"), ("GIF", "video"), ("WEBP", "video"), ("TIFF", "image"), ("MPO", "image")):
        data = saved(frames[0], format, **({**options, "lossless": True} if format == "WEBP" else options))
        assert kind_of(data) == kind
        assert np.abs(pixels(data).astype(int) - photo).mean() < 12  # GIF has 256 colours
    assert kind_of(saved(frames[0], "GIF")) == "image"
    assert kind_of(saved(frames[0], "WEBP")) == "image"


def test_bundled_photographs_open() -> None:
    folder = Path(skimage.data.__file__).parent
    names = [n for n in sorted(os.listdir(folder)) if n.endswith((".png", ".jpg", ".gif"))]
    assert len(names) > 5
    for name in names:
        assert np.asarray(open_image(folder / name)).ndim == 3


def test_a_variant_that_pil_cannot_read_is_not_called_broken_outright() -> None:
    """A valid TIFF of 64-bit floats."""
    path = Path(skimage.data.__file__).parent / "multipage_rgb.tif"
    assert "unknown variant" in sentence(open_image, path)


# What does not


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png(width: int, height: int, data: bytes, *, depth: int = 8, colour: int = 2, extra: bytes = b"") -> bytes:
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + extra + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def test_a_decompression_bomb_is_refused_before_it_is_decoded() -> None:
    """60000 x 60000 claimed by 60 bytes of data: were it decoded, it would be an error of another kind."""
    text = sentence(open_image, png(60_000, 60_000, b""))
    assert "60000x60000" in text and "120000000" in text


@pytest.mark.parametrize("size", [(0xFFFFFFF, 0xFFFFFFF), (0, 5)])
def test_headers_with_impossible_sizes(size: tuple[int, int]) -> None:
    sentence(open_image, png(*size, b""))


def test_the_limit_is_ours_and_not_pils(photo: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    """PIL would warn above MAX_IMAGE_PIXELS and refuse above twice that; both it and the filters stay as they are."""
    monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", 100)
    data = saved(Image.fromarray(photo), "PNG")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert open_image(data).size == (120, 90)
    assert PIL.Image.MAX_IMAGE_PIXELS == 100
    assert "the limit of 10799" in sentence(open_image, data, MediaLimits(max_image_pixels=10_799))
    assert open_image(data, MediaLimits(max_image_pixels=10_800)).size == (120, 90)
    assert "more than the limit of" in sentence(
        open_image, Image.fromarray(photo), MediaLimits(max_image_pixels=10_799)
    )


@pytest.mark.parametrize("format", ["JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "HEIF", "AVIF", "JPEG2000", "PPM"])
@pytest.mark.parametrize("part", [0.02, 0.3, 0.6, 0.9])
def test_a_cut_off_picture_is_an_error_and_not_half_a_picture(
    photo: np.ndarray, tmp_path: Path, format: str, part: float
) -> None:
    data = saved(Image.fromarray(photo), format)
    path = tmp_path / "cut.jpg"
    path.write_bytes(data[: max(20, int(len(data) * part))])
    assert sentence(open_image, path).startswith("cut.jpg ")


def test_a_lazily_opened_pil_image_that_is_cut_off(photo: np.ndarray) -> None:
    data = saved(Image.fromarray(photo), "JPEG")
    sentence(open_image, Image.open(io.BytesIO(data[: len(data) // 2])))


BAD_FILES = {
    "nothing.png": (b"", "empty"),
    "letter.png": ("Dear visitor, grüße!\n".encode() * 300, "text file"),
    "cut_in_a_letter.png": (b"x" * 4095 + "ü".encode(), "text file"),
    "page.jpg": (b"<!DOCTYPE html><html>not found</html>", "web page"),
    "drawing.png": (b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>', "SVG"),
    "bmw.bmp": (b"BMW makes cars.", "text file"),
    "noise.png": (bytes(range(128, 256)) * 40, "not a picture, video or PDF"),
    "archive.png": (b"PK\x03\x04" + bytes(200), "not a picture, video or PDF"),
    "head_only.png": (b"\x89PNG\r\n\x1a\n", "damaged, cut off"),
    "script.eps": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "text file"),
    "song.png": (b"ID3\x04" + bytes(300), "only sound"),
    "song.jpg": (b"RIFF\x24\0\0\0WAVEfmt " + bytes(300), "only sound"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_what_is_no_picture_is_named_for_what_it_is(tmp_path: Path, name: str) -> None:
    data, expected = BAD_FILES[name]
    path = tmp_path / name
    path.write_bytes(data)
    for call in (kind_of, open_image, open_pdf):
        text = sentence(call, path)
        assert text.startswith(name) and expected in text
        assert expected in sentence(call, data)
        assert sentence(call, data).startswith("This file ")


@pytest.mark.parametrize("call", [kind_of, open_image, open_pdf])
def test_paths_that_lead_nowhere(tmp_path: Path, call: object) -> None:
    assert "does not exist" in sentence(call, tmp_path / "absent.png")
    assert sentence(call, str(tmp_path / "absent.png")).startswith("absent.png ")
    assert "folder" in sentence(call, tmp_path)
    os.mkfifo(tmp_path / "pipe.png")
    assert "ordinary file" in sentence(call, tmp_path / "pipe.png")
    assert "empty name" in sentence(call, "")
    sentence(call, "nul\0character.png")
    sentence(call, "x" * 5000)
    sentence(call, tmp_path / "absent.png" / "deeper.png")


@pytest.mark.parametrize("address", ["https://example.com/cat.png", "HTTP://example.com/cat.png", "rtsp://x/y"])
@pytest.mark.parametrize("call", [kind_of, open_image, open_pdf])
def test_addresses_are_refused_and_never_fetched(call: object, address: str) -> None:
    assert "download it first" in sentence(call, address)
    assert "download it first" in sentence(call, Path(address))


def test_a_file_above_the_limit_is_not_read(photo: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "large.png"
    path.write_bytes(saved(Image.fromarray(photo), "PNG"))
    for source in (path, path.read_bytes()):
        assert "--max-file-mb" in sentence(open_image, source, MediaLimits(max_file_bytes=1000))


def test_unprintable_names_stay_on_one_line(tmp_path: Path) -> None:
    assert sentence(open_image, tmp_path / "a\nb\x1b[31m.png").startswith("ab[31m.png ")
    assert len(sentence(open_image, tmp_path / ("n" * 200 + ".png"))) < 200


# PDFs


@pytest.fixture
def pdf(photo: np.ndarray) -> bytes:
    """Three pages of 120 x 90 points: a photograph, its mirror, white with a black corner."""
    third = np.full_like(photo, 255)
    third[:30, :30] = 0
    pages = [Image.fromarray(p) for p in (photo, np.ascontiguousarray(photo[:, ::-1]), third)]
    return saved(pages[0], "PDF", save_all=True, append_images=pages[1:], resolution=72, quality=95)


def test_pages_become_pictures(pdf: bytes, photo: np.ndarray) -> None:
    assert kind_of(pdf) == "pdf"
    pages = open_pdf(pdf, MediaLimits(pdf_dpi=216)).pages
    assert [(p.mode, p.size) for p in pages] == [("RGB", (360, 270))] * 3
    pages = tuple(page.resize((120, 90)) for page in pages)
    assert np.abs(np.asarray(pages[0]).astype(int) - photo).mean() < 8
    assert np.abs(np.asarray(pages[1]).astype(int) - photo[:, ::-1]).mean() < 8
    assert np.asarray(pages[2])[5, 5].max() < 30 and np.asarray(pages[2])[60, 60].min() > 225


def test_a_pdf_with_a_password() -> None:
    """Standard security handler (V 1, R 2) with user and owner entries that no empty password gives."""
    body = (
        b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n"
        b"2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj\n"
        b"3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 9 9]>>endobj\n"
        b"4 0 obj<</Filter/Standard/V 1/R 2/P -4/O<" + b"41" * 32 + b">/U<" + b"42" * 32 + b">>>endobj\n"
    )
    trailer = b"trailer<</Root 1 0 R/Size 5/Encrypt 4 0 R/ID[<00><00>]>>\n%%EOF"
    assert "password" in sentence(open_pdf, body + trailer)


@pytest.mark.parametrize("data", [b"%PDF-1.7\nnothing else\n", b"%PDF-1.7\n" + bytes(5000)])
def test_broken_pdfs(data: bytes) -> None:
    sentence(open_pdf, data)


def test_kinds_are_not_mixed_up(pdf: bytes, photo: np.ndarray) -> None:
    picture = saved(Image.fromarray(photo), "PNG")
    assert "is a PDF, not a picture" in sentence(open_image, pdf)
    assert "is a picture, not a PDF" in sentence(open_pdf, picture)
    assert "not a PDF" in sentence(open_pdf, Image.fromarray(photo))


# Manners


def test_every_file_is_closed(pdf: bytes, photo: np.ndarray, tmp_path: Path) -> None:
    good, bad, document = tmp_path / "good.png", tmp_path / "bad.jpg", tmp_path / "d.pdf"
    good.write_bytes(saved(Image.fromarray(photo), "PNG"))
    bad.write_bytes(saved(Image.fromarray(photo), "JPEG")[:900])
    document.write_bytes(pdf)
    open_image(good), open_pdf(document), sentence(open_image, bad)
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    with warnings.catch_warnings():
        warnings.simplefilter("error", ResourceWarning)
        for _ in range(5):
            open_image(good), kind_of(good), open_pdf(document), sentence(open_image, bad), sentence(open_pdf, bad)
    if before:
        assert len(os.listdir("/proc/self/fd")) == before


def test_threads_do_not_disturb_each_other(pdf: bytes, photo: np.ndarray) -> None:
    """pdfium is not thread-safe; without the lock this crashes the process now and then."""
    picture = saved(Image.fromarray(photo), "PNG")
    heic = saved(Image.fromarray(photo), "HEIF")
    with ThreadPoolExecutor(6) as pool:
        tasks = [
            pool.submit(call, data)
            for _ in range(8)
            for call, data in ((open_pdf, pdf), (open_image, picture), (open_image, heic), (kind_of, pdf))
        ]
        results = [t.result(timeout=120) for t in tasks]
    assert all(len(r.pages) == 3 for r in results[::4]) and all(r.size == (120, 90) for r in results[1::4])


def test_pillow_heif_is_the_one_that_reads_heic(photo: np.ndarray) -> None:
    assert pillow_heif.is_supported(io.BytesIO(saved(Image.fromarray(photo), "HEIF")))

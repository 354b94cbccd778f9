"""Pictures as cameras, scanners, editors and web sites write them."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import PIL.Image
import PIL.ImageCms
import pillow_heif

from qwen2vl_demo.bench.samples import (
    BLUE,
    COLOURS,
    GREYS,
    SIZE,
    Colour,
    Expected,
    Quadrants,
    Sample,
    greys,
    quadrants,
    turned,
)

XMP_TURNED = (
    b'<?xpacket begin="\xef\xbb\xbf" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF '
    b'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="" '
    b'xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"/></rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
)
UPRIGHT_SIZE = (SIZE[1], SIZE[0])
CHROMIUM = "Chromium 156 draws it so"

pillow_heif.register_heif_opener()


def saved(pixels: np.ndarray | PIL.Image.Image, file_format: str, **options: Any) -> bytes:
    image = pixels if isinstance(pixels, PIL.Image.Image) else PIL.Image.fromarray(pixels)
    file = io.BytesIO()
    image.save(file, file_format, **options)
    return file.getvalue()


def noise(count: int) -> bytes:
    """Bytes that do not compress, the same in every run."""
    return np.random.default_rng(0).bytes(count)


def chunk(kind: bytes, content: bytes, crc_error: int = 0) -> bytes:
    """A chunk of a PNG."""
    crc = zlib.crc32(kind + content) ^ crc_error
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", crc)


def png_with(*chunks: bytes) -> bytes:
    """A PNG with more chunks before its pixels."""
    png = saved(quadrants(), "PNG")
    return png[:33] + b"".join(chunks) + png[33:]


def jpeg_with(*segments: bytes, **options: Any) -> bytes:
    """A JPEG with more segments, each a marker's number and its content, behind its first marker."""
    jpeg = saved(quadrants(), "JPEG", quality=95, subsampling=0, **options)
    more = b"".join(b"\xff" + s[:1] + struct.pack(">H", len(s) + 1) + s[1:] for s in segments)
    return jpeg[:2] + more + jpeg[2:]


def branded(data: bytes, major: bytes, compatible: Sequence[bytes]) -> bytes:
    """A HEIF or AVIF file with other brands. The box keeps its size, as offsets in the file count from its start."""
    (size,) = struct.unpack(">I", data[:4])
    brands = b"".join(compatible)
    box = b"ftyp" + major + bytes(4) + brands
    if len(box) + 4 > size:
        raise ValueError("more brands than there is room for")
    return struct.pack(">I", size) + box + compatible[-1] * ((size - 4 - len(box)) // 4) + data[size:]


def tiff(
    entries: Mapping[int, tuple[int, Sequence[int]]], strips: Sequence[bytes], size: tuple[int, int] = SIZE
) -> bytes:
    """An uncompressed little-endian TIFF; `entries` are (type, values) by tag, `strips` its pixels."""
    data, offsets = b"II*\0" + bytes(4), []
    for strip in strips:
        offsets.append(len(data))
        data += strip
    tags: dict[int, tuple[int, Sequence[int]]] = {
        256: (4, [size[1]]), 257: (4, [size[0]]), 259: (3, [1]), 273: (4, offsets),
        278: (4, [size[0]]), 279: (4, [len(strip) for strip in strips]), **entries,
    }  # fmt: skip
    fields = []
    for tag, (kind, values) in sorted(tags.items()):
        packed = struct.pack(f"<{len(values)}{'HI'[kind == 4] if kind in (3, 4) else 'B'}", *values)
        if len(packed) > 4:
            fields.append(struct.pack("<HHII", tag, kind, len(values), len(data)))
            data += packed
        else:
            fields.append(struct.pack("<HHI", tag, kind, len(values)) + packed.ljust(4, b"\0"))
    directory = struct.pack("<H", len(fields)) + b"".join(fields) + bytes(4)
    return data[:4] + struct.pack("<I", len(data)) + data[8:] + directory


def raw_photo(maker: bytes) -> bytes:
    """A camera's TIFF: a small RGB preview first, and in a second directory the sensor's mosaic of 4,000 x 6,000."""
    preview = np.asarray(PIL.Image.fromarray(quadrants()).resize((84, 56), PIL.Image.Resampling.NEAREST)).tobytes()
    mosaic = [(254, 0), (256, 6000), (257, 4000), (258, 14), (259, 1), (262, 32803), (273, 8), (277, 1), (279, 100)]
    second = struct.pack("<H", len(mosaic)) + b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in mosaic)

    def photo_with(second_at: int) -> bytes:
        entries: dict[int, tuple[int, Sequence[int]]] = {
            254: (4, [1]), 258: (3, [8, 8, 8]), 262: (3, [2]), 271: (2, list(maker + b"\0")), 277: (3, [3]),
            330: (4, [second_at]), **({50706: (1, [1, 4, 0, 0])} if maker == b"DNG" else {}),
        }  # fmt: skip
        return tiff(entries, [preview], (56, 84))

    return photo_with(len(photo_with(0))) + second + bytes(4)


def icc_profile(primaries: Sequence[tuple[float, float, float]], gamma: float) -> bytes:
    """A profile of three primaries (XYZ relative to D50, s15Fixed16) and one gamma, version 2 (ICC.1:2001-04)."""
    xyz = [b"XYZ " + bytes(4) + struct.pack(">3i", *(round(v * 65536) for v in p)) for p in primaries]
    white = b"XYZ " + bytes(4) + struct.pack(">3i", 63190, 65536, 54061)
    curve = b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256)) + bytes(2)
    about = b"desc" + bytes(4) + struct.pack(">I", 5) + b"test\0" + bytes(79)
    held = {b"rXYZ": xyz[0], b"gXYZ": xyz[1], b"bXYZ": xyz[2], b"wtpt": white, b"rTRC": curve, b"gTRC": curve,
            b"bTRC": curve, b"desc": about, b"cprt": b"text" + bytes(4) + b"none\0\0\0\0"}  # fmt: skip
    table, data, start = b"", b"", 128 + 4 + 12 * len(held)
    for name, content in held.items():
        content += bytes(-len(content) % 4)
        table += name + struct.pack(">II", start + len(data), len(content))
        data += content
    head = bytearray(128)
    head[8:12], head[12:24], head[36:40] = b"\x02\x40\0\0", b"mntrRGB XYZ ", b"acsp"
    head[68:80] = struct.pack(">3i", 63190, 65536, 54061)
    body = struct.pack(">I", len(held)) + table + data
    head[0:4] = struct.pack(">I", 128 + len(body))
    return bytes(head) + body


# Primaries adapted to D50: of Adobe RGB (1998), Display P3 and ROMM RGB (ProPhoto) as their specifications give them.
ADOBE = ((0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457))
DISPLAY_P3 = ((0.51512, 0.24120, -0.00105), (0.29198, 0.69225, 0.04189), (0.15710, 0.06657, 0.78407))
PROPHOTO = ((0.79767, 0.28804, 0.0), (0.13519, 0.71188, 0.0), (0.03134, 0.00009, 0.82491))
SRGB_FROM_D50 = np.array(
    [[3.1338561, -1.6168667, -0.4906146], [-0.9787684, 1.9161415, 0.0334540], [0.0719453, -0.2289914, 1.4052427]]
)


def in_srgb(primaries: Sequence[tuple[float, float, float]], gamma: float, colours: Quadrants = COLOURS) -> Quadrants:
    """The colours of such a profile in sRGB (IEC 61966-2-1), out of gamut ones clipped."""
    linear = (np.array(colours) / 255) ** gamma @ np.array(primaries) @ SRGB_FROM_D50.T
    linear = linear.clip(0, 1)
    encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return tuple(tuple(int(v) for v in row) for row in np.rint(encoded * 255))  # type: ignore[return-value]


def with_orientation(file_format: str, exif: int | None, xmp: bool) -> bytes:
    options: dict[str, Any] = {"quality": 95} if file_format != "PNG" else {}
    if exif is not None:
        tags = PIL.Image.Exif()
        tags[0x0112] = exif
        options["exif"] = tags
    if xmp and file_format == "PNG":
        return png_with(chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + XMP_TURNED), *_exif_chunk(exif))
    if xmp:
        options["xmp"] = XMP_TURNED
    return saved(quadrants(), file_format, **options)


def _exif_chunk(orientation: int | None) -> list[bytes]:
    if orientation is None:
        return []
    tags = PIL.Image.Exif()
    tags[0x0112] = orientation
    return [chunk(b"eXIf", tags.tobytes().removeprefix(b"Exif\0\0"))]


def planar_16() -> bytes:
    """RGB of 16 bits, one plane a colour: (value * 257) is the 8-bit value."""
    planes = [(quadrants()[..., c].astype("<u2") * 257).tobytes() for c in range(3)]
    entries = {258: (3, [16] * 3), 262: (3, [2]), 277: (3, [3]), 284: (3, [2])}
    return tiff(entries, planes)


def grey_tiff(values: np.ndarray, photometric: int, sample_format: int = 1) -> bytes:
    entries = {258: (3, [values.dtype.itemsize * 8]), 262: (3, [photometric]), 277: (3, [1]), 339: (3, [sample_format])}
    return tiff(entries, [values.tobytes()])


def grey_values(kind: str, *levels: int) -> np.ndarray:
    picture = quadrants(greys(0, 1, 2, 3))[..., 0]
    return np.array(levels, kind)[picture]


def pages(colours: Sequence[Colour]) -> bytes:
    first, *others = [PIL.Image.new("RGB", SIZE[::-1], colour) for colour in colours]
    return saved(first, "TIFF", save_all=True, append_images=others)


def cut(data: bytes, count: int) -> bytes:
    return data[:-count]


def photo(file_format: str, **options: Any) -> bytes:
    return saved(quadrants(), file_format, **options)


def large_jpeg() -> bytes:
    """14,000 x 14,336 = 200.7 megapixels."""
    small = PIL.Image.fromarray(quadrants(GREYS, (1000, 1024))[..., 0])
    return saved(small.resize((14_336, 14_000), PIL.Image.Resampling.NEAREST), "JPEG", quality=60)


def cmyk() -> bytes:
    """CMYK as Photoshop writes it to a JPEG, inverted (which Pillow does) and without a profile."""
    return saved(PIL.Image.fromarray(quadrants()).convert("CMYK"), "JPEG", quality=95)


def flat(colour: Colour) -> Quadrants:
    return colour, colour, colour, colour


def picture_samples() -> list[Sample]:
    return [
        *_metadata(),
        *_brands(),
        *_orientations(),
        *_animations(),
        *_tiffs(),
        *_colours(),
        *_cut(),
        Sample("200mp.jpg", "1.12", "200 megapixels", large_jpeg, "its header", [Expected((14_000, 14_336), GREYS)]),
    ]


def _metadata() -> list[Sample]:
    """Metadata that nobody needs must not cost the picture."""
    spec = "PNG specification, 4.7: a decoder may ignore ancillary chunks"
    profile = zlib.compress(noise(1_500_000))
    made: list[tuple[str, str, Callable[[], bytes]]] = [
        ("icc.png", "1.5 MB of colour profile", lambda: png_with(chunk(b"iCCP", b"x\0\0" + profile))),
        ("ztxt.png", "1.5 MB of compressed text", lambda: png_with(chunk(b"zTXt", b"k\0\0" + profile))),
        ("itxt.png", "a workflow of ComfyUI", lambda: png_with(chunk(b"iTXt", b"workflow\0\1\0\0\0" + profile))),
        ("texts.png", "2,000 texts", lambda: png_with(*[chunk(b"tEXt", b"k\0" + b"v" * 900)] * 2000)),
        ("text-sum.png", "a wrong checksum in a text", lambda: png_with(chunk(b"tEXt", b"k\0v", 1))),
        ("time-sum.png", "a wrong checksum in the time", lambda: png_with(chunk(b"tIME", bytes(7), 1))),
        ("phys.png", "a resolution that is cut off", lambda: png_with(chunk(b"pHYs", b"\0\0"))),
        ("bad-exif.png", "EXIF that is no EXIF", lambda: png_with(chunk(b"eXIf", noise(60)))),
        (
            "bad-exif.jpg",
            "EXIF that points behind its end",
            lambda: jpeg_with(b"\xe1Exif\0\0MM\0*\0\0\0\x08\0\x03\xff\xff"),
        ),
        ("icc.jpg", "one of three pieces of a profile", lambda: jpeg_with(b"\xe2ICC_PROFILE\0\2\3" + noise(2000))),
        (
            "app13.jpg",
            "Photoshop's resources, cut off",
            lambda: jpeg_with(b"\xedPhotoshop 3.0\x008BIM\4\4\0\0\0\0\xff"),
        ),
        ("bad-exif.webp", "EXIF that is no EXIF", lambda: photo("WEBP", lossless=True, exif=noise(60))),
        ("icc.webp", "a profile that is none", lambda: photo("WEBP", lossless=True, icc_profile=noise(600_000))),
    ]
    return [Sample(name, "1.1", about, make, spec if name.endswith("png") else CHROMIUM) for name, about, make in made]


def _brands() -> list[Sample]:
    """Compatible brands decide what a file is, not the first one."""
    avif, heic = partial(photo, "AVIF", quality=95), partial(photo, "HEIF", quality=95)
    made: list[tuple[str, Callable[[], bytes]]] = [
        ("mif1.avif", lambda: branded(avif(), b"mif1", [b"avif"])),
        ("miaf.avif", lambda: branded(avif(), b"miaf", [b"avif"])),
        ("msf1.avif", lambda: branded(avif(), b"msf1", [b"avif"])),
        ("plain.avif", avif),
        ("mif1.heic", lambda: branded(heic(), b"mif1", [b"heic"])),
        ("heix.heic", lambda: branded(heic(), b"heix", [b"mif1"])),
        ("plain.heic", heic),
    ]
    return [
        Sample(name, "1.2", f"brand {name[:4]}", make, CHROMIUM if "avif" in name else "ImageMagick with libheif")
        for name, make in made
    ]


def _orientations() -> list[Sample]:
    """Browsers turn by EXIF alone."""
    samples = []
    for file_format, ending in (("JPEG", "jpg"), ("PNG", "png"), ("WEBP", "webp")):
        for about, exif, xmp in (("xmp", None, True), ("exif", 6, False), ("exif1-xmp6", 1, True)):
            if (about, ending) == ("exif", "webp"):
                continue  # ImageMagick turns it, Chromium does not
            expected = Expected(UPRIGHT_SIZE, turned()) if exif == 6 else Expected()
            make = partial(with_orientation, file_format, exif, xmp)
            samples.append(Sample(f"{about}.{ending}", "1.3", f"orientation in {about}", make, CHROMIUM, [expected]))
    return samples


def _animations() -> list[Sample]:
    red, green, blue = flat(COLOURS[0]), flat(COLOURS[1]), flat(BLUE)
    frames = [PIL.Image.fromarray(quadrants(colours)) for colours in (red, green, blue)]

    def animated(file_format: str, **options: Any) -> bytes:
        return saved(frames[0], file_format, save_all=True, append_images=frames[1:], **options)

    def clip(last: float) -> list[Expected]:
        return [Expected(colours=red, last=blue, kind="video", frames=3, times=(0.0, last))]

    browsers = "Chromium 156: a delay of at most 10 ms is shown as 100 ms"
    return [
        Sample("plain.gif", "1.7", "three frames", lambda: animated("GIF", duration=100), CHROMIUM, clip(0.2)),
        Sample(
            "trailer.gif",
            "1.7",
            "bytes behind the trailer",
            lambda: animated("GIF", duration=100) + noise(40),
            CHROMIUM,
            clip(0.2),
        ),
        Sample("fast.gif", "1.7", "delays of 0 ms", lambda: animated("GIF", duration=0), browsers, clip(0.2)),
        Sample(
            "fast.webp",
            "1.7",
            "frames of 0 ms",
            lambda: animated("WEBP", duration=0, lossless=True),
            browsers,
            clip(0.2),
        ),
        Sample(
            "plain.webp",
            "1.7",
            "three frames",
            lambda: animated("WEBP", duration=250, lossless=True),
            CHROMIUM,
            clip(0.5),
        ),
        Sample(
            "apng.png",
            "1.7",
            "an animated PNG is its first frame",
            lambda: animated("PNG", duration=100),
            "its default image, as readers without APNG show it",
            [Expected(colours=red)],
        ),
    ]


def _tiffs() -> list[Sample]:
    wide = grey_values("<u4", 0, 2**30, 2**31 + 2**30, 2**32 - 1)
    wide_grey: Quadrants = ((0, 0, 0), (64, 64, 64), (191, 191, 191), (255, 255, 255))
    inverted = grey_values("<u2", *((255 - level[0]) * 257 for level in GREYS))
    spec = "TIFF 6.0"
    grey = [Expected(colours=GREYS)]
    three = [Expected(colours=flat(colour)) for colour in COLOURS[:3]]
    return [
        Sample("planar16.tif", "1.8", "RGB of 16 bits in planes", planar_16, spec, refusal="16"),
        Sample("white-is-0.tif", "1.8", "MinIsWhite, 16 bits", lambda: grey_tiff(inverted, 0), spec, grey),
        Sample(
            "uint32.tif", "1.8", "32 bits above 2^31", lambda: grey_tiff(wide, 1), spec, [Expected(colours=wide_grey)]
        ),
        Sample(
            "min-is-white8.tif",
            "1.8",
            "MinIsWhite, 8 bits",
            lambda: grey_tiff(grey_values("u1", *(255 - level[0] for level in GREYS)), 0),
            spec,
            grey,
        ),
        Sample("pages.tif", "1.8", "three pages", lambda: pages(COLOURS[:3]), spec, three),
        Sample(
            "two-pages.tif",
            "1.8",
            "pages 3 and 1 of three",
            lambda: pages(COLOURS[:3]),
            spec,
            [three[2], three[0]],
            pages="3, 1",
        ),
        Sample("photo.dng", "1.8", "a camera's raw file", lambda: raw_photo(b"DNG"), "DNG 1.4", [], "raw"),
        Sample(
            "photo.nef", "1.8", "a camera's raw file", lambda: raw_photo(b"NIKON CORPORATION"), "TIFF/EP", [], "raw"
        ),
    ]


def _colours() -> list[Sample]:
    formula = "matrix of the profile to sRGB, IEC 61966-2-1"
    samples = []
    for name, primaries, gamma in (
        ("adobe-rgb", ADOBE, 563 / 256),
        ("p3", DISPLAY_P3, 2.2),
        ("prophoto", PROPHOTO, 1.8),
    ):
        profile, expected = icc_profile(primaries, gamma), [Expected(colours=in_srgb(primaries, gamma), tolerance=4)]
        for ending, file_format in (("png", "PNG"), ("tif", "TIFF")):
            make = partial(photo, file_format, icc_profile=profile)
            samples.append(Sample(f"{name}.{ending}", "1.9", f"profile {name}", make, formula, expected))
    srgb = PIL.ImageCms.ImageCmsProfile(PIL.ImageCms.createProfile("sRGB")).tobytes()
    return [
        *samples,
        Sample("srgb.png", "1.9", "sRGB", partial(photo, "PNG", icc_profile=srgb), CHROMIUM, [Expected(tolerance=1)]),
        Sample("cmyk.jpg", "1.9", "CMYK without a profile", cmyk, CHROMIUM, [Expected(colours=COLOURS, tolerance=24)]),
    ]


def _cut() -> list[Sample]:
    """Browsers show what has arrived."""
    grain = np.random.default_rng(0).integers(-8, 9, (*SIZE, 1))
    pixels = (quadrants().astype(int) + grain).clip(0, 255).astype(np.uint8)
    samples = []
    for name, progressive in (("baseline", False), ("progressive", True)):
        data = saved(pixels, "JPEG", quality=95, progressive=progressive)
        for count in (1, 2, 10, 40):
            about = f"without its last {count} bytes"
            samples.append(Sample(f"{name}-{count}.jpg", "1.10", about, partial(cut, data, count), CHROMIUM))
    half = partial(cut, data, len(data) // 2)
    return [
        *samples,
        Sample("half.png", "1.10", "half a PNG", lambda: png_with()[:200], "too little of it decodes", [], "cut"),
        Sample("head.jpg", "1.10", "the first 200 bytes", lambda: data[:200], "none of it decodes", [], "cut"),
        Sample("half.jpg", "1.10", "half of it", half, "less than 95 % of it decodes", [Expected()], "cut"),
    ]

"""Small pictures that would take a machine's memory or hours of its time."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from functools import partial

import PIL.Image

from qwen2vl_demo.bench.picture_samples import chunk, noise, photo, png_with, saved, tiff
from qwen2vl_demo.bench.samples import quadrants

MIB = 2**20
Made = tuple[str, str, Callable[[], bytes]]


def deflated(count: int) -> bytes:
    """`count` zeros in zlib's format, compressed a thousandfold. The block of a megabyte is repeated as it is."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = packer.compress(bytes(MIB)) + packer.flush(zlib.Z_FULL_FLUSH)
    rest = zlib.compressobj(9, zlib.DEFLATED, -15)
    end = rest.compress(bytes(count % MIB)) + rest.flush()
    checksum = (count % 65_521) << 16 | 1  # Adler-32 of zeros
    return b"\x78\xda" + block * (count // MIB) + end + struct.pack(">I", checksum)


def png(size: tuple[int, int], depth: int, colour: int, *before: bytes, interlaced: bool = False) -> bytes:
    """A black PNG. `colour` is its colour type: 0 grey, 2 RGB, 3 palette, 6 RGBA."""
    height, width = size
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    row = 1 + (width * depth * channels + 7) // 8
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, int(interlaced))
    rows = height * 2 if interlaced else height  # seven passes have more row starts; what is left over is ignored
    return b"".join(
        [b"\x89PNG\r\n\x1a\n", chunk(b"IHDR", head), *before, chunk(b"IDAT", deflated(rows * row)), chunk(b"IEND", b"")]
    )


def webp(width: int, height: int) -> bytes:
    """A lossless WebP of one colour, which needs no bits at all for its pixels."""
    sizes = (width - 1) | (height - 1) << 14
    codes = sum(1 << (3 + 4 * index) for index in range(5))  # five codes of one symbol, no transform, no cache
    body = b"\x2f" + struct.pack("<I", sizes) + struct.pack("<I", codes) + bytes(1)
    return riff(b"VP8L" + struct.pack("<I", len(body)) + body)


def riff(content: bytes) -> bytes:
    content += bytes(len(content) % 2)
    return b"RIFF" + struct.pack("<I", len(content) + 4) + b"WEBP" + content


def animated_webp(canvas: int, frames: int) -> bytes:
    """Frames of one pixel on a large canvas: each makes a decoder draw the whole canvas again."""
    pixel = webp(1, 1)[12:]
    side = (canvas - 1).to_bytes(3, "little")
    head = b"VP8X" + struct.pack("<I", 10) + b"\x12\0\0\0" + side + side
    frame = bytes(6) + bytes(6) + b"\x28\0\0" + b"\x01" + pixel
    body = b"ANMF" + struct.pack("<I", len(frame)) + frame
    return riff(head + b"ANIM" + struct.pack("<IIH", 6, 0, 0) + body * frames)


def jpeg_scans(side: int, scans: int) -> bytes:
    """A progressive JPEG of one colour whose last scan is repeated: few bytes, and a pass over all blocks each."""
    data = saved(PIL.Image.new("L", (side, side), 90), "JPEG", progressive=True, quality=50)
    last = data.rindex(b"\xff\xda")
    tables = data.rindex(b"\xff\xc4", 0, last)
    return data[:-2] + data[tables:-2] * scans + b"\xff\xd9"


def jpeg_segments(count: int, marker: bytes, content: bytes) -> bytes:
    data = saved(quadrants(), "JPEG")
    return data[:2] + (b"\xff" + marker + struct.pack(">H", len(content) + 2) + content) * count + data[2:]


def jpeg_claiming(height: int, width: int) -> bytes:
    data = saved(quadrants(), "JPEG")
    at = data.index(b"\xff\xc0") + 5
    return data[:at] + struct.pack(">HH", height, width) + data[at + 4 :]


def gif(canvas: int, frames: int) -> bytes:
    """Frames of one pixel on a large canvas."""
    head = b"GIF89a" + struct.pack("<HH", canvas, canvas) + b"\x80\0\0\0\0\0\xff\xff\xff"
    frame = b"\x21\xf9\x04\x08\x0a\0\0\0" + b"\x2c" + struct.pack("<HHHH", 0, 0, 1, 1) + b"\0\x02\x02\x44\x01\0"
    return head + frame * frames + b"\x3b"


def tiff_claiming(height: int, width: int, *, compression: int = 1, data: bytes = b"") -> bytes:
    """A grey TIFF of this size with one strip, whatever is in it."""
    return tiff({259: (3, [compression]), 258: (3, [8]), 262: (3, [1]), 277: (3, [1])}, [data], (height, width))


def tiff_loop() -> bytes:
    """A TIFF whose next directory is its first one."""
    data = tiff({258: (3, [8]), 262: (3, [1]), 277: (3, [1])}, [quadrants()[..., 0].tobytes()])
    return data[:-4] + data[4:8]


def tiff_pages(count: int) -> bytes:
    """Directories of one pixel each, one behind the other."""
    fields = [(256, 4, 1, 1), (257, 4, 1, 1), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1), (273, 4, 1, 0),
              (277, 3, 1, 1), (278, 4, 1, 1), (279, 4, 1, 1)]  # fmt: skip
    page = struct.pack("<H", len(fields)) + b"".join(struct.pack("<HHII", *field) for field in fields)
    size = len(page) + 4
    following = [8 + size * number for number in range(1, count)] + [0]
    return b"II*\0" + struct.pack("<I", 8) + b"".join(page + struct.pack("<I", place) for place in following)


def bmp(height: int, width: int, compression: int, data: bytes = b"") -> bytes:
    info = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, compression, len(data), 0, 0, 256, 0)
    return b"BM" + struct.pack("<IHHI", 54 + 1024 + len(data), 0, 0, 54 + 1024) + info + bytes(1024) + data


def jp2(height: int, width: int, tile: int, components: int) -> bytes:
    """The main header of a JPEG 2000 codestream, and nothing behind it."""
    size = struct.pack(">HIIIIIIIIH", 0, width, height, 0, 0, tile, tile, 0, 0, components) + b"\7\1\1" * components
    coding = b"\xff\x52\0\x0c\0\0\0\1\0\5\4\4\0\1"
    quantization = b"\xff\x5c\0\x13\x40" + b"\x40" * 16
    return b"\xff\x4f\xff\x51" + struct.pack(">H", len(size) + 2) + size + coding + quantization + b"\xff\xd9"


def nested_boxes(depth: int, kind: bytes, brand: bytes) -> bytes:
    """ISO base media boxes inside one another."""
    head = struct.pack(">I", 16) + b"ftyp" + brand + bytes(4)
    sizes = range(8 * depth, 0, -8)
    return head + b"".join(struct.pack(">I", size) + kind for size in sizes)


def picture_bombs() -> Iterator[Made]:
    mega = (10_900, 10_900)  # 118.8 megapixels: just below the limit of a picture
    yield "webp-34.webp", "34 bytes that claim 16383 x 16383", lambda: webp(16_383, 16_383)
    yield "webp-119.webp", "34 bytes, 119 megapixels", lambda: webp(*mega)
    yield "webp-wide.webp", "one row of 16,383 pixels", lambda: webp(16_383, 1)
    yield "webp-canvas.webp", "2,000 frames on 10,000 x 10,000", lambda: animated_webp(10_000, 2000)
    yield "webp-frames.webp", "3,000 frames on 4,000 x 4,000", lambda: animated_webp(4000, 3000)
    yield "webp-largest.webp", "100 frames on 16,383 x 16,383", lambda: animated_webp(16_383, 100)
    for name, depth, colour in (
        ("grey1", 1, 0),
        ("grey8", 8, 0),
        ("grey16", 16, 0),
        ("rgb8", 8, 2),
        ("rgba8", 8, 6),
        ("la16", 16, 4),
    ):
        yield f"png-{name}.png", f"119 megapixels, {name}", partial(png, mega, depth, colour)
    palette = (chunk(b"PLTE", bytes(768)), chunk(b"tRNS", bytes(256)))
    yield "png-palette.png", "119 megapixels, a transparent palette", lambda: png(mega, 8, 3, *palette)
    yield (
        "png-key.png",
        "119 megapixels, 16 bits, a transparent grey",
        lambda: png(mega, 16, 0, chunk(b"tRNS", bytes(2))),
    )
    yield "png-adam7.png", "119 megapixels, interlaced", lambda: png(mega, 8, 2, interlaced=True)
    yield "png-30000.png", "900 megapixels", lambda: png((30_000, 30_000), 1, 0)
    yield "png-claims.png", "2 gigapixels a side", lambda: png_with()[:16] + b"\x7f\xff\xff\xff" * 2 + png_with()[24:]
    yield "png-icc.png", "1 GB in a profile", lambda: png_with(chunk(b"iCCP", b"x\0\0" + deflated(2**30)))
    yield "png-ztxt.png", "1 GB in a text", lambda: png_with(chunk(b"zTXt", b"k\0\0" + deflated(2**30)))
    yield (
        "png-ztxts.png",
        "600 MB in 10,000 texts",
        lambda: png_with(*[chunk(b"zTXt", b"k\0\0" + deflated(60_000))] * 10_000),
    )
    yield "png-idats.png", "a million empty chunks of pixels", lambda: png_with(chunk(b"IDAT", b"") * 1_000_000)
    yield "png-chunks.png", "a million unknown chunks", lambda: png_with(chunk(b"quUx", b"") * 1_000_000)
    yield (
        "png-apng.png",
        "an animation that claims 2^31 frames",
        lambda: png_with(chunk(b"acTL", struct.pack(">II", 2**31 - 1, 0))),
    )
    for side, scans in ((4000, 2000), (8000, 5000), (1000, 20_000)):
        yield f"jpeg-scans{side}.jpg", f"{scans:,} scans of {side} x {side}", partial(jpeg_scans, side, scans)
    yield "jpeg-comments.jpg", "300,000 comments", lambda: jpeg_segments(300_000, b"\xfe", b"x")
    yield "jpeg-exif.jpg", "5,000 EXIF blocks", lambda: jpeg_segments(5000, b"\xe1", b"Exif\0\0II*\0\x08\0\0\0\0\0")
    yield (
        "jpeg-mpo.jpg",
        "3,000 headers of several pictures",
        lambda: jpeg_segments(3000, b"\xe2", b"MPF\0II*\0\x08\0\0\0"),
    )
    yield (
        "jpeg-icc.jpg",
        "16 MB of profile in 255 pieces",
        lambda: jpeg_segments(255, b"\xe2", b"ICC_PROFILE\0\1\xff" + bytes(65_000)),
    )
    yield (
        "jpeg-app13.jpg",
        "2,000 blocks of Photoshop",
        lambda: jpeg_segments(2000, b"\xed", b"Photoshop 3.0\x008BIM\4\4\0\0\0\0\0\0"),
    )
    yield "jpeg-tables.jpg", "20,000 tables", lambda: jpeg_segments(20_000, b"\xdb", b"\0" + b"\1" * 64)
    yield "jpeg-fill.jpg", "20 MB of filling", lambda: b"\xff\xd8" + b"\xff" * 20_000_000
    yield "jpeg-65535.jpg", "claims 65535 x 65535", lambda: jpeg_claiming(65_535, 65_535)
    yield "jpeg-119.jpg", "claims 119 megapixels", lambda: jpeg_claiming(10_896, 10_896)
    yield "jpeg-0.jpg", "claims no rows", lambda: jpeg_claiming(0, 100)
    yield "gif-65535.gif", "a canvas of 65535 x 65535", lambda: gif(65_535, 3)
    yield "gif-canvas.gif", "5,000 frames on 10,000 x 10,000", lambda: gif(10_000, 5000)
    yield "gif-frames.gif", "60,000 frames", lambda: gif(1000, 60_000)
    yield "gif-loop.gif", "a million extensions", lambda: gif(10, 1)[:-1] + b"\x21\xfe\1x\0" * 1_000_000
    yield "tiff-loop.tif", "a loop of directories", tiff_loop
    yield "tiff-pages.tif", "20,000 pages", lambda: tiff_pages(20_000)
    yield "tiff-claims.tif", "claims 2^31 pixels a side", lambda: tiff_claiming(2**31 - 1, 2**31 - 1)
    yield "tiff-119.tif", "claims 119 megapixels", lambda: tiff_claiming(*mega, data=bytes(100))
    yield (
        "tiff-deflate.tif",
        "119 megapixels, deflated",
        lambda: tiff_claiming(*mega, compression=8, data=deflated(mega[0] * mega[1])),
    )
    yield (
        "tiff-lzw.tif",
        "119 megapixels of rubbish LZW",
        lambda: tiff_claiming(*mega, compression=5, data=noise(100_000)),
    )
    yield (
        "tiff-fax.tif",
        "119 megapixels of rubbish fax",
        lambda: tiff_claiming(*mega, compression=4, data=noise(100_000)),
    )
    yield "tiff-jpeg.tif", "a broken JPEG inside", lambda: tiff_claiming(5000, 5000, compression=7, data=noise(5000))
    yield (
        "tiff-count.tif",
        "a tag of 2^32 values",
        lambda: tiff_claiming(100, 100)[:-14] + b"\xff\xff\xff\xff" + bytes(10),
    )
    yield "bmp-claims.bmp", "claims 2^31 pixels a side", lambda: bmp(2**31 - 1, 2**31 - 1, 0)
    yield "bmp-rle.bmp", "119 megapixels of runs", lambda: bmp(*mega, 1, b"\xff\1" * 500_000)
    yield "bmp-delta.bmp", "leaps instead of pixels", lambda: bmp(*mega, 1, b"\0\2\xff\xff" * 100_000)
    yield "bmp-minus.bmp", "a negative size", lambda: bmp(-(2**31), 100, 0)
    yield "ppm-claims.ppm", "claims 100,000 x 100,000", lambda: b"P6 100000 100000 255\n" + bytes(100)
    yield "ppm-digits.ppm", "a number of a million digits", lambda: b"P6 " + b"9" * 1_000_000 + b" 1 255\n"
    yield "ppm-text.ppm", "119 megapixels as text", lambda: b"P3 10900 10900 255\n" + b"0 " * 1_000_000
    yield "ppm-comment.ppm", "a comment of 10 MB", lambda: b"P6\n#" + b"x" * 10_000_000
    yield "pbm-119.pbm", "119 megapixels of bits as text", lambda: b"P1 10900 10900\n" + b"01" * 1_000_000
    yield "jp2-claims.jp2", "claims 2^32 pixels a side", lambda: jp2(2**32 - 1, 2**32 - 1, 2**32 - 1, 3)
    yield "jp2-tiles.jp2", "65,000 tiles", lambda: jp2(10_900, 10_900, 43, 3)
    yield "jp2-components.jp2", "16,384 components", lambda: jp2(100, 100, 100, 16_384)
    for depth in (1000, 200_000):
        for kind, brand in ((b"meta", b"heic"), (b"iprp", b"avif"), (b"moov", b"isom"), (b"trak", b"qt  ")):
            name = f"boxes-{depth}-{kind.decode()}.{brand.decode().strip()}"
            yield name, f"{depth:,} boxes in one another", partial(nested_boxes, depth, kind, brand)
    heic = photo("HEIF")
    yield "heic-size.heic", "claims 65535 x 65535", lambda: _larger(heic, b"ispe")
    yield "avif-size.avif", "claims 65535 x 65535", lambda: _larger(photo("AVIF"), b"ispe")


def _larger(data: bytes, box: bytes) -> bytes:
    at = data.index(box) + 8
    return data[:at] + struct.pack(">II", 65_535, 65_535) + data[at + 8 :]

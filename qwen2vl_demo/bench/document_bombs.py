"""Small PDFs that never end or need all memory, and clips that claim to be endless."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from functools import partial

from qwen2vl_demo.bench.clip_samples import encoded, ordinary
from qwen2vl_demo.bench.document_samples import PAGE, pdf
from qwen2vl_demo.bench.picture_bombs import Made, deflated
from qwen2vl_demo.bench.picture_samples import noise, saved
from qwen2vl_demo.bench.samples import quadrants

FORM = b"<</Type/XObject/Subtype/Form/BBox[0 0 84 56]%b/Length %d>>stream\n%b\nendstream"


def stream(number: int, entries: bytes, content: bytes) -> bytes:
    return b"%d 0 obj<<%b/Length %d>>stream\n%b\nendstream endobj" % (number, entries, len(content), content)


def form(number: int, content: bytes, entries: bytes = b"") -> bytes:
    return stream(number, b"/Type/XObject/Subtype/Form/BBox[0 0 84 56]" + entries, content)


def drawing(content: bytes, *more: bytes, resources: bytes = b"", page: bytes = PAGE) -> bytes:
    """A page with this content; `more` are objects and `resources` names for them."""
    return pdf(page + b"/Resources<<%b>>" % resources, content=content, more=more)


def recursive_forms(width: int, depth: int) -> bytes:
    """Each form draws the next one `width` times: width ** depth drawings in a few hundred bytes."""
    forms = [
        form(
            20 + i,
            b"/F Do " * width if i < depth else b"0 0 9 9 re f",
            b"/Resources<</XObject<</F %d 0 R>>>>" % (21 + i),
        )
        for i in range(depth + 1)
    ]
    return drawing(b"/F Do", *forms, resources=b"/XObject<</F 20 0 R>>")


def masks(depth: int) -> bytes:
    """Soft masks inside soft masks."""
    objects = []
    for i in range(depth):
        state = b"/ExtGState<</G<</SMask<</S/Luminosity/G %d 0 R>>>>>>" % (21 + i) if i < depth - 1 else b""
        entries = b"/Group<</S/Transparency/CS/DeviceGray>>/Resources<<%b>>" % state
        objects.append(form(20 + i, b"/G gs 0 0 84 56 re f" * 4, entries))
    return drawing(
        b"/G gs 0 0 84 56 re f " * 200, *objects, resources=b"/ExtGState<</G<</SMask<</S/Luminosity/G 20 0 R>>>>>>"
    )


def shading(count: int, function: bytes) -> bytes:
    return drawing(
        b"/S sh " * count,
        resources=b"/Shading<</S<</ShadingType 1/ColorSpace/DeviceRGB/Domain[0 1 0 1]/Matrix[84 0 0 56 0 0]"
        b"/Function 20 0 R>>>>",
        page=b"/MediaBox[0 0 4000 4000]",
    ).replace(b"4 0 obj", stream(20, b"/FunctionType 4/Domain[0 1 0 1]/Range[0 1 0 1 0 1]", function) + b"\n4 0 obj")


def image(
    width: int, height: int, bits: int, filters: bytes, data: bytes, more: bytes = b"/ColorSpace/DeviceRGB"
) -> bytes:
    entries = b"/Type/XObject/Subtype/Image/Width %d/Height %d/BitsPerComponent %d%b%b" % (
        width,
        height,
        bits,
        more,
        filters,
    )
    return drawing(b"84 0 0 56 0 0 cm /I Do", stream(20, entries, data), resources=b"/XObject<</I 20 0 R>>")


def pdf_bombs() -> Iterator[Made]:
    for width, depth in ((10, 9), (2, 30), (100, 5), (1, 3000)):
        name = f"forms-{width}-{depth}.pdf"
        yield (
            name,
            f"{width} forms in each of {depth} levels",
            partial(recursive_forms, width, depth),
        )
    itself = form(20, b"/F Do /F Do", b"/Resources<</XObject<</F 20 0 R>>>>")
    yield (
        "form-itself.pdf",
        "a form that draws itself",
        lambda: drawing(b"/F Do", itself, resources=b"/XObject<</F 20 0 R>>"),
    )
    for name, operator in (
        ("lines", b"0 0 m 84 56 l S "), ("curves", b"0 0 m 84 0 0 56 84 56 c S "), ("fills", b"0 0 84 56 re f "),
        ("even-odd", b"0 0 84 56 re 5 5 50 50 re f* "), ("clips", b"0 0 84 56 re W n "), ("states", b"q "),
        ("dashes", b"[.01 .01] 0 d 0 0 m 84 56 l S "), ("texts", b"BT ET "), ("rubbish", b"x "), ("arrays", b"[ "),
        ("inline", b"BI /W 1 /H 1 /BPC 8 /CS /G ID x EI "), ("numbers", b"1 "), ("matrices", b"1.1 0 0 1.1 0 0 cm "),
    ):  # fmt: skip
        yield (
            f"{name}.pdf",
            f"2 million times {operator.decode().strip()}",
            partial(_repeated, operator),
        )
    yield (
        "one-path.pdf",
        "a path of a million pieces",
        lambda: _packed(b"0 0 m " + b"84 0 0 56 9 9 c 1 1 l " * 1_000_000 + b"S"),
    )
    yield "dash.pdf", "a line of a billion dashes", lambda: drawing(b"[1e-7 1e-7] 0 d 50 w 0 0 m 84 56 l S")
    yield "wide-line.pdf", "a line of 1e30", lambda: drawing(b"1e30 w 0 0 m 1e30 1e30 l S 1 J 1 j 0 0 m 1 1 l S")
    yield "masks.pdf", "soft masks in soft masks", lambda: masks(12)
    yield "masks-deep.pdf", "2,000 soft masks in one another", lambda: masks(2000)
    yield "shading.pdf", "20,000 shadings of a page", lambda: shading(20_000, b"{ 2 copy add sin }")
    yield (
        "function.pdf",
        "a function of a million steps",
        lambda: shading(3, b"{" + b" dup mul sin 1 add" * 250_000 + b" 0 }"),
    )
    tile = stream(
        20,
        b"/Type/Pattern/PatternType 1/PaintType 1/TilingType 1/BBox[0 0 1 1]/XStep .001/YStep .001/Resources<<>>",
        b"0 0 1 1 re f",
    )
    yield (
        "tiles.pdf",
        "a pattern of 5 billion tiles",
        lambda: drawing(b"/Pattern cs /P scn 0 0 84 56 re f", tile, resources=b"/Pattern<</P 20 0 R>>"),
    )
    glyph = (
        b"20 0 obj<</Type/Font/Subtype/Type3/FontBBox[0 0 1 1]/FontMatrix[1 0 0 1 0 0]/FirstChar 97/LastChar 97"
        b"/Widths[1]/Encoding<</Differences[97/a]>>/CharProcs<</a 21 0 R>>/Resources<</Font<</T 20 0 R>>>>>>endobj"
    )
    loop = stream(21, b"", b"1 0 d0 BT /T 1 Tf (aaaaaaaaaa) Tj ET")
    yield (
        "type3.pdf",
        "a letter that writes itself",
        lambda: drawing(b"BT /T 9 Tf (aaaa) Tj ET", glyph, loop, resources=b"/Font<</T 20 0 R>>"),
    )
    flate = b"/Filter/FlateDecode"
    yield (
        "flate.pdf",
        "1 GB of content",
        lambda: pdf(PAGE).replace(b"4 0 obj", stream(4, flate, deflated(2**30)) + b"\n5 0 obj"),
    )
    yield (
        "flates.pdf",
        "content deflated four times",
        lambda: drawing(b"").replace(
            b"4 0 obj", stream(4, b"/Filter[" + b"/FlateDecode " * 4 + b"]", _deflated_again()) + b"\n5 0 obj"
        ),
    )
    yield "image.pdf", "a picture of 30,000 x 30,000", lambda: image(30_000, 30_000, 8, flate, deflated(2**28))
    yield "image-claims.pdf", "a picture of 2^31 pixels a side", lambda: image(2**31 - 1, 2**31 - 1, 8, b"", b"x")
    yield (
        "fax.pdf",
        "rubbish fax of 30,000 x 30,000",
        lambda: image(
            30_000,
            30_000,
            1,
            b"/Filter/CCITTFaxDecode/DecodeParms<</K -1/Columns 30000>>",
            noise(10_000),
            b"/ColorSpace/DeviceGray",
        ),
    )
    yield (
        "jbig2.pdf",
        "rubbish JBIG2 of 30,000 x 30,000",
        lambda: image(
            30_000,
            30_000,
            1,
            b"/Filter/JBIG2Decode",
            struct.pack(">IBBBIIIIIBH", 0, 48, 0, 1, 19, 2**31, 2**31, 0, 0, 0, 0),
            b"/ColorSpace/DeviceGray",
        ),
    )
    yield "jpx.pdf", "rubbish JPEG 2000", lambda: image(9000, 9000, 8, b"/Filter/JPXDecode", noise(2000))
    yield (
        "dct.pdf",
        "a JPEG cut off",
        lambda: image(9000, 9000, 8, b"/Filter/DCTDecode", saved(quadrants(), "JPEG")[:400]),
    )
    yield (
        "tree.pdf",
        "a tree of pages that holds itself",
        lambda: pdf(PAGE).replace(b"/Kids[10 0 R]", b"/Kids[2 0 R 10 0 R]"),
    )
    yield "count.pdf", "claims two billion pages", lambda: pdf(PAGE).replace(b"/Count 1", b"/Count 2147483647")
    yield "pages.pdf", "100,000 pages", lambda: pdf(*[PAGE] * 100_000)
    yield "minus.pdf", "claims fewer than no pages", lambda: pdf(PAGE).replace(b"/Count 1", b"/Count -5")
    yield "deep-array.pdf", "a million arrays in one another", lambda: pdf(PAGE + b"/X " + b"[" * 1_000_000)
    yield "deep-dict.pdf", "300,000 dictionaries in one another", lambda: pdf(PAGE + b"/X " + b"<</A" * 300_000)
    yield (
        "objects.pdf",
        "500,000 objects",
        lambda: pdf(PAGE, more=[b"%d 0 obj 1 endobj" % i for i in range(1000, 501_000)]),
    )
    yield (
        "length.pdf",
        "a stream whose length is its own",
        lambda: pdf(PAGE).replace(b"/Length ", b"/Length 4 0 R/X ", 1),
    )
    yield (
        "prev.pdf",
        "tables that refer to one another",
        lambda: pdf(PAGE, trailer=b"/Prev 9") + b"\nstartxref\n9\n%%EOF",
    )
    yield (
        "objstm.pdf",
        "1 GB of objects",
        lambda: pdf(PAGE, more=[stream(20, b"/Type/ObjStm/N 1000000/First 5" + flate, deflated(2**30))]),
    )
    yield (
        "user-units.pdf",
        "3,000 streams to look for units in",
        _many_object_streams,
    )
    yield (
        "script.pdf",
        "a script without end",
        lambda: pdf(PAGE).replace(b"/Catalog", b"/Catalog/OpenAction<</S/JavaScript/JS(for(;;\\){})>>"),
    )
    yield "unit.pdf", "a page of 14,400 units of 75,000", lambda: pdf(b"/MediaBox[0 0 14400 14400]/UserUnit 75000")
    yield "strip.pdf", "a page of 14,400 x 0.001", lambda: pdf(b"/MediaBox[0 0 14400 .001]")
    yield "nan.pdf", "a page without numbers", lambda: pdf(b"/MediaBox[nan inf -inf 1e999]")


def _many_object_streams() -> bytes:
    megabyte = deflated(2**20)
    entries = b"/Type/ObjStm/N 1/First 5/Filter/FlateDecode"
    return pdf(PAGE, more=[stream(number, entries, megabyte) for number in range(100, 3100)])


def _packed(content: bytes) -> bytes:
    return pdf(PAGE).replace(b"4 0 obj", stream(4, b"/Filter/FlateDecode", zlib.compress(content)) + b"\n5 0 obj")


def _repeated(operator: bytes) -> bytes:
    return _packed(operator * 2_000_000)


def _deflated_again() -> bytes:
    data = deflated(2**30)
    for _ in range(3):
        data = zlib.compress(data, 9)
    return data


def box(kind: bytes, *content: bytes) -> bytes:
    body = b"".join(content)
    return struct.pack(">I", 8 + len(body)) + kind + body


def motion_jpeg(count: int, size: tuple[int, int], *, duration: int = 1, real: bool = True) -> bytes:
    """A QuickTime file that claims `count` frames, all of which are the same JPEG of the given size."""
    height, width = size
    picture = saved(quadrants(size=size), "JPEG", quality=20) if real else b"\xff\xd8"
    entry = box(
        b"jpeg", bytes(6), struct.pack(">H", 1), bytes(16), struct.pack(">HH", width, height),
        struct.pack(">III", 72 << 16, 72 << 16, 0), struct.pack(">H", 1), bytes(32), struct.pack(">Hh", 24, -1),
    )  # fmt: skip
    head = box(b"ftyp", b"qt  ", bytes(4), b"qt  ")
    start = len(head) + 8
    table = box(
        b"stbl", box(b"stsd", bytes(4), struct.pack(">I", 1), entry),
        box(b"stts", bytes(4), struct.pack(">III", 1, count, duration)),
        box(b"stsc", bytes(4), struct.pack(">IIII", 1, 1, 1, 1)),
        box(b"stsz", bytes(4), struct.pack(">II", len(picture), count)),
        box(b"stco", bytes(4), struct.pack(">I", count), struct.pack(">I", start) * count),
    )  # fmt: skip
    reference = box(b"dinf", box(b"dref", bytes(4), struct.pack(">I", 1), box(b"url ", b"\0\0\0\1")))
    total = min(count * duration, 2**32 - 1)
    media = box(
        b"mdia", box(b"mdhd", bytes(12), struct.pack(">IIHH", 100, total, 0, 0)),
        box(b"hdlr", bytes(8), b"vide", bytes(12), b"\0"),
        box(b"minf", box(b"vmhd", b"\0\0\0\1", bytes(8)), reference, table),
    )  # fmt: skip
    matrix = struct.pack(">9I", 65536, 0, 0, 0, 65536, 0, 0, 0, 1 << 30)
    track = box(
        b"tkhd", b"\0\0\0\1", bytes(8), struct.pack(">II", 1, 0), struct.pack(">I", total), bytes(16), matrix,
        struct.pack(">II", width << 16, height << 16),
    )  # fmt: skip
    movie = box(
        b"mvhd", bytes(12), struct.pack(">II", 100, total), struct.pack(">IH", 65536, 256), bytes(10), matrix,
        bytes(24), struct.pack(">I", 2),
    )  # fmt: skip
    return head + box(b"mdat", picture) + box(b"moov", movie, box(b"trak", track, media))


def clip_bombs() -> Iterator[Made]:
    eight_k = (4320, 7680)
    yield "frames-8k.mov", "claims 499,000 frames of 8K", lambda: motion_jpeg(499_000, eight_k)
    yield "frames-hd.mov", "claims 490,000 frames of HD", lambda: motion_jpeg(490_000, (1080, 1920))
    yield "frames-none.mov", "499,000 frames that are none", lambda: motion_jpeg(499_000, (480, 640), real=False)
    yield "frames-2h.mov", "700 frames of 8K over two hours", lambda: motion_jpeg(700, eight_k, duration=1000)
    yield "frames-millions.mov", "claims four million frames", lambda: motion_jpeg(4_000_000, (64, 64))
    plain = encoded(ordinary())
    yield "stts.mp4", "a table of 2^32 times", lambda: plain.replace(b"stts" + bytes(4), b"stts\0\0\0\0\xff", 1)
    yield "stsz.mp4", "a table of 2^31 sizes", lambda: _entry(plain, b"stsz", 12, 2**31)
    yield "size-0.mp4", "boxes of no size", lambda: plain[:40] + bytes(2000)
    yield "size-64.mp4", "a box of 2^63 bytes", lambda: plain[:32] + b"\0\0\0\1mdat\x7f" + b"\xff" * 7 + plain[32:]
    yield "mdhd.mp4", "a clock without ticks", lambda: _entry(plain, b"mdhd", 16, 0)
    yield (
        "edits.mp4",
        "200,000 edits",
        lambda: (
            plain
            + box(
                b"moov",
                box(b"trak", box(b"edts", box(b"elst", bytes(4), struct.pack(">I", 200_000), bytes(2_400_000)))),
            )
        ),
    )
    yield "brands.mp4", "an ftyp of 20 MB", lambda: box(b"ftyp", b"isom", bytes(4), b"isom" * 5_000_000)
    matroska = encoded(ordinary(), "matroska")
    yield (
        "size.mkv",
        "elements of unknown size",
        lambda: matroska[:60] + b"\x1f\x43\xb6\x75\x01" + b"\xff" * 7 + matroska[60:],
    )
    yield "void.mkv", "a million empty elements", lambda: matroska[:40] + b"\xec\x80" * 1_000_000 + matroska[40:]
    yield "tags.mkv", "nested tags", lambda: matroska + b"\x12\x54\xc3\x67\x81" * 100_000
    avi = encoded(ordinary(), "avi", "mpeg4")
    yield "lists.avi", "100,000 lists in one another", lambda: avi[:12] + b"LIST\xff\xff\xff\x7fmovi" * 100_000
    yield "index.avi", "an index of 2^31 entries", lambda: avi + b"idx1\xff\xff\xff\x7f" + bytes(1000)
    yield "sync.ts", "10 MB of empty packets", lambda: (b"\x47\x1f\xff\x10" + b"\xff" * 184) * 55_000
    yield "random.ts", "packets of rubbish", lambda: b"".join(b"\x47" + noise(187) for _ in range(2000))
    yield "start-codes.h264", "a million start codes", lambda: b"\0\0\1\x67" * 1_000_000
    yield "start-codes.m2v", "a million start codes", lambda: b"\0\0\1\xb3" * 1_000_000
    yield "header.y4m", "a header of 10 MB", lambda: b"YUV4MPEG2 W64 H64 F30:1 X" + b"x" * 10_000_000 + b"\nFRAME\n"
    yield (
        "claims.y4m",
        "claims 2^31 pixels a side",
        lambda: b"YUV4MPEG2 W2147483647 H2147483647 F1:1\nFRAME\n" + bytes(99),
    )
    yield "claims.ivf", "claims 65535 x 65535", lambda: b"DKIF\0\0\x20\0VP90\xff\xff\xff\xff" + bytes(16) + noise(500)
    yield "flv.flv", "tags of no length", lambda: b"FLV\1\1\0\0\0\x09" + bytes(2_000_000)


def _entry(data: bytes, kind: bytes, offset: int, value: int) -> bytes:
    at = data.index(kind) + offset
    return data[:at] + struct.pack(">I", value) + data[at + 4 :]

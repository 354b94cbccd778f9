"""Pictures for the tests, written byte by byte where no library writes what is needed."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Sequence

import numpy as np
import PIL.Image
import skimage.data

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
XMP_TURNED = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF><rdf:Description tiff:Orientation="6"/></rdf:RDF></x:xmpmeta>'
)
TIFF_TYPES = {1: "B", 3: "H", 4: "I"}


def photograph() -> np.ndarray:
    """(90, 120, 3): a photograph with no symmetry."""
    return np.ascontiguousarray(skimage.data.astronaut()[60:150, 180:300])


def saved(image: PIL.Image.Image, format: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def turned_exif(orientation: int = 6) -> bytes:
    """An EXIF block with "Exif" before it, as in JPEG; PNG and WebP have it without these six bytes."""
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    return exif.tobytes()


def chunk(name: bytes, body: bytes, *, intact: bool = True) -> bytes:
    """A PNG chunk; with a wrong checksum if not `intact`."""
    checksum = zlib.crc32(name + body) ^ (not intact)
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", checksum)


def png(pixels: np.ndarray, before: Sequence[bytes] = (), after: Sequence[bytes] = ()) -> bytes:
    """A PNG of (H, W, 3) or (H, W) uint8, with chunks before and after the pixels."""
    height, width = pixels.shape[:2]
    header = struct.pack(">IIBBBBB", width, height, 8, 2 if pixels.ndim == 3 else 0, 0, 0, 0)
    data = zlib.compress(b"".join(b"\0" + row.tobytes() for row in pixels))
    chunks = [chunk(b"IHDR", header), *before, chunk(b"IDAT", data), *after, chunk(b"IEND", b"")]
    return PNG_SIGNATURE + b"".join(chunks)


def segment(marker: int, body: bytes) -> bytes:
    """A JPEG segment."""
    return bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body


def with_segments(jpeg: bytes, *segments: bytes) -> bytes:
    """A JPEG with segments at its beginning."""
    return jpeg[:2] + b"".join(segments) + jpeg[2:]


def riff(name: bytes, body: bytes) -> bytes:
    """A chunk of a WebP file."""
    return name + struct.pack("<I", len(body)) + body + bytes(len(body) % 2)


def webp(pixels: np.ndarray, *chunks: bytes, flags: int = 0) -> bytes:
    """A lossless WebP with chunks of metadata behind the picture."""
    height, width = pixels.shape[:2]
    header = bytes([flags, 0, 0, 0]) + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    picture = saved(PIL.Image.fromarray(pixels), "WEBP", lossless=True)[12:]
    content = b"WEBP" + riff(b"VP8X", header) + picture + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(content)) + content


def tiff(
    samples: np.ndarray,
    photometric: int,
    *,
    sample_format: int = 1,
    planar: int = 1,
    deflate: bool = False,
    big_endian: bool = False,
    extra: Sequence[int] = (),
    tags: Sequence[tuple[int, int, Sequence[int]]] = (),
) -> bytes:
    """A TIFF of (H, W, samples), two strips a plane; `tags` are further ones: number, type, values."""
    order = ">" if big_endian else "<"
    height, width, count = samples.shape
    data = samples.astype(samples.dtype.newbyteorder(order))
    planes = [data] if planar == 1 else [data[..., i] for i in range(count)]
    rows = -(-height // 2)
    strips = [plane[top : top + rows].tobytes() for plane in planes for top in range(0, height, rows)]
    strips = [zlib.compress(strip) if deflate else strip for strip in strips]
    starts = np.cumsum([8, *map(len, strips)])
    directory: list[tuple[int, int, Sequence[int]]] = [
        *((256, 3, [width]), (257, 3, [height]), (258, 3, [8 * samples.itemsize] * count)),
        *((259, 3, [8 if deflate else 1]), (262, 3, [photometric]), (273, 4, starts[:-1].tolist()), (277, 3, [count])),
        *((278, 3, [rows]), (279, 4, [*map(len, strips)]), (284, 3, [planar]), (339, 3, [sample_format] * count)),
        *([(338, 3, extra)] if extra else []),
        *tags,
    ]
    offset = int(starts[-1] + starts[-1] % 2)
    behind = offset + 2 + 12 * len(directory) + 4
    entries = values = b""
    for tag, kind, numbers in sorted(directory):
        packed = struct.pack(order + TIFF_TYPES[kind] * len(numbers), *numbers)
        if len(packed) > 4:
            packed, values = struct.pack(order + "I", behind + len(values)), values + packed + bytes(len(packed) % 2)
        entries += struct.pack(order + "HHI", tag, kind, len(numbers)) + packed.ljust(4, b"\0")
    head = (b"MM\0*" if big_endian else b"II*\0") + struct.pack(order + "I", offset)
    body = b"".join(strips) + bytes(int(starts[-1]) % 2)
    return head + body + struct.pack(order + "H", len(directory)) + entries + bytes(4) + values


def grey_profile(gamma: float) -> bytes:
    """An ICC profile of grey levels with this exponent."""
    d50 = struct.pack(">3i", 63190, 65536, 54061)
    tags = {b"wtpt": b"XYZ " + bytes(4) + d50, b"kTRC": b"curv" + struct.pack(">4xIH", 1, round(gamma * 256))}
    return _icc(b"mntr", b"GRAY", b"XYZ ", tags)


def cmyk_profile() -> bytes:
    """An ICC profile of an imagined press: a table of two levels for each ink. White paper is a warm one; the inks let
    a part of the light through, and overprints are their products."""
    through = np.array([[0.15, 0.55, 0.85], [0.75, 0.15, 0.40], [0.95, 0.85, 0.12], [0.07, 0.07, 0.07]])  # of each ink
    grid = np.stack(np.meshgrid(*[[0, 1]] * 4, indexing="ij"), -1).reshape(-1, 4)
    linear = np.prod(np.where(grid[..., None] == 1, through, 1.0), axis=1) * [0.98, 0.96, 0.90]
    matrix = [[0.43607, 0.38515, 0.14307], [0.22249, 0.71687, 0.06061], [0.01392, 0.09708, 0.71410]]
    f = np.cbrt((linear @ np.transpose(matrix)) / [0.9642, 1.0, 0.8249])
    lab = np.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], -1)
    encoded = np.rint(lab * [2.55, 1, 1] + [0, 128, 128]).clip(0, 255).astype(np.uint8)
    identity = struct.pack(">9i", *(65536 * (i % 4 == 0) for i in range(9)))
    ramp = bytes(range(256))
    table = b"mft1" + struct.pack(">4xBBBx", 4, 3, 2) + identity + ramp * 4 + encoded.tobytes() + ramp * 3
    d50 = b"XYZ " + bytes(4) + struct.pack(">3i", 63190, 65536, 54061)
    return _icc(b"prtr", b"CMYK", b"Lab ", {b"wtpt": d50, b"A2B0": table, b"A2B1": table})


def _icc(kind: bytes, space: bytes, connection: bytes, tags: dict[bytes, bytes]) -> bytes:
    words = b"desc" + struct.pack(">4xI", 5) + b"test\0" + bytes(78)
    tags = {b"desc": words, b"cprt": b"text" + bytes(5), **tags}
    table, data, start = struct.pack(">I", len(tags)), b"", 132 + 12 * len(tags)
    for name, body in tags.items():
        table += struct.pack(">4sII", name, start + len(data), len(body))
        data += body + bytes(-len(body) % 4)
    head = struct.pack(">I4xI4s4s4s12x4s", start + len(data), 0x02100000, kind, space, connection, b"acsp")
    return head.ljust(68, b"\0") + struct.pack(">3i", 63190, 65536, 54061) + bytes(48) + table + data

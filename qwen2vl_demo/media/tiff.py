"""Opening TIFF pictures and pages: what Pillow reads wrongly is corrected, what it cannot read is refused by name.

A TIFF file is a chain of directories of tags, each of a picture: pages, but also thumbnails and masks. Raw photos of
cameras are TIFF files as well; what a decoder finds in them is a thumbnail or undeveloped data. (TIFF 6.0; DNG 1.7.)
"""

from __future__ import annotations

import struct
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, BinaryIO, cast

import numpy as np
import PIL.Image
from PIL import TiffImagePlugin
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from qwen2vl_demo.errors import UserError
from qwen2vl_demo.media.rewritten_file import RewrittenFile
from qwen2vl_demo.media.rgb import WIDE_SAMPLES, WideSamples

SUBFILE_TYPE, OLD_SUBFILE_TYPE, BITS, COMPRESSION, PHOTOMETRIC, ORIENTATION = 254, 255, 258, 259, 262, 274
STRIP_OFFSETS, SAMPLES, ROWS_PER_STRIP, STRIP_BYTES, PLANAR, SUB_DIRECTORIES = 273, 277, 278, 279, 284, 330
TILE_OFFSETS, TILE_BYTES, EXTRA_SAMPLES, SAMPLE_FORMAT, DNG_VERSION = 324, 325, 338, 339, 50706
COPIED = (256, 257, COMPRESSION, 266, ROWS_PER_STRIP, 317, 322, 323)  # tags of a picture that its planes have as well
WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, CMYK, YCBCR = 0, 1, 2, 5, 6  # values of PHOTOMETRIC
COLOUR_FILTER, LINEAR_RAW = 32803, 34892  # the same, of raw photos
REDUCED, MASK, OLD_REDUCED = 1, 4, 2  # bits of SUBFILE_TYPE, value of OLD_SUBFILE_TYPE
UNSIGNED, SIGNED, FLOAT = 1, 2, 3  # values of SAMPLE_FORMAT
SEPARATE = 2  # value of PLANAR: each sample has a plane of its own
ALPHA = (1, 2)  # values of EXTRA_SAMPLES; 1 is premultiplied
MODES = {  # photometric interpretation and alpha, if any: mode of the planes together
    (BLACK_IS_ZERO, None): "L", (BLACK_IS_ZERO, 1): "La", (BLACK_IS_ZERO, 2): "LA",
    (RGB, None): "RGB", (RGB, 1): "RGBa", (RGB, 2): "RGBA", (CMYK, None): "CMYK",
}  # fmt: skip
# libtiff hands out samples in this machine's byte order, while Pillow goes on to read them in that of the file
NATIVE = {"I;16BS": "I;16NS", "I;32BS": "I;32NS", "F;32BF": "F;32NF"}
MAX_DIRECTORIES = 10_000


@dataclass(frozen=True)
class Directory:
    """What is needed of a directory to know what it is. Tags that are absent are None."""

    index: int  # in the chain
    subfile_type: int | None
    old_subfile_type: int | None
    photometric: int | None
    dng: bool
    sub_directories: tuple[int, ...]  # offsets

    @property
    def page(self) -> bool:
        """Whether this is a picture of its own, not another one's thumbnail or mask."""
        reduced = (self.subfile_type or 0) & (REDUCED | MASK) or self.old_subfile_type == OLD_REDUCED
        return not reduced

    @property
    def raw(self) -> bool:
        return self.dng or self.photometric in (COLOUR_FILTER, LINEAR_RAW)


def pages(file: BinaryIO, label: str) -> tuple[int, ...]:
    """The places in the chain at which pages stand; at least one. Raises UserError for a raw photo."""
    reader = _Reader(file)
    found = []
    for directory in reader.chain():
        if directory.raw or any(d.raw for d in map(reader.directory, directory.sub_directories[:8]) if d):
            raise raw_photo(label)
        if directory.page:
            found.append(directory.index)
    if reader.is_cr2():
        raise raw_photo(label)
    return tuple(found) or (0,)


def raw_photo(label: str) -> UserError:
    return UserError(f"{label} is a raw photo of a camera, not developed yet; export it as JPEG and send that.")


class TiffPicture(TiffImagePlugin.TiffImageFile):
    """One picture of a TIFF file, opened for decoding. It is not turned; `orientation` says how it should be."""

    planes: tuple[RewrittenFile, ...] = ()  # TIFF files of one grey plane each, for what Pillow cannot put together

    @property
    def orientation(self) -> int:
        return int(self.tag_v2.get(ORIENTATION, 1))

    def load(self) -> PIL.Image.core.PixelAccess | None:
        if self.tile and self.planes:
            merged = PIL.Image.merge(self.mode, [_plane(file) for file in self.planes])
            self._mode, self._size, self.im, self.tile = merged.mode, merged.size, merged.im, []
        return super().load()

    def load_end(self) -> None:
        """Pillow would read further directories here and turn the picture, also by an orientation in XMP."""
        self._size = self.im.size
        if self.mode == "L" and self.tag_v2.get(SAMPLE_FORMAT, (UNSIGNED,))[0] == SIGNED:
            self.im = self.point([level ^ 128 for level in range(256)]).im  # -128..127, which Pillow reads as 0..255


def open_tiff(file: BinaryIO, label: str, index: int | None = None) -> TiffPicture:
    """Opens the picture at this place in the chain, by default the first page, for decoding.

    Raises UserError for a raw photo and for a variant that cannot be read, and what Pillow raises for a broken file.
    """
    index = pages(file, label)[0] if index is None else index
    file.seek(0)
    try:
        picture = TiffPicture(file)
        picture.seek(index)
        if picture.tag_v2.get(PLANAR) == SEPARATE and picture.tag_v2.get(SAMPLES, 1) == 1:
            picture.tag_v2[PLANAR] = 1  # one plane is one plane, but Pillow would read its samples in another way
            picture._setup()
    except (SyntaxError, KeyError) as error:
        if variant := _variant(file, index):
            raise _unreadable(label, variant) from error
        raise
    tags = picture.tag_v2
    bits, sample_format = tags.get(BITS, (1,))[0], tags.get(SAMPLE_FORMAT, (UNSIGNED,))[0]
    photometric, count, extra = tags.get(PHOTOMETRIC, WHITE_IS_ZERO), tags.get(SAMPLES, 1), tags.get(EXTRA_SAMPLES, ())
    codec, _, _, arguments = picture.tile[0]
    if photometric == YCBCR and codec != "libtiff":
        raise _unreadable(label, "uncompressed YCbCr")
    if tags.get(PLANAR) == SEPARATE and count > 1 and (bits == 16 or photometric == BLACK_IS_ZERO):
        mode = MODES.get((photometric, extra[0] if extra and extra[0] in ALPHA else None))
        if mode is None or bits not in (8, 16) or sample_format != UNSIGNED:
            raise _unreadable(label, f"separate planes of {bits} bits")
        picture.planes = _planes(picture, PIL.Image.getmodebands(mode), bits)
        picture._mode = mode
    elif codec == "libtiff" and isinstance(arguments, tuple) and arguments[0] in NATIVE:
        picture.tile = [picture.tile[0]._replace(args=(NATIVE[arguments[0]], *arguments[1:]))]
    if picture.mode == "F" or picture.mode.startswith("I"):
        picture.info[WIDE_SAMPLES] = WideSamples(
            white=float(2**bits - 1) if picture.mode.startswith("I;16") else None,
            unsigned=bits == 32 and sample_format == UNSIGNED,
            inverted=photometric == WHITE_IS_ZERO,
        )
    return picture


def _unreadable(label: str, variant: str) -> UserError:
    return UserError(
        f"{label} is a TIFF of an unknown variant, with {variant}; save it as PNG, or as a TIFF of 8 or 16 bits a "
        "sample, and send that."
    )


def _variant(file: BinaryIO, index: int) -> str | None:
    """What is special about a picture, in words; None for a directory that cannot be read."""
    tags = _Reader(file).tags(index)
    if tags is None or BITS not in tags:
        return None
    words = {UNSIGNED: "unsigned", SIGNED: "signed", FLOAT: "float"}
    bits, kind = tags[BITS][0], words.get(tags.get(SAMPLE_FORMAT, (UNSIGNED,))[0], "complex")
    return f"{len(tags[BITS])} {kind} samples of {bits} bits in each pixel"


def _planes(picture: TiffPicture, count: int, bits: int) -> tuple[RewrittenFile, ...]:
    """A TIFF file for each of the first `count` planes of a picture: a new head, then the file as it is."""
    tags, files = picture.tag_v2, []
    offsets_tag, bytes_tag = (STRIP_OFFSETS, STRIP_BYTES) if STRIP_OFFSETS in tags else (TILE_OFFSETS, TILE_BYTES)
    offsets, lengths = tags[offsets_tag], tags[bytes_tag]
    parts = len(offsets) // tags[SAMPLES]  # of each plane
    for number in range(count):
        chosen = slice(number * parts, (number + 1) * parts)
        plane = ImageFileDirectory_v2(prefix=tags.prefix)
        for tag in COPIED:
            if tag in tags:
                plane[tag] = tags[tag]
        plane[BITS], plane[SAMPLES], plane[PHOTOMETRIC] = bits, 1, BLACK_IS_ZERO
        plane[bytes_tag] = lengths[chosen]
        plane[offsets_tag] = offsets[chosen]
        if offsets_tag == TILE_OFFSETS:  # Pillow adds the length of the head to those of strips
            plane[offsets_tag] = tuple(offset + 8 + len(plane.tobytes(8)) for offset in offsets[chosen])
        magic = b"II*\0" + struct.pack("<I", 8) if tags.prefix == b"II" else b"MM\0*" + struct.pack(">I", 8)
        files.append(RewrittenFile(magic + plane.tobytes(8), cast(BinaryIO, picture.fp), 0))
    return tuple(files)


def _plane(file: RewrittenFile) -> PIL.Image.Image:
    """A plane's 8-bit samples, as a grey picture."""
    file.seek(0)
    plane = TiffImagePlugin.TiffImageFile(cast(IO[bytes], file))
    if plane.mode == "L":
        plane.load()
        return plane
    values = np.asarray(plane)
    return PIL.Image.fromarray(((values.astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8))


class _Reader:
    """Reads directories without the data that their tags refer to."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        file.seek(0)
        self._head = file.read(16)
        self._order = "<" if self._head[:2] == b"II" else ">"
        self._big = 43 in self._head[2:4]  # BigTIFF: 8 bytes where others have 4

    def is_cr2(self) -> bool:
        """Canon's raw photos have ordinary directories."""
        return self._head[8:10] == b"CR"

    def chain(self) -> Iterator[Directory]:
        """The directories of the chain, up to where it is broken."""
        offset = self._number(self._head[8:16] if self._big else self._head[4:8])
        seen: set[int] = set()
        while offset and offset not in seen and len(seen) < MAX_DIRECTORIES:
            entries = self._entries(offset)
            if entries is None:
                return
            yield self._read(len(seen), entries[0])
            seen.add(offset)
            offset = entries[1]

    def directory(self, offset: int) -> Directory | None:
        """The directory at an offset; None where there is none."""
        entries = self._entries(offset)
        return None if entries is None else self._read(0, entries[0])

    def tags(self, index: int) -> ImageFileDirectory_v2 | None:
        """All tags of a directory of the chain."""
        tags = ImageFileDirectory_v2(self._head[: 16 if self._big else 8])
        for _ in range(index + 1):
            self._file.seek(tags.next)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                tags.load(self._file)
        return tags

    def _entries(self, offset: int) -> tuple[dict[int, tuple[int, int, bytes]], int] | None:
        """Type, number of values and data of each tag, and the offset of the next directory."""
        width, size = (8, 20) if self._big else (2, 12)
        self._file.seek(offset)
        count = self._number(self._file.read(width))
        if not 0 < count < 65536:
            return None
        data = self._file.read(size * count + (8 if self._big else 4))
        if len(data) < size * count:
            return None
        entries = {}
        for i in range(count):
            entry = data[size * i : size * (i + 1)]
            values = self._number(entry[4 : 12 if self._big else 8])
            entries[self._number(entry[:2])] = (self._number(entry[2:4]), values, entry[12 if self._big else 8 :])
        return entries, self._number(data[size * count :])

    def _read(self, index: int, entries: dict[int, tuple[int, int, bytes]]) -> Directory:
        def value(tag: int) -> int | None:
            if tag not in entries:
                return None
            kind, _, data = entries[tag]
            return self._number(data[: {1: 1, 3: 2}.get(kind, 4)])

        offsets: tuple[int, ...] = ()
        if SUB_DIRECTORIES in entries:
            kind, count, data = entries[SUB_DIRECTORIES]
            width = 8 if kind in (16, 18) else 4
            if width * count > len(data):
                self._file.seek(self._number(data))
                data = self._file.read(width * min(count, 8))
            offsets = tuple(self._number(data[i : i + width]) for i in range(0, width * min(count, 8), width))
        return Directory(
            index, value(SUBFILE_TYPE), value(OLD_SUBFILE_TYPE), value(PHOTOMETRIC), DNG_VERSION in entries, offsets
        )

    def _number(self, data: bytes) -> int:
        return int.from_bytes(data, "little" if self._order == "<" else "big")

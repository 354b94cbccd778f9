"""Identifying a file by its content, never by its name: a picture, a video or a PDF, and in which format.

PIL and FFmpeg get at files only through the two functions of this module, `identify_image` and `open_container`. Both
pass an open file instead of a name and accept only the formats listed here. Formats that run other programs (EPS) or
refer to other files (playlists, concatenation scripts) are not listed.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Literal

import av
import av.container
import PIL.Image
import pillow_heif
from PIL import (  # noqa: F401  (importing a plugin registers its format)
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    ImageFile,
    Jpeg2KImagePlugin,
    JpegImagePlugin,
    PngImagePlugin,
    PpmImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from qwen2vl_demo.errors import UserError
from qwen2vl_demo.media import webp
from qwen2vl_demo.media.browser_codecs import plays_in_browsers
from qwen2vl_demo.media.coded_colours import BROADCAST_TRANSFERS, SRGB_TRANSFER, UNSPECIFIED, from_code_points
from qwen2vl_demo.media.hdr_pictures import HDR, HdrColours, box_peak
from qwen2vl_demo.media.jpeg import open_jpeg
from qwen2vl_demo.media.motion_jpeg import is_motion_jpeg
from qwen2vl_demo.media.png import open_png
from qwen2vl_demo.media.source import DEFAULT_LIMITS, MediaFile, MediaLimits, Source, check_size, open_source
from qwen2vl_demo.media.tiff import open_tiff, raw_photo
from qwen2vl_demo.media.tiff import pages as tiff_pages

Kind = Literal["image", "video", "pdf"]

# PIL's format name: the ending of a file of that format. To accept another format, import its plugin and list it here.
IMAGE_ENDINGS = {
    "JPEG": "jpg",
    "PNG": "png",
    "WEBP": "webp",
    "GIF": "gif",
    "TIFF": "tiff",
    "BMP": "bmp",
    "HEIF": "heic",
    "AVIF": "avif",
    "JPEG2000": "jp2",
    "PPM": "ppm",
}
ANIMATIONS = ("GIF", "WEBP")  # a video if they have more than one frame; an animated PNG counts as its first frame
# FFmpeg's demuxer name: the ending. Only formats that hold all their data themselves.
VIDEO_ENDINGS = {
    "mov": "mp4",  # or mov, by its brand
    "matroska": "mkv",  # or webm, by its document type
    "webm": "webm",
    "avi": "avi",
    "gif": "gif",
    "mpegts": "ts",  # or m2ts, by the distance of its packets
    "mpeg": "mpg",
    "ogg": "ogv",
    "flv": "flv",
    "asf": "wmv",
    "mxf": "mxf",
    "ivf": "ivf",
    "yuv4mpegpipe": "y4m",
    "mjpeg": "mjpeg",
    "h264": "h264",  # the codecs' own streams, without a container
    "hevc": "h265",
    "mpegvideo": "m2v",
    "dv": "dv",
}
# FFmpeg finds traces of these in other files as well, such as a PDF. They are considered only if a file begins so.
SIGNATURES = {
    "mxf": re.compile(rb"\x06\x0e\x2b\x34"),
    "ivf": re.compile(rb"DKIF"),
    "yuv4mpegpipe": re.compile(rb"YUV4MPEG2 "),
    "mjpeg": re.compile(rb"\xff\xd8\xff"),
    "h264": re.compile(rb"\0\0+\x01"),
    "hevc": re.compile(rb"\0\0+\x01"),
    "mpegvideo": re.compile(rb"\0\0+\x01\xb3"),
    "dv": re.compile(rb"\x1f\x07\0"),
}
ENDINGS = tuple(dict.fromkeys([*IMAGE_ENDINGS.values(), *VIDEO_ENDINGS.values(), "mov", "m2ts"]))
SUPPORTED = "PNG, JPEG, WebP, GIF, HEIC, TIFF, BMP, MP4, MOV, WebM, MKV, AVI or PDF"
NOUNS: dict[Kind, str] = {"image": "a picture", "video": "a video", "pdf": "a PDF"}
READ_BYTES = 256 * 1024  # size of FFmpeg's reads; its default of 32 KiB calls into Python eight times as often
QUICKTIME_ATOMS = (b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot")  # a QuickTime file may begin without a brand
# Signatures of audio: ID3 (mp3), FLAC, Core Audio, AMR, AIFF, and the frame headers of raw mp3 and AAC
AUDIO = (b"ID3", b"fLaC", b"caff", b"#!AMR", b"FORM", b"\xff\xfb", b"\xff\xf3", b"\xff\xf2", b"\xff\xf1", b"\xff\xf9")

# Brands of ISO base media files: what a file that begins with an "ftyp" box says that it is, and is compatible with
AVIF_BRANDS = (b"avif", b"avis")
HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs")
PICTURE_BRANDS = (b"mif1", b"mif2", b"msf1", b"miaf")  # pictures of either kind

# First bytes of raw photos that are no TIFF files: Olympus, Panasonic, Fujifilm, Canon (two), Sigma, Minolta
RAW_PHOTOS = (b"IIRO", b"IIRS", b"MMOR", b"IIU\0", b"FUJIFILMCCD-RAW", b"FOVb", b"\0MRM", b"II\x1a\0\0\0HEAPCCDR")
RAW_BRAND = b"crx "  # Canon's newer ones

pillow_heif.register_heif_opener()


@dataclass(frozen=True)
class FileType:
    """What a file is, by content alone."""

    kind: Kind
    ending: str  # for a file name, without the dot: "jpg", "mkv"
    document: bool = False  # has pages that can be chosen: a PDF, or a TIFF of several pages
    plays: bool = field(default=False, compare=False)  # of a clip: browsers play it as it is


def kind_of(source: Source, limits: MediaLimits = DEFAULT_LIMITS, label: str = "") -> Kind:
    """The kind of a source; a PIL image is a picture. Raises UserError like `identify_file`."""
    return "image" if isinstance(source, PIL.Image.Image) else identify_file(source, limits, label).kind


def identify_file(source: str | Path | bytes, limits: MediaLimits = DEFAULT_LIMITS, label: str = "") -> FileType:
    """Identifies a file from its headers, without decoding pixels.

    An animated GIF or WebP is a video. `label` replaces the file's name in error messages. Raises UserError for a file
    that cannot be opened and for anything that is not a picture, a video or a PDF.
    """
    with open_source(source, limits, label) as media:
        return identify(media)


def identify(media: MediaFile) -> FileType:
    """`identify_file` for an open file."""
    if is_motion_jpeg(media):
        return FileType("video", VIDEO_ENDINGS["mjpeg"])
    if name := image_format(media):
        try:
            document = name == "TIFF" and len(tiff_pages(media.file, media.label)) > 1
            animated = _is_animated(media, name)
            return FileType("video" if animated else "image", IMAGE_ENDINGS[name], document, plays=animated)
        except UserError:
            raise
        except Exception as error:
            raise _unknown(media) from error
    if b"%PDF-" in media.head[:1024]:
        return FileType("pdf", "pdf", document=True)
    try:
        with open_container(media, DEFAULT_LIMITS) as container:
            stream, ending = video_stream(container), _video_ending(container.format.name, media.head)
            plays = stream is not None and plays_in_browsers(ending, stream)
    except Exception as error:
        raise _unknown(media) from error
    if stream is None:
        raise no_video_stream(media)
    return FileType("video", ending, plays=plays)


def check_kind(media: MediaFile, expected: Kind) -> None:
    """Raises a UserError that states what the file is if that is not `expected`."""
    kind = identify(media).kind
    if kind != expected:
        raise UserError(
            f"{media.label} is {NOUNS[kind]}, not {NOUNS[expected]}; send it as {NOUNS[kind]} or choose another file."
        )


def no_video_stream(media: MediaFile) -> UserError:
    return UserError(f"{media.label} holds no video, only sound or nothing at all; send a file that has a picture.")


def image_format(media: MediaFile) -> str | None:
    """PIL's name of the picture format whose signature the file has, or None."""
    if media.head[4:8] == b"ftyp":
        return _format_by_brands(media.head)
    for name in IMAGE_ENDINGS:
        accept = PIL.Image.OPEN[name][1]
        if accept is not None and accept(media.head[:16]) is True:
            return name
    return None


def identify_image(
    media: MediaFile, limits: MediaLimits = DEFAULT_LIMITS, directory: int | None = None
) -> ImageFile.ImageFile:
    """Reads a picture's header without decoding it. Raises whatever PIL raises, and UserError for a WebP above the
    limits, for which libwebp would allocate memory here already. The caller has to check the size of the others.

    This bypasses `PIL.Image.open`, which compares the size with the process-wide PIL.Image.MAX_IMAGE_PIXELS and warns;
    suppressing the warning (warnings.catch_warnings) is not thread-safe.
    """
    name = image_format(media)
    if name is None:
        raise ValueError("no signature of a picture format")
    if name == "PNG":
        return open_png(media.file)
    if name == "JPEG":
        return open_jpeg(media.file)
    if name == "WEBP":
        header = webp.read_header(media.file)
        check_size(media.label, *header.size, limits, name)
        return webp.open_webp(media.file, header)
    if name == "TIFF":
        return open_tiff(media.file, media.label, directory)
    image: ImageFile.ImageFile = PIL.Image.OPEN[name][0](media.rewound(), "")
    if name in ("AVIF", "HEIF") and "icc_profile" not in image.info and (points := _nclx(media.head)) is not None:
        if hdr := HdrColours.stated(*points, box_peak(media.head)):
            image.info[HDR] = hdr
        elif profile := _profile_of(*points):
            image.info["icc_profile"] = profile
    return image


def _format_by_brands(head: bytes) -> str | None:
    """HEIF, AVIF or None (a video), by the brands in an "ftyp" box: a main one, a version, compatible ones. The main
    one of a picture may be a general one; whether its pictures are coded as AV1 or HEVC is then in the others."""
    brands = [head[i : i + 4] for i in range(8, min(int.from_bytes(head[:4], "big"), len(head)), 4) if i != 12]
    for brand in brands:
        if brand in AVIF_BRANDS:
            return "AVIF"
        if brand in HEIF_BRANDS:
            return "HEIF"
    if not brands or brands[0] not in PICTURE_BRANDS:
        return None
    return "AVIF" if b"av01" in head else "HEIF"  # the type of the items, which stand near the beginning


def _nclx(head: bytes) -> tuple[int, int] | None:
    """Primaries and transfer, two bytes each, of the first "colr" box of type "nclx"."""
    start = head.find(b"colrnclx") + 8
    if start < 8 or start + 4 > len(head):
        return None
    primaries, transfer = struct.unpack_from(">HH", head, start)
    return primaries, transfer


def _profile_of(primaries: int, transfer: int) -> bytes | None:
    """The profile for the code points of a picture. As browsers do for pictures, the transfer of broadcasting is taken
    for that of sRGB."""
    transfer = SRGB_TRANSFER if transfer in (UNSPECIFIED, *BROADCAST_TRANSFERS) else transfer
    return from_code_points(1 if primaries == UNSPECIFIED else primaries, transfer)


def _is_animated(media: MediaFile, name: str) -> bool:
    """Whether a picture that was identified by its signature has several frames. Raises whatever PIL raises."""
    if name == "WEBP":
        return len(webp.read_header(media.file).durations) > 1
    return getattr(identify_image(media), "is_animated", False) and name in ANIMATIONS


@contextmanager
def open_container(media: MediaFile, limits: MediaLimits) -> Iterator[av.container.InputContainer]:
    """Context manager that opens the file with FFmpeg. Raises whatever PyAV raises, also for a demuxer not listed."""
    motion_jpeg = is_motion_jpeg(media)
    demuxers = [name for name in VIDEO_ENDINGS if name not in SIGNATURES or SIGNATURES[name].match(media.head)]
    file = media.rewound()
    unnamed = SimpleNamespace(read=file.read, seek=file.seek, tell=file.tell)  # keeps the name from being considered
    with av.open(
        unnamed,
        mode="r",
        format="mjpeg" if motion_jpeg else None,  # FFmpeg takes it for single pictures, which are not listed
        options={"format_whitelist": ",".join(demuxers), **decoder_options(limits)},
        metadata_errors="ignore",  # a title in a legacy encoding does not matter here
        buffer_size=READ_BYTES,
        io_open=_refuse_other_files,
    ) as container:
        yield container


def decoder_options(limits: MediaLimits) -> dict[str, str]:
    """Options that make FFmpeg refuse a frame larger than its header said. FFmpeg counts padding as well, hence the
    margin; the exact check is the caller's."""
    return {"max_pixels": str(2 * limits.max_video_frame_pixels + 65_536)}


def video_stream(container: av.container.InputContainer) -> av.VideoStream | None:
    """The main video stream, if any. The cover picture of an audio file is not one."""
    streams = [s for s in container.streams.video if not s.disposition & av.stream.Disposition.attached_pic]
    best = container.streams.best("video")
    return next((s for s in streams if s is best), streams[0] if streams else None)


def _video_ending(demuxer: str, head: bytes) -> str:
    """The ending for a file that FFmpeg opened; `demuxer` may be a list of aliases, as in "matroska,webm"."""
    name = demuxer.partition(",")[0]
    if name == "mov" and (head[8:12] == b"qt  " if head[4:8] == b"ftyp" else head[4:8] in QUICKTIME_ATOMS):
        return "mov"
    if name == "mpegts" and head[4:5] == head[196:197] == b"G":  # a time stamp before each packet
        return "m2ts"
    if name == "matroska" and b"webm" in head[:64]:
        return "webm"
    return VIDEO_ENDINGS[name]


def _refuse_other_files(url: str, flags: int, options: dict[str, str]) -> None:
    raise PermissionError("a media file must not open other files")


def _unknown(media: MediaFile) -> UserError:
    """The error for a file of no supported type, as specific as its first bytes allow."""
    label, start = media.label, media.head.lstrip()[:1024].lower()
    if media.head.startswith(RAW_PHOTOS) or media.head[4:12] == b"ftyp" + RAW_BRAND:
        return raw_photo(label)
    if _is_text(media.head):
        if start.startswith((b"<!doctype html", b"<html")):
            return UserError(f"{label} is a web page, not a picture or video; download the file itself and send that.")
        if b"<svg" in start:
            return UserError(f"{label} is an SVG drawing, which cannot be opened here; export it as PNG and send that.")
        return UserError(f"{label} is a text file, whatever its name says; send {SUPPORTED}.")
    if media.head.startswith(AUDIO) or (media.head[:4] == b"RIFF" and media.head[8:12] == b"WAVE"):
        return no_video_stream(media)
    looks_like = image_format(media)
    if looks_like is None and (media.head[4:8] == b"ftyp" or media.head[:4] in (b"\x1aE\xdf\xa3", b"RIFF")):
        looks_like = "video"
    if looks_like is not None:
        return UserError(
            f"{label} begins like a {looks_like} file but cannot be read: it is damaged, cut off or of an unknown "
            "variant. Save or export it again and send the new file."
        )
    return UserError(f"{label} is not a picture, video or PDF that can be opened here; send {SUPPORTED}.")


def _is_text(head: bytes) -> bool:
    """Whether this is UTF-8 without control characters. A character truncated at the end of the sample is allowed."""
    try:
        text = head.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < len(head) - 3:
            return False
        text = head[: error.start].decode("utf-8")
    return bool(text) and all(c.isprintable() or c.isspace() or c == "\ufeff" for c in text)

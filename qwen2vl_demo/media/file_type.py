"""What a file is, by its content and never by its name: a picture, a video or a PDF.

Also the only two doors through which PIL and FFmpeg get at a file (`identify_image`, `container`): both are handed
an open file, never a name, and accept only the formats listed here. Formats that run other programs (EPS) or
refer to other files (playlists, concatenation scripts) are on neither list.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
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
from qwen2vl_demo.media.source import MediaFile, MediaLimits, Source, opened

Kind = Literal["image", "video", "pdf"]

IMAGE_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "HEIF", "AVIF", "JPEG2000", "PPM")
ANIMATIONS = ("GIF", "WEBP")  # a video if they have more than one frame; an animated PNG counts as its first frame
DEMUXERS = "mov,matroska,webm,avi,gif,mpegts,mpeg,ogg,flv,asf"  # FFmpeg's names; files that hold all their data
KNOWN = "PNG, JPEG, WebP, GIF, HEIC, TIFF, BMP, MP4, MOV, WebM, MKV, AVI or PDF"
NOUNS: dict[Kind, str] = {"image": "a picture", "video": "a video", "pdf": "a PDF"}
READ_BYTES = 256 * 1024  # a read of FFmpeg's; its default of 32 KiB costs a Python call eight times as often
# ID3 (mp3), FLAC, Core Audio, AMR, AIFF, and the frame headers of bare mp3 and AAC
SOUND = (b"ID3", b"fLaC", b"caff", b"#!AMR", b"FORM", b"\xff\xfb", b"\xff\xf3", b"\xff\xf2", b"\xff\xf1", b"\xff\xf9")

pillow_heif.register_heif_opener()


def kind_of(source: Source) -> Kind:
    """Whether a source is a picture, a video (an animated GIF or WebP too) or a PDF. UserError for anything else."""
    if isinstance(source, PIL.Image.Image):
        return "image"
    with opened(source) as media:
        return kind_of_file(media)


def kind_of_file(media: MediaFile) -> Kind:
    """The same for an opened file."""
    if image_format(media):
        try:
            image = identify_image(media)
            return "video" if image.format in ANIMATIONS and getattr(image, "is_animated", False) else "image"
        except Exception as error:
            raise _unknown(media) from error
    if b"%PDF-" in media.head[:1024]:
        return "pdf"
    try:
        with container(media, MediaLimits()) as box:
            stream = video_stream(box)
    except Exception as error:
        raise _unknown(media) from error
    if stream is None:
        raise no_picture(media)
    return "video"


def check_kind(media: MediaFile, wanted: Kind) -> None:
    """Raises the UserError that says what the file is instead of `wanted`; returns if it is that."""
    kind = kind_of_file(media)
    if kind != wanted:
        raise UserError(
            f"{media.label} is {NOUNS[kind]}, not {NOUNS[wanted]}; send it as {NOUNS[kind]} or choose another file."
        )


def no_picture(media: MediaFile) -> UserError:
    return UserError(f"{media.label} holds no video, only sound or nothing at all; send a file that has a picture.")


def image_format(media: MediaFile) -> str | None:
    """The picture format whose signature the file carries."""
    for name in IMAGE_FORMATS:
        accept = PIL.Image.OPEN[name][1]
        if accept is not None and accept(media.head[:16]) is True:
            return name
    return None


def identify_image(media: MediaFile) -> ImageFile.ImageFile:
    """Reads a picture's header, decodes nothing. Raises whatever PIL raises.

    Goes past `PIL.Image.open` because that compares the size with the process-wide PIL.Image.MAX_IMAGE_PIXELS, and
    silencing its warning (warnings.catch_warnings) would not be thread-safe. The caller checks the size.
    """
    name = image_format(media)
    if name is None:
        raise ValueError("no picture's signature")
    return PIL.Image.OPEN[name][0](media.rewound(), "")  # type: ignore[arg-type]


@contextmanager
def container(media: MediaFile, limits: MediaLimits) -> Iterator[av.container.InputContainer]:
    """The file opened by FFmpeg, and closed. Raises whatever PyAV raises, also for a demuxer that is not listed."""
    file = media.rewound()
    nameless = SimpleNamespace(read=file.read, seek=file.seek, tell=file.tell)  # only the content may count
    with av.open(
        nameless,
        mode="r",
        options={"format_whitelist": DEMUXERS, **decoder_options(limits)},
        metadata_errors="ignore",  # a title in an old encoding is no reason to refuse the video
        buffer_size=READ_BYTES,
        io_open=_refuse_other_files,
    ) as box:
        yield box


def decoder_options(limits: MediaLimits) -> dict[str, str]:
    """Makes FFmpeg refuse a frame larger than its header said. It counts padding too, hence the room; the exact
    check is the caller's."""
    return {"max_pixels": str(2 * limits.max_video_frame_pixels + 65_536)}


def video_stream(box: av.container.InputContainer) -> av.VideoStream | None:
    """The stream to watch; a cover picture in a music file is none."""
    streams = [s for s in box.streams.video if not s.disposition & av.stream.Disposition.attached_pic]
    best = box.streams.best("video")
    return next((s for s in streams if s is best), streams[0] if streams else None)


def _refuse_other_files(url: str, flags: int, options: dict[str, str]) -> None:
    raise PermissionError("a media file may not open other files")


def _unknown(media: MediaFile) -> UserError:
    """Why a file is none of the three kinds, as far as its first bytes tell."""
    label, start = media.label, media.head.lstrip()[:1024].lower()
    if _is_text(media.head):
        if start.startswith((b"<!doctype html", b"<html")):
            return UserError(f"{label} is a web page, not a picture or video; download the file itself and send that.")
        if b"<svg" in start:
            return UserError(f"{label} is an SVG drawing, which cannot be opened here; export it as PNG and send that.")
        return UserError(f"{label} is a text file, whatever its name says; send {KNOWN}.")
    if media.head.startswith(SOUND) or (media.head[:4] == b"RIFF" and media.head[8:12] == b"WAVE"):
        return no_picture(media)
    looks_like = image_format(media)
    if looks_like is None and (media.head[4:8] == b"ftyp" or media.head[:4] in (b"\x1aE\xdf\xa3", b"RIFF")):
        looks_like = "video"
    if looks_like is not None:
        return UserError(
            f"{label} begins like a {looks_like} file but cannot be read: it is damaged, cut off or of an unknown "
            "variant. Save or export it again and send the new file."
        )
    return UserError(f"{label} is not a picture, video or PDF that can be opened here; send {KNOWN}.")


def _is_text(head: bytes) -> bool:
    """UTF-8 without control characters; a character cut off at the end of the sample is forgiven."""
    try:
        text = head.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < len(head) - 3:
            return False
        text = head[: error.start].decode("utf-8")
    return bool(text) and all(c.isprintable() or c.isspace() or c == "\ufeff" for c in text)

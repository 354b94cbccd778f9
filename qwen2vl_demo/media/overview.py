"""What a file is at a glance: how many pages or seconds it has and a small poster, before it is read in full."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import islice
from pathlib import Path

import av
import numpy as np
import PIL.Image

from qwen2vl_demo.errors import UserError
from qwen2vl_demo.media import webp
from qwen2vl_demo.media.browser_files import encode_webp
from qwen2vl_demo.media.documents import open_document
from qwen2vl_demo.media.file_type import Kind, decoder_options, identify, image_format, open_container, video_stream
from qwen2vl_demo.media.frame_filters import Crop
from qwen2vl_demo.media.frames import FrameWriter, View
from qwen2vl_demo.media.pages import PageChoice
from qwen2vl_demo.media.source import DEFAULT_LIMITS, MediaFile, MediaLimits, open_source
from qwen2vl_demo.media.timeline import shown_ms
from qwen2vl_demo.media.video_colour import Colour

POSTER_SIDE = 160  # px, the longer side
POSTER_DPI = 36  # at which the first page of a PDF is rendered for it
FIRST_PACKETS = 64  # of a clip, among which its first frame is looked for


@dataclass(frozen=True)
class Overview:
    """What the headers of a file say, and its poster."""

    kind: Kind  # "pdf" for a TIFF of several pages as well
    pages: int = 0  # of a document
    seconds: float | None = None  # of a clip, as its header says; None: it does not
    poster: bytes = b""  # WebP, of a document's first page or a clip's first frame; empty where none could be made


def look_over(path: Path, limits: MediaLimits = DEFAULT_LIMITS, label: str = "") -> Overview:
    """Raises UserError for anything that is not a picture, a clip or a document; one of a document that is damaged is
    left to whoever reads it. No poster is made of a picture."""
    with open_source(path, limits, label) as media:
        found = identify(media)
        if found.document:
            return _document(path, limits, media.label)
        return _clip(media, limits) if found.kind == "video" else Overview("image")


def _document(path: Path, limits: MediaLimits, label: str) -> Overview:
    document = open_document(path, replace(limits, max_pdf_pages=1, pdf_dpi=POSTER_DPI), label)
    return Overview("pdf", pages=document.count, poster=_poster(document.pages[0]))


def page_posters(path: Path, first: int, count: int, limits: MediaLimits, label: str = "") -> tuple[bytes, ...]:
    """Posters of up to `count` pages of a document from page `first` (from 1) on; none behind its end. Raises UserError
    as `open_document` does."""
    few = replace(limits, max_pdf_pages=count, pdf_dpi=POSTER_DPI)
    document = open_document(path, few, label, PageChoice(((first, first + count - 1),)))
    return tuple(map(_poster, document.pages))


def _clip(media: MediaFile, limits: MediaLimits) -> Overview:
    """The headers and the first frame; the packets behind it, which may be many, are not read."""
    if image_format(media) == "WEBP":
        return Overview("video", seconds=sum(map(shown_ms, webp.read_header(media.file).durations)) / 1000)
    seconds, poster = None, b""
    with suppress(UserError, av.FFmpegError, ValueError), open_container(media, limits) as container:
        stream = video_stream(container)
        if stream is None:
            return Overview("video")
        if container.duration:
            seconds = container.duration / av.time_base
        elif stream.duration:
            seconds = float(stream.duration * (stream.time_base or Fraction(1, 1000)))
        if (frame := _first_frame(container, stream, limits)) is not None:
            view = View.of(frame, stream.sample_aspect_ratio, Crop(), Colour.of(stream.codec_context))
            height, width = view.size_of(frame)
            scale = min(1.0, POSTER_SIDE / max(height, width))
            out = np.empty((1, max(2, round(height * scale)), max(2, round(width * scale)), 3), np.uint8)
            FrameWriter(out, view, (height, width)).write(0, frame)
            poster = _poster(PIL.Image.fromarray(out[0]))
    return Overview("video", seconds=seconds, poster=poster)


def _first_frame(
    container: av.container.InputContainer, stream: av.VideoStream, limits: MediaLimits
) -> av.VideoFrame | None:
    decoder = stream.codec_context
    if decoder is None or decoder.height * decoder.width > limits.max_video_frame_pixels:
        return None
    decoder.options.update(decoder_options(limits))
    for packet in islice(container.demux(stream), FIRST_PACKETS):
        with suppress(av.FFmpegError):
            for frame in decoder.decode(packet):
                return frame if frame.height * frame.width <= limits.max_video_frame_pixels else None
    return None


def _poster(picture: PIL.Image.Image) -> bytes:
    picture.thumbnail((POSTER_SIDE, POSTER_SIDE))
    return encode_webp(picture)

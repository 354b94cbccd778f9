"""What is shown of clips that browsers do not play: which those are, and what the copies of them hold."""

from __future__ import annotations

import io
from pathlib import Path

import av
import numpy as np
import PIL.Image
import pytest

from qwen2vl_demo.media import MediaLimits, identify_file
from qwen2vl_demo.media.overview import look_over
from qwen2vl_demo.media.playable_copy import COPY_RATE, FRAMES, playable_copy, sampled_frames
from tests.media.drawn_clips import CONTAINERS, HEIGHT, WIDTH, encodes, number_in, read, write

LIMITS = MediaLimits()
PLAYED = ("h264.mp4", "h264.mov", "fragments.mp4", "vp8.webm", "vp9.webm", "av1.webm", "moving.gif")


@pytest.mark.parametrize("name", CONTAINERS)
def test_browsers_play_what_they_all_know(tmp_path: Path, name: str) -> None:
    """Held against a Chromium in tests/browser/test_shown_clips.py."""
    if not encodes(str(CONTAINERS[name]["codec"])):
        pytest.skip("this FFmpeg does not write it")
    path = write(tmp_path / name, count=4, **CONTAINERS[name])  # type: ignore[arg-type]
    assert identify_file(path).plays == (name in PLAYED)


@pytest.mark.parametrize("pixels", ["yuv422p", "yuv444p", "yuv420p10le"])
def test_a_codec_alone_does_not_tell(tmp_path: Path, pixels: str) -> None:
    """H.264 of other sampling, or of more than 8 bits, is not played everywhere."""
    assert not identify_file(write(tmp_path / "a.mp4", count=4, pixel_format=pixels)).plays


def frames_of(data: bytes) -> list[av.VideoFrame]:
    with av.open(io.BytesIO(data)) as box:
        stream = box.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        return list(box.decode(stream))


def test_a_copy_shows_each_frame_in_its_time(tmp_path: Path) -> None:
    """25 frames a second are thinned to at most COPY_RATE; every frame shows its number, which tells its time."""
    path = write(tmp_path / "a.mkv", "ffv1", count=50)
    data = playable_copy(path, LIMITS)
    assert data is not None
    frames = frames_of(data)
    numbers = [number_in(frame.to_ndarray(format="rgb24")) for frame in frames]
    assert numbers[0] == 0 and numbers == sorted(set(numbers))
    assert 2 * COPY_RATE - 4 <= len(numbers) <= 2 * COPY_RATE  # of 2 s
    for frame, number in zip(frames, numbers, strict=True):
        assert abs(float(frame.time) - number / 25) < 0.002
        assert (frame.height, frame.width) == (HEIGHT, WIDTH)
    with av.open(io.BytesIO(data)) as box:
        assert abs(box.duration / av.time_base - 2.0) < 0.05


def test_a_copy_is_small_and_has_the_colours_that_the_model_sees(tmp_path: Path) -> None:
    tall = np.zeros((1000, 700, 3), np.uint8)
    tall[:500], tall[500:] = (200, 40, 40), (30, 60, 210)
    path = write(tmp_path / "a.mov", "prores", pictures=[tall] * 3, pixel_format="yuv422p10le")
    data = playable_copy(path, LIMITS)
    assert data is not None
    shown = frames_of(data)[0].to_ndarray(format="rgb24").astype(int)
    assert shown.shape == (640, 448, 3)
    seen = read(path).frames[0].astype(int)
    for row in (100, 540):
        assert abs(shown[row, 200] - seen[row * 1000 // 640, 300]).max() < 10


def test_a_copy_that_takes_too_long_is_given_up_and_frames_are_shown(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mkv", "ffv1", count=100)
    assert playable_copy(path, LIMITS, seconds=0.0) is None
    picture = PIL.Image.open(io.BytesIO(sampled_frames(path, LIMITS)))
    assert picture.format == "WEBP" and picture.n_frames == FRAMES  # type: ignore[attr-defined]
    numbers, length = [], 0
    for number in range(FRAMES):
        picture.seek(number)
        picture.load()
        numbers.append(number_in(np.asarray(picture.convert("RGB"))))
        length += picture.info["duration"]
    assert numbers == sorted(set(numbers)) and numbers[0] == 0 and numbers[-1] > 90
    assert abs(length - 4000) < 100


@pytest.mark.parametrize(("name", "codec"), [("a.mp4", "libx264"), ("a.ts", "mpeg2video"), ("a.mkv", "ffv1")])
def test_a_glance_tells_the_length_and_the_first_frame(tmp_path: Path, name: str, codec: str) -> None:
    seen = look_over(write(tmp_path / name, codec, count=50), LIMITS)
    assert seen.kind == "video" and seen.seconds is not None and abs(seen.seconds - 2) < 0.15
    assert number_in(np.asarray(PIL.Image.open(io.BytesIO(seen.poster)).convert("RGB"))) == 0


def test_a_glance_at_a_document_reads_one_page(tmp_path: Path) -> None:
    for name in ("a.pdf", "a.tiff"):
        pages = [PIL.Image.new("RGB", (200, 280), colour) for colour in ("red", *["white"] * 20)]
        pages[0].save(tmp_path / name, save_all=True, append_images=pages[1:])
        seen = look_over(tmp_path / name, LIMITS)
        assert (seen.kind, seen.pages) == ("pdf", 21)
        poster = PIL.Image.open(io.BytesIO(seen.poster)).convert("RGB")
        assert poster.size == (114, 160) and poster.getpixel((50, 80))[0] > 230  # type: ignore[index]

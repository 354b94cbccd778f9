"""Clips as they are shown: turned by their display matrix, with square pixels, in their colour space and range."""

import struct
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from drawn_clips import HEIGHT, WIDTH, check_numbers, read, write


def compass() -> np.ndarray:
    """(64, 96, 3): four grey quarters, none like another."""
    picture = np.empty((64, 96, 3), np.uint8)
    picture[:32, :48], picture[:32, 48:], picture[32:, :48], picture[32:, 48:] = 30, 90, 150, 210
    return picture


# a, b, c, d of the display matrix x' = a x + c y, y' = b x + d y, and the same done by hand
MATRICES = {
    "as it is": ((1, 0, 0, 1), lambda p: p),
    "quarter turn clockwise": ((0, 1, -1, 0), lambda p: np.rot90(p, -1)),
    "half turn": ((-1, 0, 0, -1), lambda p: np.rot90(p, 2)),
    "quarter turn counterclockwise": ((0, -1, 1, 0), lambda p: np.rot90(p, 1)),
    "mirrored": ((-1, 0, 0, 1), lambda p: p[:, ::-1]),
    "upside down": ((1, 0, 0, -1), lambda p: p[::-1]),
    "transposed": ((0, 1, 1, 0), lambda p: p.swapaxes(0, 1)),
    "transposed the other way": ((0, -1, -1, 0), lambda p: p[::-1, ::-1].swapaxes(0, 1)),
}


@pytest.mark.parametrize("name", MATRICES)
def test_the_display_matrix_of_phones_is_applied(tmp_path: Path, name: str) -> None:
    (a, b, c, d), by_hand = MATRICES[name]
    path = write(tmp_path / "a.mp4", pictures=[compass()] * 6)
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4 + 40  # version 0: the matrix stands 40 bytes into the box's content
    one = 1 << 16
    struct.pack_into(">9i", data, at, a * one, b * one, 0, c * one, d * one, 0, 0, 0, 1 << 30)
    sizes = []
    clip = read(bytes(data), resize=lambda n, s: (sizes.append(s), (s[0] // 2, s[1] // 2))[1])
    expected = by_hand(compass())
    assert clip.original_size == sizes[0] == expected.shape[:2]
    assert np.abs(clip.frames[0].astype(int) - expected[::2, ::2]).mean() < 5


def test_pixels_that_are_not_square(tmp_path: Path) -> None:
    """DV and DVD pictures are stored narrower than they are seen: 160 pixels twice as wide as high are 320 wide."""
    clip = read(write(tmp_path / "a.mp4", aspect=Fraction(2)))
    check_numbers(clip)
    assert clip.original_size == (HEIGHT, 2 * WIDTH) and clip.frames.shape[1:3] == (HEIGHT, 2 * WIDTH)
    assert read(write(tmp_path / "b.mp4", aspect=Fraction(60))).original_size == (HEIGHT, WIDTH)  # not believed


@pytest.mark.parametrize("space", [1, 5])
@pytest.mark.parametrize("level", [1, 2])
def test_colours_follow_the_files_colour_space_and_range(tmp_path: Path, space: int, level: int) -> None:
    """1 is BT.709, 5 BT.601; level 1 is 16..235, 2 is 0..255. Taken for one another, pure colours are off by 20."""
    colours = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0), (128, 128, 128)]
    picture = np.repeat(np.repeat(np.array([colours], np.uint8), 32, axis=0), 32, axis=1)
    with av.open(str(tmp_path / "a.mkv"), "w") as box:
        stream = box.add_stream("ffv1", rate=25)
        stream.height, stream.width, stream.pix_fmt = 32, 192, "yuv444p"
        stream.codec_context.colorspace, stream.codec_context.color_range = space, level
        for i in range(4):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame = frame.reformat(format="yuv444p", dst_colorspace=space, dst_color_range=level, src_color_range=2)
            frame.pts, frame.time_base = i, Fraction(1, 25)
            box.mux(stream.encode(frame))
        box.mux(stream.encode())
    shown = read(tmp_path / "a.mkv").frames[0][16, 16::32]
    assert np.abs(shown.astype(int) - colours).max() <= 4

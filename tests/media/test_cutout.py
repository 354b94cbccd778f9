"""A part of a picture file: the original's own pixels, upright."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from qwen2vl_demo.errors import UserError
from qwen2vl_demo.media import MediaLimits, cutout
from tests.media.made_pictures import turned_exif

LIMITS = MediaLimits()


def pixels(content: bytes) -> np.ndarray:
    with PIL.Image.open(io.BytesIO(content)) as image:
        return np.asarray(image.convert("RGB"))


@pytest.fixture
def noise(tmp_path: Path) -> tuple[Path, np.ndarray]:
    """A PNG of 200x100 px, and its pixels."""
    drawn = np.random.default_rng(1).integers(0, 255, (100, 200, 3), dtype=np.uint8)
    PIL.Image.fromarray(drawn).save(tmp_path / "noise.png")
    return tmp_path / "noise.png", drawn


def test_the_pixels_are_those_of_the_file(noise: tuple[Path, np.ndarray]) -> None:
    path, drawn = noise
    content, ending = cutout.cut_out(path, LIMITS, "noise.png", (0.25, 0.5, 0.75, 1.0))
    assert ending == "png" and np.array_equal(pixels(content), drawn[50:, 50:150])
    # Every pixel that is touched: 10.2 to 30.9 across is 10 to 31.
    content, _ = cutout.cut_out(path, LIMITS, "noise.png", (0.051, 0, 0.1545, 1))
    assert np.array_equal(pixels(content), drawn[:, 10:31])


def test_a_turned_photo_is_cut_as_it_is_seen(noise: tuple[Path, np.ndarray], tmp_path: Path) -> None:
    """Orientation 6: the camera's right is up, so the upright picture is the stored one turned clockwise."""
    _, drawn = noise
    PIL.Image.fromarray(drawn).save(tmp_path / "turned.png", exif=turned_exif(6)[6:])
    content, _ = cutout.cut_out(tmp_path / "turned.png", LIMITS, "turned.png", (0, 0, 0.5, 0.25))
    assert np.array_equal(pixels(content), np.rot90(drawn, -1)[:50, :50])


def test_a_box_without_room_grows_inside_the_picture(noise: tuple[Path, np.ndarray]) -> None:
    """8 px a side at least, and no narrower than a model can be shown (200 to 1)."""
    path, drawn = noise
    content, _ = cutout.cut_out(path, LIMITS, "noise.png", (0.995, 0.5, 1.0, 0.505))
    assert np.array_equal(pixels(content), drawn[47:55, 192:200])


def test_a_large_part_is_no_larger_than_it_has_to_be(tmp_path: Path) -> None:
    path = tmp_path / "large.png"
    PIL.Image.new("RGB", (2500, 2000), "teal").save(path)
    content, ending = cutout.cut_out(path, LIMITS, "large.png", (0, 0, 1, 1))
    assert ending == "jpg" and pixels(content).shape == (2000, 2500, 3)


def test_what_is_no_picture_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.png").write_text("no picture")
    with pytest.raises(UserError):
        cutout.cut_out(tmp_path / "x.png", LIMITS, "x.png", (0, 0, 1, 1))

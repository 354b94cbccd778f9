"""Pictures and clips as parts of a request: exact pixels, encoded once, kept within a budget, sent once."""

import base64
import io

import av
import numpy as np
import PIL.Image
import pytest

from qwen2vl_demo.engine.remote import media_parts
from qwen2vl_demo.engine.remote.media_parts import MediaParts, clip_uri
from qwen2vl_demo.geometry import grid_thw
from qwen2vl_demo.processing.image import VisionInput


def medium(frames: np.ndarray, kind: str = "image") -> VisionInput:
    count, height, width, _ = frames.shape
    size = (height, width)
    return VisionInput(
        kind=kind,  # type: ignore[arg-type]
        name="a",
        frames=frames,
        grid_thw=grid_thw(count, height, width),
        original_size=size,
        resized_size=size,
        min_pixels=784,
        max_pixels=10**6,
        digest=f"{kind} {frames.shape} {int(frames.sum())}",
    )


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def content(uri: str) -> bytes:
    return base64.b64decode(uri.partition(",")[2])


def decoded(uri: str) -> np.ndarray:
    with av.open(io.BytesIO(content(uri))) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def test_a_picture_arrives_with_its_exact_pixels_however_large_it_gets() -> None:
    """Noise does not compress: 700x700 px are 1.5 MB."""
    picture = medium(noise(1, 700, 700, 3))
    part = MediaParts().part(picture, named=False)
    assert set(part) == {"type", "image_url"} and part["image_url"]["url"].startswith("data:image/png;base64,")
    sent = PIL.Image.open(io.BytesIO(content(part["image_url"]["url"])))
    assert np.array_equal(np.asarray(sent), picture.frames[0])


@pytest.mark.parametrize("frames", [1, 2, 3, 40])
def test_a_clip_arrives_with_its_exact_pixels_in_pairs(frames: int) -> None:
    """Servers sample an even number of frames, and drop the last of an odd one, which the model repeats."""
    clip = noise(frames, 56, 84, 3)
    sent = decoded(clip_uri(clip))
    assert len(sent) == frames + frames % 2
    assert np.array_equal(sent[:frames], clip) and np.array_equal(sent[-1], clip[-1])


def test_a_medium_is_encoded_once_and_the_least_used_one_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    encoded = []
    png = media_parts.picture_uri
    monkeypatch.setattr(media_parts, "picture_uri", lambda pixels: encoded.append(1) or png(pixels))
    one, other = medium(noise(1, 56, 56, 3)), medium(noise(1, 56, 56, 3, seed=1))
    size = len(png(one.frames[0]))
    parts = MediaParts(max_bytes=int(1.5 * size))
    for each in (one, one, other, other, one):
        parts.part(each, named=False)
    assert len(encoded) == 3


def test_what_the_server_holds_is_named_only_until_it_is_forgotten() -> None:
    parts, picture = MediaParts(), medium(noise(1, 56, 56, 3))
    first = parts.part(picture, named=True)
    assert first["image_url"]["url"] and len(first["uuid"]) == 64
    parts.sent([picture])
    assert parts.part(picture, named=True) == {"type": "image_url", "image_url": None, "uuid": first["uuid"]}
    assert "uuid" not in parts.part(picture, named=False)
    assert parts.forget([picture]) and not parts.forget([picture])
    assert parts.part(picture, named=True) == first


def test_a_name_cannot_be_guessed_from_the_picture() -> None:
    """Otherwise whoever else asks the server could have it keep other pixels under the name."""
    picture = medium(noise(1, 56, 56, 3))
    assert MediaParts().part(picture, named=True)["uuid"] != MediaParts().part(picture, named=True)["uuid"]

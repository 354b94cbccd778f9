"""Pictures as patches: equal to the reference processor, and invertible."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import skimage.data
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from qwen2vl_demo import geometry
from qwen2vl_demo.config import VisionConfig
from qwen2vl_demo.errors import UserError
from qwen2vl_demo.media import MediaLimits
from qwen2vl_demo.processing import image as image_module
from qwen2vl_demo.processing.image import ImageConfig, VisionInput, load_image, load_video
from qwen2vl_demo.processing.messages import Image, MediaOptions, Video
from qwen2vl_demo.processing.patches import patchify, patchify_there
from tests.fake_cuda import FakeCuda

VISION = VisionConfig(depth=2, embed_dim=32, num_heads=2, mlp_ratio=4, out_dim=64)
CONFIG = ImageConfig()
TOKEN = geometry.FACTOR**2  # px of one merged token


def load(picture: Any, options: MediaOptions | None = None, config: ImageConfig = CONFIG) -> VisionInput:
    return load_image(Image(picture), VISION, config, options or MediaOptions(), MediaLimits(), "picture 1")


def unpatchify(patches: torch.Tensor, grid: geometry.Grid, config: ImageConfig = CONFIG) -> np.ndarray:
    """The frames (2 * gt, H, W, 3) uint8 that patches were cut from: the slow, obvious inverse."""
    gt, gh, gw = grid
    frames = np.zeros((2 * gt, gh * 14, gw * 14, 3), dtype=np.uint8)
    mean, std = torch.tensor(config.image_mean), torch.tensor(config.image_std)
    order = geometry.block_order(gh, gw)
    for n, patch in enumerate(patches.view(-1, 3, 2, 14, 14)):
        t, (row, column) = n // (gh * gw), divmod(int(order[n % (gh * gw)]), gw)
        pixels = (patch.permute(1, 2, 3, 0) * std + mean) / config.rescale  # (T, ph, pw, C)
        y, x = row * 14, column * 14
        frames[2 * t : 2 * t + 2, y : y + 14, x : x + 14] = pixels.round().clamp(0, 255).to(torch.uint8).numpy()
    return frames


@pytest.fixture(scope="module")
def reference() -> Qwen2VLImageProcessorPil:
    return Qwen2VLImageProcessorPil()


@pytest.mark.parametrize(
    ("name", "limits"),
    [
        ("astronaut", (geometry.MIN_PIXELS, geometry.MAX_PIXELS)),  # 512x512: shrinks to 504x504
        ("coffee", (geometry.MIN_PIXELS, geometry.MAX_PIXELS)),  # 400x600
        ("chelsea", (geometry.MIN_PIXELS, 64 * TOKEN)),  # 300x451, capped
        ("rocket", (1280 * TOKEN, geometry.MAX_PIXELS)),  # 427x640, grows
        ("camera", (geometry.MIN_PIXELS, 256 * TOKEN)),  # grey
    ],
)
def test_photographs_equal_the_reference(reference: Any, name: str, limits: tuple[int, int]) -> None:
    pixels = getattr(skimage.data, name)()
    picture = PIL.Image.fromarray(pixels).convert("RGB")
    ours = load(picture, MediaOptions(min_pixels=limits[0], max_pixels=limits[1]))
    theirs = reference(picture, size={"shortest_edge": limits[0], "longest_edge": limits[1]}, return_tensors="pt")
    assert list(ours.grid_thw) == theirs["image_grid_thw"][0].tolist()
    torch.testing.assert_close(patchify(ours.frames, VISION, CONFIG), theirs["pixel_values"], rtol=0, atol=1e-5)


@pytest.mark.parametrize("size", [(1, 1), (1, 200), (200, 1), (14, 500), (42, 70), (10, 10), (29, 55), (333, 77)])
def test_odd_sizes_equal_the_reference(reference: Any, size: tuple[int, int]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    picture = PIL.Image.fromarray(pixels)
    ours = load(picture)
    limits = {"shortest_edge": CONFIG.min_pixels, "longest_edge": CONFIG.max_pixels}
    # explicit, as the reference would infer the wrong channel axis from an array of one row
    theirs = reference(pixels, size=limits, input_data_format="channels_last", return_tensors="pt")
    assert list(ours.grid_thw) == theirs["image_grid_thw"][0].tolist()
    torch.testing.assert_close(patchify(ours.frames, VISION, CONFIG), theirs["pixel_values"], rtol=0, atol=1e-5)


@given(n=st.integers(1, 5), gh=st.integers(1, 4), gw=st.integers(1, 4), seed=st.integers(0, 99))
@settings(deadline=None, max_examples=40)
def test_patches_hold_every_pixel_in_its_place(n: int, gh: int, gw: int, seed: int) -> None:
    """Cutting and putting together again gives the frames back; an odd count has its last frame twice."""
    frames = np.random.default_rng(seed).integers(0, 256, (n, gh * 28, gw * 28, 3), dtype=np.uint8)
    grid = geometry.grid_thw(n, gh * 28, gw * 28)
    patches = patchify(frames, VISION, CONFIG)
    assert patches.shape == (4 * grid[0] * gh * gw, VISION.patch_dim)
    assert patches.dtype == torch.float32
    expected = np.concatenate([frames, frames[-1:]]) if n % 2 else frames
    np.testing.assert_array_equal(unpatchify(patches, grid), expected)


def test_patches_equal_the_formula_of_the_reference() -> None:
    """Reshape (gt, 2, C, gh/2, 2, 14, gw/2, 2, 14), permute (0,3,6,4,7,2,1,5,8), on normalised floats."""
    frames = np.random.default_rng(1).integers(0, 256, (4, 56, 84, 3), dtype=np.uint8)
    mean, std = torch.tensor(CONFIG.image_mean), torch.tensor(CONFIG.image_std)
    floats = ((torch.from_numpy(frames) / 255 - mean) / std).permute(0, 3, 1, 2)
    naive = floats.reshape(2, 2, 3, 2, 2, 14, 3, 2, 14).permute(0, 3, 6, 4, 7, 2, 1, 5, 8).reshape(-1, 1176)
    torch.testing.assert_close(patchify(frames, VISION, CONFIG), naive, rtol=0, atol=1e-5)


def test_a_still_image_cut_once_is_the_first_frame_of_its_patches_pixel_by_pixel() -> None:
    """588 = 14 x 14 x 3 channels; the second frame of a still image equals the first. A clip has no such rows."""
    frames = np.random.default_rng(2).integers(0, 256, (1, 84, 140, 3), dtype=np.uint8)
    whole, once = patchify(frames, VISION, CONFIG), patchify(frames, VISION, CONFIG, once=True)
    for frame in range(2):
        assert torch.equal(once.view(-1, 196, 3), whole.view(-1, 3, 2, 196)[:, :, frame].mT)
    clip = np.repeat(frames, 2, axis=0)
    assert torch.equal(patchify(clip, VISION, CONFIG, once=True), whole)


@pytest.mark.parametrize("count", [1, 2, 3, 4])
@pytest.mark.parametrize("once", [False, True])
def test_patches_cut_on_a_device_are_those_cut_on_the_cpu(count, once):
    """To the bit: the same two float32 operations on the same bytes. What a GPU runs, run here."""
    frames = np.random.default_rng(count).integers(0, 256, (count, 84, 140, 3), dtype=np.uint8)
    there = patchify_there(frames, VISION, CONFIG, once=once, device=torch.device("cpu"))
    assert torch.equal(there, patchify(frames, VISION, CONFIG, once=once))


def test_what_is_sent_to_a_gpu_are_bytes():
    """A quarter of what floats would take, and no float is made on the CPU but the weights of the normalisation."""
    frames = np.zeros((1, 84, 140, 3), dtype=np.uint8)
    with FakeCuda() as cuda:
        patches = patchify(frames, VISION, CONFIG, once=True, device=torch.device("cuda"))
    assert patches.device.type == "cuda" and patches.shape == (60, 588) and patches.dtype == torch.float32
    assert cuda.sent == [(torch.uint8, frames.size), (torch.float32, 588), (torch.float32, 588)]


def test_rows_stand_in_block_order() -> None:
    """Each patch of a 4x4 grid painted with its raster number: they come out as 0 1 4 5 | 2 3 6 7 | ..."""
    raster = np.arange(16, dtype=np.uint8).reshape(4, 4).repeat(14, axis=0).repeat(14, axis=1)
    plain = ImageConfig(image_mean=(0, 0, 0), image_std=(1, 1, 1), rescale=1)
    patches = patchify(np.repeat(raster[None, :, :, None], 3, axis=3), VISION, plain)
    assert patches[:, 0].tolist() == [0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15]


def test_columns_stand_channel_first_then_time() -> None:
    """1176 = 3 channels x 2 frames x 14 x 14."""
    frames = np.zeros((2, 28, 28, 3), dtype=np.uint8)
    frames[1, :, :, 2] = 9  # blue of the second frame
    plain = ImageConfig(image_mean=(0, 0, 0), image_std=(1, 1, 1), rescale=1)
    assert patchify(frames, VISION, plain)[0].view(3, 2, 196)[:, :, 0].tolist() == [[0, 0], [0, 0], [0, 9]]


def test_pixels_are_shared_and_read_only() -> None:
    item = load(PIL.Image.new("RGB", (56, 56)))
    with pytest.raises(ValueError, match="read-only"):
        item.frames[0, 0, 0, 0] = 1


def test_equal_pictures_have_equal_digests() -> None:
    """Of the resized pixels, their shape and their kind."""
    red, blue = PIL.Image.new("RGB", (56, 112), "red"), PIL.Image.new("RGB", (56, 112), "blue")
    assert load(red).digest == load(red.copy()).digest
    assert len({load(p).digest for p in (red, blue, red.resize((112, 56)))}) == 3
    assert len(load(red).digest) == 64


@pytest.mark.parametrize(
    ("options", "budget"),
    [
        (MediaOptions(), (3136, 50_176)),
        (MediaOptions(max_pixels=100_352), (3136, 100_352)),
        (MediaOptions(min_pixels=6272), (6272, 50_176)),
        (MediaOptions(max_pixels=1568), (1568, 1568)),
    ],
)
def test_the_budget_that_acted_is_told(options: MediaOptions, budget: tuple[int, int]) -> None:
    """Options win over the checkpoint; a ceiling below the checkpoint's floor lowers the floor with it."""
    item = load(PIL.Image.new("RGB", (640, 480)), options, ImageConfig(max_pixels=64 * TOKEN))
    assert (item.min_pixels, item.max_pixels) == budget
    assert item.original_size == (480, 640)
    assert item.resized_size[0] * item.resized_size[1] <= budget[1]


def test_an_impossible_budget_raises_a_sentence() -> None:
    with pytest.raises(UserError, match="min_pixels is 20000000 and max_pixels is 12845056"):
        load(PIL.Image.new("RGB", (64, 64)), MediaOptions(min_pixels=20_000_000))
    with pytest.raises(UserError, match="784 <= min_pixels"):
        load(PIL.Image.new("RGB", (64, 64)), MediaOptions(max_pixels=100))


# ---- clips ----


class FakeClip:
    """What media.read_video returns, made from one grey level a frame."""

    def __init__(self, size: geometry.Size, count: int, resize: Any) -> None:
        height, width = resize(count, size)
        self.frames = np.arange(count, dtype=np.uint8)[:, None, None, None].repeat(height, 1).repeat(width, 2)
        self.frames = self.frames.repeat(3, 3)
        self.timestamps = [i / 2 for i in range(count)]
        self.indices = np.arange(count) * 15
        self.total_frames = count * 15
        self.source_fps = 30.0
        self.original_size = size
        self.thumbnail = None
        self.duration = count * 0.5
        self.notices = ("Its clock jumps.",)


def load_clip(
    monkeypatch: pytest.MonkeyPatch,
    size: geometry.Size,
    count: int,
    options: MediaOptions | None = None,
    config: ImageConfig = CONFIG,
) -> VisionInput:
    """`load_video` of a clip of this size from which `count` frames are sampled; decoding is media's own test."""
    options = options or MediaOptions()

    def read_video(source: Any, *, resize: Any, **_: Any) -> FakeClip:
        return FakeClip(size, count, resize)

    monkeypatch.setattr(image_module, "read_video", read_video)
    return load_video(Video("clip.mp4"), VISION, config, options, MediaLimits(), "clip.mp4")


def test_a_clip_says_what_was_sampled(monkeypatch: pytest.MonkeyPatch) -> None:
    """8 frames of 360x640: 360*640 px lie between 128 and 768 tokens, so 364x644 = 13x23 tokens, 4 pairs."""
    item = load_clip(monkeypatch, (360, 640), 8)
    assert item.kind == "video"
    assert item.resized_size == (364, 644)
    assert item.grid_thw == (4, 26, 46)
    assert item.merged_tokens == 4 * 13 * 23
    assert (item.min_pixels, item.max_pixels) == (128 * TOKEN, 768 * TOKEN)
    assert item.timestamps[:3] == (0.0, 0.5, 1.0)
    assert item.notices == ("Its clock jumps.",)
    assert item.frame_indices[:3] == (0, 15, 30)
    assert item.total_frames == 120


@pytest.mark.parametrize(
    ("size", "count", "expected"),
    [
        # capped at 768 tokens: beta = sqrt(1080 * 1920 / (768 * 784)) = 1.856; 20.8 x 36.9 tokens, floored
        ((1080, 1920), 8, (560, 1008)),
        ((100, 100), 8, (336, 336)),  # grows to 128 tokens: ceil(sqrt(128)) = 12 a side
        # an equal share, 24576 / 256 * 2 = 192 tokens: beta = 3.71; 10.4 x 18.5 tokens, floored
        ((1080, 1920), 256, (280, 504)),
    ],
)
def test_frames_share_the_clips_budget(
    monkeypatch: pytest.MonkeyPatch, size: geometry.Size, count: int, expected: geometry.Size
) -> None:
    assert load_clip(monkeypatch, size, count).resized_size == expected


@pytest.mark.parametrize("size", [(224, 224), (100, 300), (90, 160), (1080, 1920), (300, 110), (30, 4000)])
def test_a_small_checkpoint_keeps_its_budget_for_clips_too(
    monkeypatch: pytest.MonkeyPatch, size: geometry.Size
) -> None:
    """With 64 tokens a picture the usual floor of 128 a frame gives way to the floor of a picture: no frame is
    enlarged, and none gets more than 64."""
    small = ImageConfig(max_pixels=64 * TOKEN)
    item = load_clip(monkeypatch, size, 4, config=small)
    height, width = item.resized_size
    assert height * width <= 64 * TOKEN
    if round(size[0] / 28) * round(size[1] / 28) <= 64 and min(size) >= 28:
        assert item.resized_size == (round(size[0] / 28) * 28, round(size[1] / 28) * 28)
    assert item.max_pixels == 64 * TOKEN


def test_a_named_floor_and_ceiling_win_for_clips(monkeypatch: pytest.MonkeyPatch) -> None:
    item = load_clip(monkeypatch, (112, 112), 4, MediaOptions(min_pixels=4 * TOKEN, max_pixels=16 * TOKEN))
    assert item.resized_size == (112, 112)
    assert (item.min_pixels, item.max_pixels) == (4 * TOKEN, 16 * TOKEN)
    item = load_clip(monkeypatch, (112, 112), 4, MediaOptions(max_pixels=32 * TOKEN))
    assert item.max_pixels == 32 * TOKEN
    assert item.resized_size == (112, 112)  # below the usual 128 tokens a frame, so it is not enlarged
    with pytest.raises(UserError, match="min_pixels"):
        load_clip(monkeypatch, (112, 112), 4, MediaOptions(min_pixels=64 * TOKEN, max_pixels=32 * TOKEN))


# ---- preprocessor_config.json ----

RELEASED = {
    "min_pixels": 3136,
    "max_pixels": 12845056,
    "patch_size": 14,
    "temporal_patch_size": 2,
    "merge_size": 2,
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_std": [0.26862954, 0.26130258, 0.27577711],
    "image_processor_type": "Qwen2VLImageProcessor",
    "processor_class": "Qwen2VLProcessor",
}


def write(directory: Path, raw: Any) -> Path:
    file = directory / "preprocessor_config.json"
    file.write_text(json.dumps(raw))
    return file


def test_the_released_file_is_read(tmp_path: Path) -> None:
    assert ImageConfig.from_file(write(tmp_path, RELEASED), VISION) == ImageConfig()


def test_newer_layouts_are_read(tmp_path: Path) -> None:
    """transformers 4.5x and 5 write `size`, and rescale_factor; 5 puts all of it into processor_config.json."""
    newer = {"size": {"shortest_edge": 6272, "longest_edge": 50176}, "rescale_factor": 0.5, "resample": 3}
    expected = ImageConfig(min_pixels=6272, max_pixels=50176, rescale=0.5)
    assert ImageConfig.from_file(write(tmp_path, newer), VISION) == expected
    assert ImageConfig.from_file(write(tmp_path, {"image_processor": newer}), VISION) == expected
    assert ImageConfig.from_file(write(tmp_path, {"min_pixels": None, **newer})) == expected


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"min_pixels": 100, "max_pixels": 10}, "min_pixels is 100 and max_pixels is 10"),
        ({"image_std": [1, 1]}, "3 numbers"),
        ({"image_std": [1, 1, 0]}, "above 0"),
        ({"image_mean": "grey"}, "needs 3 numbers"),
        ({"max_pixels": "many"}, "no number"),
        ({"patch_size": 16}, "patch_size is 16 but config.json says 14"),
        ({"resample": 2}, "bicubic"),
        ({"size": 224}, "size is 224"),
    ],
)
def test_a_file_that_does_not_add_up_is_refused(tmp_path: Path, change: dict[str, Any], expected: str) -> None:
    with pytest.raises(UserError, match=expected):
        ImageConfig.from_file(write(tmp_path, {**RELEASED, **change}), VISION)


@pytest.mark.parametrize(
    ("content", "expected"), [(None, "There is no"), ("{", "not valid JSON"), ("[]", "JSON object")]
)
def test_a_missing_or_broken_file_raises_a_sentence(tmp_path: Path, content: str | None, expected: str) -> None:
    file = tmp_path / "preprocessor_config.json"
    if content is not None:
        file.write_text(content)
    with pytest.raises(UserError, match=expected):
        ImageConfig.from_file(file)

"""Pictures and clips become the numbers that the vision transformer reads.

Contract: a `VisionInput` holds resized uint8 frames and says what was done to them; `patchify` cuts those frames into
rows of one patch each, in block order, normalised. All sizes come from `geometry`, all patch sizes from the
checkpoint's `VisionConfig`. Does not know prompts, tokens or the model; files are opened by `media`.

Axes: n frames, gt/gh/gw patches of the grid, T frames a patch, m patches a side of a merged token, p pixels a side
of a patch, C channels, N = gt * gh * gw.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, Literal

import numpy as np
import PIL.Image
import torch

from qwen2vl_demo import geometry
from qwen2vl_demo.config import VisionConfig
from qwen2vl_demo.errors import UserError
from qwen2vl_demo.geometry import Grid, Size
from qwen2vl_demo.media import MediaLimits, open_image, read_video
from qwen2vl_demo.processing import messages
from qwen2vl_demo.processing.messages import MediaOptions

CHUNK_PATCHES = 1024  # put in order and normalised at a time: a few MB, so that every step stays in the CPU's cache
BICUBIC = 3  # `resample` in the checkpoints' preprocessor_config.json


def _need(ok: bool, sentence: str) -> None:
    if not ok:
        raise UserError(f"This preprocessor_config.json is not one for Qwen2-VL: {sentence}.")


@dataclass(frozen=True)
class ImageConfig:
    """How the checkpoint wants its pictures: the pixel budget and the normalisation."""

    min_pixels: int = geometry.MIN_PIXELS  # px a picture, at least
    max_pixels: int = geometry.MAX_PIXELS  # px a picture, at most
    image_mean: tuple[float, float, float] = (0.48145466, 0.4578275, 0.40821073)  # of a channel in 0..1
    image_std: tuple[float, float, float] = (0.26862954, 0.26130258, 0.27577711)
    rescale: float = 1 / 255  # makes a channel's 0..255 into 0..1

    def __post_init__(self) -> None:
        _need(
            0 < self.min_pixels <= self.max_pixels,
            f"min_pixels is {self.min_pixels} and max_pixels is {self.max_pixels}",
        )
        _need(len(self.image_mean) == 3 and len(self.image_std) == 3, "image_mean and image_std need 3 numbers each")
        _need(min(self.image_std) > 0, f"image_std {list(self.image_std)} must be above 0")

    @classmethod
    def from_dict(cls, raw: dict[str, Any], vision: VisionConfig | None = None) -> ImageConfig:
        """Reads both layouts: `min_pixels`/`max_pixels`, and `size` with `shortest_edge`/`longest_edge` (in pixels of
        area, whatever the words say). With `vision`, patch sizes that contradict it are refused."""
        size = raw.get("size") or {}
        _need(isinstance(size, dict), f"its size is {size!r}")
        _need(
            raw.get("resample", BICUBIC) == BICUBIC, f"its resample is {raw.get('resample')}, not {BICUBIC} (bicubic)"
        )
        if vision is not None:
            for key in ("patch_size", "temporal_patch_size", "merge_size"):
                mine, theirs = raw.get(key, getattr(vision, key)), getattr(vision, key)
                _need(mine == theirs, f"its {key} is {mine} but config.json says {theirs}")

        def budget(old: str, new: str, default: int) -> int:
            given = (raw.get(old), size.get(old), size.get(new))
            return int(next((value for value in given if value is not None), default))

        try:
            return cls(
                min_pixels=budget("min_pixels", "shortest_edge", cls.min_pixels),
                max_pixels=budget("max_pixels", "longest_edge", cls.max_pixels),
                image_mean=tuple(float(x) for x in raw.get("image_mean", cls.image_mean)),  # type: ignore[arg-type]
                image_std=tuple(float(x) for x in raw.get("image_std", cls.image_std)),  # type: ignore[arg-type]
                rescale=float(raw.get("rescale_factor", cls.rescale)),
            )
        except (TypeError, ValueError) as broken:
            raise UserError(f"This preprocessor_config.json holds something that is no number ({broken}).") from None

    @classmethod
    def from_file(cls, path: Path, vision: VisionConfig | None = None) -> ImageConfig:
        """Reads a preprocessor_config.json, or the `image_processor` part of a processor_config.json."""
        try:
            raw = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise UserError(
                f"There is no {path.name} in {path.parent}; take the checkpoint's own file from its source."
            ) from None
        except (json.JSONDecodeError, UnicodeDecodeError) as broken:
            raise UserError(f"{path} is not valid JSON ({broken}); take the file again from its source.") from None
        _need(isinstance(raw, dict), "it is not a JSON object")
        return cls.from_dict(raw.get("image_processor", raw), vision)


@dataclass(frozen=True, eq=False)
class VisionInput:
    """One picture or clip, ready to be cut into patches. Shared between prompts, so its pixels are read-only."""

    kind: Literal["image", "video"]
    name: str  # the file's name, or "picture 2"
    frames: np.ndarray  # (n, H, W, 3) uint8, resized; n = 1 for an image
    grid_thw: Grid  # in patches
    original_size: Size  # px, after the EXIF orientation
    resized_size: Size  # px, (H, W)
    min_pixels: int  # the budget that acted, px a picture or frame
    max_pixels: int
    digest: str  # sha256 of kind, shape and pixels: equal inputs have equal digests
    timestamps: tuple[float, ...] = ()  # seconds of each sampled frame; empty for an image
    frame_indices: tuple[int, ...] = ()  # which frames of the clip were sampled
    total_frames: int = 1
    thumbnail: np.ndarray | None = None

    @property
    def merged_tokens(self) -> int:
        return geometry.merged_tokens(self.grid_thw)


def load_image(
    part: messages.Image,
    vision: VisionConfig,
    image: ImageConfig,
    options: MediaOptions,
    limits: MediaLimits,
    name: str,
) -> VisionInput:
    """Opens a picture and resizes it to its budget (bicubic, on uint8, as the reference does). Raises UserError."""
    picture = open_image(part.source, limits)
    original = (picture.height, picture.width)
    ceiling = image.max_pixels if options.max_pixels is None else options.max_pixels
    lowered = options.min_pixels is None and ceiling < image.min_pixels
    floor = ceiling if lowered else (options.min_pixels or image.min_pixels)
    height, width = _fit(original, vision, floor, ceiling, strict=lowered)
    if original != (height, width):
        picture = picture.resize((width, height), PIL.Image.Resampling.BICUBIC)
    frames = np.asarray(picture, dtype=np.uint8)[None]  # (1, H, W, 3)
    return _vision_input("image", name, frames, vision, original, floor, ceiling)


def load_video(
    part: messages.Video,
    vision: VisionConfig,
    image: ImageConfig,
    options: MediaOptions,
    limits: MediaLimits,
    name: str,
) -> VisionInput:
    """Samples a clip's frames and resizes each to an equal share of the clip's budget. Raises UserError.

    No frame gets more than the checkpoint's or the options' `max_pixels`. Where that is below the 128 merged tokens
    that a frame is otherwise given at least, the checkpoint's floor for a picture holds, and no frame is enlarged.
    """
    cap = min(image.max_pixels, options.max_pixels or image.max_pixels)
    least = options.min_pixels or geometry.VIDEO_FRAME_MIN_PIXELS
    budget = (0, 0)

    def resize(count: int, size: Size) -> Size:
        nonlocal budget
        ceiling = min(geometry.video_frame_pixels(count, min_pixels=least), cap)
        lowered = options.min_pixels is None and ceiling < least
        budget = (min(image.min_pixels, ceiling) if lowered else least, ceiling)
        return _fit(size, vision, *budget, strict=lowered)

    clip = read_video(
        part.source,
        fps=options.fps,
        min_frames=options.min_frames,
        max_frames=options.max_frames,
        resize=resize,
        limits=limits,
    )
    return _vision_input(
        "video",
        name,
        clip.frames,
        vision,
        clip.original_size,
        *budget,
        timestamps=tuple(float(t) for t in clip.timestamps),
        frame_indices=tuple(int(i) for i in clip.indices),
        total_frames=int(clip.total_frames),
    )


def patchify(frames: np.ndarray, vision: VisionConfig, image: ImageConfig, *, once: bool = False) -> torch.Tensor:
    """Cuts frames (n, H, W, 3) uint8 into normalised patches (N, patch_dim) float32.

    Rows stand in block order, columns in (C, T, p, p) order. A frame that has no partner (a still image, the last of
    an odd count) is its own. With `once` a still image is not doubled and its channels are not parted: its rows are
    (N, patch_dim / T), in (p, p, C) order, which the vision transformer takes as well: less than half the time here,
    and half the sums of its patch embedding.
    """
    count, height, width, channels = frames.shape
    p, m, span = vision.patch_size, vision.merge_size, vision.temporal_patch_size
    gt, gh, gw = geometry.grid_thw(count, height, width, patch_size=p)
    together = 1 if count == 1 else span  # frames that stand in the uint8 rows; the other of a still image is equal
    once = once and count == 1
    doubled = span if count == 1 and not once else 1
    if missing := gt * together - count:
        frames = np.concatenate([frames, np.repeat(frames[-1:], missing, axis=0)])
    # p pixels of a row, which stay together, are one item; so bytes are put in order, a quarter of the floats to move
    items = np.ascontiguousarray(frames).reshape(gt, together, gh // m, m, p, gw // m, m, p * channels)
    items = items.view(f"V{p * channels}")[..., 0].transpose(0, 2, 5, 3, 6, 1, 4)  # (gt, gh/m, gw/m, m, m, T, p)
    area = together * p * p  # numbers of a channel of a patch
    std = np.asarray(image.image_std)
    scale = torch.tensor(image.rescale / std, dtype=torch.float32)
    shift = torch.tensor(-np.asarray(image.image_mean) / std, dtype=torch.float32)
    scale, shift = (x.repeat(area) if once else x.repeat_interleave(area) for x in (scale, shift))
    # numpy asks the system for huge pages where torch does not: a third of the time for a large picture
    patches = np.empty((gt, gh // m, gw * m, doubled * area * channels), dtype=np.float32)
    step = max(1, CHUNK_PATCHES // (gw * m))  # rows of blocks, across the picture
    for t, top in product(range(gt), range(0, gh // m, step)):
        pixels = np.ascontiguousarray(items[t, top : top + step]).view(np.uint8).reshape(-1, area, channels)
        if not once:
            pixels = np.ascontiguousarray(pixels.transpose(0, 2, 1))
        rows = torch.from_numpy(patches[t, top : top + step]).view(len(pixels), -1)
        numbers = torch.from_numpy(pixels).flatten(1)
        if doubled == 1:
            rows.copy_(numbers).mul_(scale).add_(shift)
        else:
            halves = rows.view(-1, channels, doubled, area)
            halves[:] = numbers.float().mul_(scale).add_(shift).view(-1, channels, 1, area)
    return torch.from_numpy(patches).view(gt * gh * gw, -1)


def _fit(size: Size, vision: VisionConfig, floor: int, ceiling: int, *, strict: bool) -> Size:
    """`smart_resize`; with `strict` its result never exceeds the ceiling.

    Growing a small frame up to the floor rounds both sides up, so the reference ends above the ceiling when the two
    lie close together. That is kept where it is the reference's doing; but where we lowered the floor to a small
    ceiling ourselves, the largest size below the ceiling is taken: what the shrinking branch gives for the same
    frame magnified, with the longer side of a very narrow one cut to what is left.
    """
    factor = vision.factor
    fitted = geometry.smart_resize(*size, factor=factor, min_pixels=floor, max_pixels=ceiling)
    if not strict or fitted[0] * fitted[1] <= ceiling:
        return fitted
    magnify = math.ceil(ceiling / min(size))
    h, w = geometry.smart_resize(
        size[0] * magnify, size[1] * magnify, factor=factor, min_pixels=factor**2, max_pixels=ceiling
    )
    longest = ceiling // (min(h, w) * factor) * factor
    return min(h, longest), min(w, longest)


def _vision_input(
    kind: Literal["image", "video"],
    name: str,
    frames: np.ndarray,
    vision: VisionConfig,
    original: Size,
    floor: int,
    ceiling: int,
    *,
    timestamps: tuple[float, ...] = (),
    frame_indices: tuple[int, ...] = (),
    total_frames: int = 1,
) -> VisionInput:
    frames = np.ascontiguousarray(frames).view()
    frames.flags.writeable = False
    count, height, width, _ = frames.shape
    digest = hashlib.sha256(f"{kind} {frames.shape}".encode())
    digest.update(frames.data)
    return VisionInput(
        kind=kind,
        name=name,
        frames=frames,
        grid_thw=geometry.grid_thw(count, height, width, patch_size=vision.patch_size),
        original_size=original,
        resized_size=(height, width),
        min_pixels=floor,
        max_pixels=ceiling,
        digest=digest.hexdigest(),
        timestamps=timestamps,
        frame_indices=frame_indices,
        total_frames=total_frames,
    )

"""Preprocessing of pictures and clips for the vision transformer.

`load_image` and `load_video` return a `VisionInput`: resized uint8 frames and the record of how they were resized.
Sizes are computed by `geometry`; the patch size is that of the checkpoint's `VisionConfig`. They run in the processes
that decode untrusted files, so nothing here imports torch.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import PIL.Image

from qwen2vl_demo import geometry
from qwen2vl_demo.config import VisionConfig
from qwen2vl_demo.errors import UserError
from qwen2vl_demo.geometry import Grid, Size
from qwen2vl_demo.json_values import read_json_object, shown
from qwen2vl_demo.media import Clip, MediaLimits, image_thumbnail, notices, open_image, original_size, read_video
from qwen2vl_demo.processing import messages
from qwen2vl_demo.processing.messages import MediaOptions
from qwen2vl_demo.trace import Piece

MOST_PIXELS = 4 * geometry.MAX_PIXELS  # that a checkpoint may ask for; more would take all memory
BICUBIC = 3  # PIL's number, `resample` in the checkpoints' preprocessor_config.json


def _require(ok: bool, sentence: str) -> None:
    if not ok:
        raise UserError(f"This preprocessor_config.json is not one for Qwen2-VL: {sentence}.")


@dataclass(frozen=True)
class ImageConfig:
    """A checkpoint's image preprocessing: the pixel budget and the normalisation."""

    min_pixels: int = geometry.MIN_PIXELS  # px of a picture, minimum
    max_pixels: int = geometry.MAX_PIXELS  # px of a picture, maximum
    image_mean: tuple[float, float, float] = (0.48145466, 0.4578275, 0.40821073)  # per channel, in 0..1
    image_std: tuple[float, float, float] = (0.26862954, 0.26130258, 0.27577711)
    rescale: float = 1 / 255  # from 0..255 to 0..1
    max_frames: int = geometry.VIDEO_MAX_FRAMES  # of a clip, that the checkpoint was trained for
    region_questions: bool = True  # whether the checkpoint was trained on questions about a box

    def __post_init__(self) -> None:
        _require(
            0 < self.min_pixels <= self.max_pixels <= MOST_PIXELS,
            f"min_pixels is {shown(self.min_pixels)} and max_pixels is {shown(self.max_pixels)}",
        )
        _require(len(self.image_mean) == 3 and len(self.image_std) == 3, "image_mean and image_std need 3 numbers each")
        _require(min(self.image_std) > 0, f"image_std {list(self.image_std)} must be above 0")
        _require(
            max(*map(abs, self.image_mean), *self.image_std, 1 / min(self.image_std), self.rescale) < 1e4
            and self.rescale > 0,
            f"image_mean {list(self.image_mean)}, image_std {list(self.image_std)} and rescale_factor {self.rescale} "
            "are out of range",
        )
        _require(self.max_frames >= 2, f"max_frames is {shown(self.max_frames)}")

    @classmethod
    def from_dict(cls, raw: dict[str, Any], vision: VisionConfig | None = None) -> ImageConfig:
        """Reads both layouts: `min_pixels`/`max_pixels`, and `size` with `shortest_edge`/`longest_edge` (areas in
        pixels, despite their names). Raises UserError, also for patch sizes that differ from those of `vision`."""
        size = raw.get("size") or {}
        _require(isinstance(size, dict), f"its size is {shown(size)}")
        _require(
            raw.get("resample", BICUBIC) == BICUBIC,
            f"its resample is {shown(raw.get('resample'))}, not {BICUBIC} (bicubic)",
        )
        if vision is not None:
            for key in ("patch_size", "temporal_patch_size", "merge_size"):
                value, expected = raw.get(key, getattr(vision, key)), getattr(vision, key)
                _require(value == expected, f"its {key} is {shown(value)} but config.json says {expected}")

        def budget(old: str, new: str, default: int) -> int:
            candidates = (raw.get(old), size.get(old), size.get(new))
            value = next((value for value in candidates if value is not None), default)
            return value if isinstance(value, int) else int(_number(value, old))

        def channels(key: str, default: tuple[float, float, float]) -> tuple[float, float, float]:
            values = raw.get(key, default)
            _require(isinstance(values, list | tuple) and len(values) == 3, f"{key} needs 3 numbers")
            red, green, blue = (_number(value, key) for value in values)
            return red, green, blue

        return cls(
            min_pixels=budget("min_pixels", "shortest_edge", cls.min_pixels),
            max_pixels=budget("max_pixels", "longest_edge", cls.max_pixels),
            image_mean=channels("image_mean", cls.image_mean),
            image_std=channels("image_std", cls.image_std),
            rescale=_number(raw.get("rescale_factor", cls.rescale), "rescale_factor"),
            max_frames=int(_number(raw.get("max_frames", cls.max_frames), "max_frames")),
            region_questions=raw.get("region_questions") is not False,
        )

    @classmethod
    def from_file(cls, path: Path, vision: VisionConfig | None = None) -> ImageConfig:
        """Reads a preprocessor_config.json, or the `image_processor` part of a processor_config.json."""
        raw = read_json_object(path)
        processor = raw.get("image_processor", raw)
        _require(isinstance(processor, dict), f"its image_processor is {shown(processor)}")
        return cls.from_dict(processor, vision)


def _number(value: Any, key: str) -> float:
    number = type(value) in (int, float)
    _require(number and abs(value) < 1e15 and value == value, f"its {key} holds {shown(value)}, which is no number")
    return float(value)


@dataclass(frozen=True, eq=False)
class VisionInput:
    """One resized picture or clip. Shared between prompts, therefore its arrays are read-only."""

    kind: Literal["image", "video"]
    name: str  # the file's name, or "picture 2"
    frames: np.ndarray  # (n, H, W, 3) uint8, resized; n = 1 for an image
    grid_thw: Grid  # in patches
    original_size: Size  # px, after the EXIF orientation
    resized_size: Size  # px, (H, W)
    min_pixels: int  # the budget that was applied, px per picture or frame
    max_pixels: int
    digest: str  # SHA-256 of kind, shape and pixels: equal inputs have equal digests
    timestamps: tuple[float, ...] = ()  # s, of each sampled frame; empty for an image that is no frame of a clip
    frame_indices: tuple[int, ...] = ()  # which frames of the clip were sampled
    total_frames: int = 1
    duration: float = 0.0  # s, of the whole clip
    time_range: tuple[float, float] | None = None  # s, the part that all frames were taken from; None: the whole clip
    notices: tuple[str, ...] = ()  # what the visitor should know about how the file was read, as sentences
    piece: Piece | None = None  # as in MediaTrace
    # (H, W, 3) uint8: the picture, or the clip's first frame, before resizing; upright, longer side at most 1280 px.
    # None where resizing changed nothing or no thumbnail was requested.
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
    thumbnail: bool = False,
) -> VisionInput:
    """Opens a picture and resizes it to its pixel budget (bicubic, on uint8, as the reference does). Raises UserError.

    With `thumbnail` the result has one, made from the same decoded picture.
    """
    image = _with_limits(image, options)
    picture = open_image(part.source, limits, part.name)
    original, found = original_size(picture), notices(picture)
    ceiling = image.max_pixels if options.max_pixels is None else options.max_pixels
    lowered = options.min_pixels is None and ceiling < image.min_pixels
    floor = ceiling if lowered else (options.min_pixels or image.min_pixels)
    height, width = _fit(original, vision, floor, ceiling, strict=lowered)
    small = None
    if original != (height, width):
        resized = picture.resize((width, height), PIL.Image.Resampling.BICUBIC)
        small = image_thumbnail(picture) if thumbnail else None
        picture = resized
    frames = np.asarray(picture, dtype=np.uint8)[None]  # (1, H, W, 3)
    return _vision_input("image", name, frames, vision, original, floor, ceiling, notices=found, thumbnail=small)


def load_video(
    part: messages.Video,
    vision: VisionConfig,
    image: ImageConfig,
    options: MediaOptions,
    limits: MediaLimits,
    name: str,
    thumbnail: bool = False,
) -> VisionInput:
    """Samples a clip's frames and resizes each to an equal share of the clip's pixel budget. Raises UserError.

    No frame gets more than the checkpoint's or the options' `max_pixels`. Where that is below the 128 merged tokens
    that a frame otherwise gets at least, the checkpoint's minimum for a picture applies, and no frame is enlarged.
    With `thumbnail` the result has one of the first frame, from the same decoding pass.
    """
    image = _with_limits(image, options)
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
        max_frames=options.max_frames or image.max_frames,
        time_range=part.time_range,
        resize=resize,
        limits=limits,
        label=part.name,
        thumbnail=thumbnail,
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
        duration=float(clip.duration),
        time_range=part.time_range.within(clip.duration) if part.time_range else None,
        notices=(*_about_part(part, clip), *clip.notices, *_about_frames(clip, image.max_frames, options)),
        thumbnail=clip.thumbnail,
    )


def _about_part(part: messages.Video, clip: Clip) -> tuple[str, ...]:
    start, end = part.time_range.within(clip.duration)
    return (f"All frames are taken from {start:.1f} s to {end:.1f} s.",) if part.time_range else ()


def _about_frames(clip: Clip, trained: int, options: MediaOptions) -> tuple[str, ...]:
    """What to know of the number of frames, where a checkpoint was trained for fewer than the released ones."""
    taken, present = len(clip.indices), clip.indices[-1] - clip.indices[0] + 1
    if trained >= geometry.VIDEO_MAX_FRAMES or taken < trained:
        return ()
    if taken > trained:
        return (f"These are {taken} frames, and this model was trained for at most {trained}; it may babble.",)
    wanted = geometry.video_frame_count(present, clip.source_fps, fps=options.fps, min_frames=options.min_frames)
    return (f"{taken} frames are taken of it, as many as this model was trained for.",) if wanted > taken else ()


def _with_limits(image: ImageConfig, options: MediaOptions) -> ImageConfig:
    if options.picture_limits is None:
        return image
    return replace(image, min_pixels=options.picture_limits[0], max_pixels=options.picture_limits[1])


def _fit(size: Size, vision: VisionConfig, floor: int, ceiling: int, *, strict: bool) -> Size:
    """`smart_resize`, but with `strict` the result never exceeds the ceiling.

    Enlarging a small frame to the floor rounds both sides up, so the reference exceeds the ceiling when the two are
    close together. Where floor and ceiling are the reference's own this is kept. Where the floor was lowered to a small
    ceiling here (`strict`), the largest size below the ceiling is taken: the result of the shrinking branch for the
    same frame magnified, with the longer side of a very narrow frame limited to what remains.
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
    duration: float = 0.0,
    time_range: tuple[float, float] | None = None,
    notices: tuple[str, ...] = (),
    thumbnail: np.ndarray | None = None,
) -> VisionInput:
    frames = np.ascontiguousarray(frames).view()
    frames.flags.writeable = False
    if thumbnail is not None:
        thumbnail = thumbnail.view()
        thumbnail.flags.writeable = False
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
        duration=duration,
        time_range=time_range,
        notices=notices,
        thumbnail=thumbnail,
    )

"""The arithmetic of Qwen2-VL's vision input, as pure functions.

The processor, the model and the drawings all use these functions, so that they cannot disagree. Sizes are (height,
width) in pixels, `grid_thw` is (t, h, w) in patches, times are in seconds.

Sources: the paper (arXiv 2409.12191), the released checkpoints' JSON files and the reference processor.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from qwen2vl_demo.errors import UserError

PATCH_SIZE = 14  # px, side of a patch
MERGE_SIZE = 2  # patches per side that become one merged token
TEMPORAL_PATCH_SIZE = 2  # frames that fuse into one patch
FACTOR = PATCH_SIZE * MERGE_SIZE  # 28 px, the side of one merged token
MAX_ASPECT_RATIO = 200  # the longer side may be at most this many times the shorter one
MIN_PIXELS = 4 * FACTOR * FACTOR  # 3136, the released checkpoints' lower bound: 4 merged tokens
MAX_PIXELS = 16_384 * FACTOR * FACTOR  # 12845056, their upper bound: 16384 merged tokens

VIDEO_FPS = 2.0  # frames taken from a second of video
VIDEO_MIN_FRAMES = 4
VIDEO_MAX_FRAMES = 768
VIDEO_FRAME_MIN_PIXELS = 128 * FACTOR * FACTOR  # a frame gets at least 128 merged tokens ...
VIDEO_FRAME_MAX_PIXELS = 768 * FACTOR * FACTOR  # ... and at most 768 ...
VIDEO_TOTAL_PIXELS = 24_576 * FACTOR * FACTOR  # ... out of this budget for the whole video

Size = tuple[int, int]
PositionScheme = Literal["mrope", "silenced", "1d"]
Grid = tuple[int, int, int]


def check_aspect_ratio(height: int, width: int) -> None:
    """Raises UserError for a picture without pixels and for an aspect ratio above 200."""
    if min(height, width) < 1:
        raise UserError(f"This picture is {height}x{width} pixels; send one that has at least one pixel a side.")
    if max(height, width) > MAX_ASPECT_RATIO * min(height, width):
        raise UserError(
            f"This picture is {height}x{width} pixels: one side is more than {MAX_ASPECT_RATIO} times the other, "
            "which Qwen2-VL cannot take. Crop it or cut it into pieces."
        )


def smart_resize(
    height: int, width: int, *, factor: int = FACTOR, min_pixels: int = MIN_PIXELS, max_pixels: int = MAX_PIXELS
) -> Size:
    """The size in pixels, both sides multiples of `factor`, to which a picture is resized.

    Each side is rounded half-to-even to a multiple of `factor`. If the rounded area is outside the pixel budget, the
    *original* sides are scaled, and rounded down to shrink or up to grow. Raises UserError for a picture without
    pixels, for an aspect ratio above 200 and for an impossible budget.
    """
    check_aspect_ratio(height, width)
    if not factor * factor <= min_pixels <= max_pixels:
        raise UserError(
            f"The image budget must hold {factor * factor} <= min_pixels <= max_pixels, "
            f"but min_pixels is {min_pixels} and max_pixels is {max_pixels}; change one of them."
        )
    h_bar, w_bar = round(height / factor) * factor, round(width / factor) * factor
    if h_bar * w_bar > max_pixels:
        beta = math.sqrt(height * width / max_pixels)
        h_bar = max(factor, math.floor(height / beta / factor) * factor)
        w_bar = max(factor, math.floor(width / beta / factor) * factor)
    elif h_bar * w_bar < min_pixels:
        beta = math.sqrt(min_pixels / (height * width))
        h_bar = math.ceil(height * beta / factor) * factor
        w_bar = math.ceil(width * beta / factor) * factor
    return h_bar, w_bar


def grid_thw(frames: int, height: int, width: int, *, patch_size: int = PATCH_SIZE) -> Grid:
    """(t, h, w) in patches of `frames` frames of a resized picture; a still image is one pair of equal frames."""
    if height % patch_size or width % patch_size:
        raise ValueError(f"{height}x{width} px is not cut evenly into patches of {patch_size} px")
    return math.ceil(frames / TEMPORAL_PATCH_SIZE), height // patch_size, width // patch_size


def merged_grid(grid: Grid, merge_size: int = MERGE_SIZE) -> Grid:
    """(t, h, w) in merged tokens."""
    return grid[0], grid[1] // merge_size, grid[2] // merge_size


def merged_tokens(grid: Grid, merge_size: int = MERGE_SIZE) -> int:
    """The number of placeholders of a grid in the prompt."""
    return math.prod(merged_grid(grid, merge_size))


def block_order(grid_h: int, grid_w: int, merge_size: int = MERGE_SIZE) -> np.ndarray:
    """Raster index of each patch of one temporal slice, in the order in which patches enter the model. (h*w,)

    The patches of a merged token are adjacent: a 4x4 grid becomes 0 1 4 5 | 2 3 6 7 | 8 9 12 13 | ...
    """
    raster = np.arange(grid_h * grid_w).reshape(grid_h // merge_size, merge_size, grid_w // merge_size, merge_size)
    return raster.transpose(0, 2, 1, 3).reshape(-1)


def raster_order(grid_h: int, grid_w: int, merge_size: int = MERGE_SIZE) -> np.ndarray:
    """The inverse of `block_order`: the index in block order of each raster patch. (h*w,)"""
    return np.argsort(block_order(grid_h, grid_w, merge_size))


def patch_coordinates(grid: Grid, merge_size: int = MERGE_SIZE) -> np.ndarray:
    """(row, column) of every patch in block order, repeated for every t: the positions of the ViT's 2D RoPE. (N, 2)"""
    rows, columns = np.divmod(block_order(grid[1], grid[2], merge_size), grid[2])
    return np.tile(np.stack([rows, columns], axis=1), (grid[0], 1))


def segment_lengths(grids: Sequence[Grid]) -> list[int]:
    """Patches in each attention segment: one temporal slice each, over all grids; cu_seqlens is their running sum."""
    return [h * w for t, h, w in grids for _ in range(t)]


@dataclass(frozen=True)
class VisionSpan:
    """A run of placeholders in the prompt: where it starts, and the grid that it represents."""

    start: int  # index of its first placeholder in input_ids
    grid: Grid  # in patches


def mrope_position_ids(
    length: int, spans: Sequence[VisionSpan], merge_size: int = MERGE_SIZE
) -> tuple[np.ndarray, int]:
    """Position ids (3, length) of a prompt and its rope_delta.

    Text increments t = h = w together. A span places its merged grid, in raster order, at (largest id so far) + 1; the
    text after it continues at (largest id so far) + 1, whichever axis was largest. `rope_delta` is max + 1 - length:
    while decoding, the position is the cache's length + rope_delta. (Paper, section 2.1; for a video longer than it is
    wide some references advance by the spatial side only, so that text collides with it.)
    """
    positions = np.empty((3, length), dtype=np.int64)
    at = following = 0  # the next token, and the next free id
    for span in spans:
        if span.start < at:
            raise ValueError(f"the span at {span.start} begins inside the one before it, which ends at {at}")
        t, h, w = merged_grid(span.grid, merge_size)
        end = span.start + t * h * w
        if end > length:
            raise ValueError(f"the span at {span.start} needs {t * h * w} placeholders but the prompt ends at {length}")
        text = span.start - at
        positions[:, at : span.start] = np.arange(following, following + text)
        positions[:, span.start : end] = following + text + np.indices((t, h, w)).reshape(3, -1)
        at, following = end, following + text + max(t, h, w)
    positions[:, at:] = np.arange(following, following + length - at)
    return positions, following - at


def positions_under(scheme: PositionScheme, position_ids: np.ndarray, rope_delta: int) -> tuple[np.ndarray, int]:
    """The position ids (3, L) of a prompt under another scheme, and its rope_delta; for experiments.

    "mrope" is what the model was trained with. "silenced" sets h and w to t, so that all merged tokens of a picture
    have the same position, while text keeps its own. "1d" increments by one for every token, as plain RoPE does.
    """
    if scheme == "silenced":
        return np.tile(position_ids[:1], (3, 1)), rope_delta
    if scheme == "1d":
        return np.tile(np.arange(position_ids.shape[1]), (3, 1)), 0
    return position_ids, rope_delta


def band_axes(mrope_section: Sequence[int]) -> np.ndarray:
    """The axis (0 = t, 1 = h, 2 = w) that rotates each frequency pair of a head. (head_dim / 2,)"""
    return np.repeat(np.arange(len(mrope_section)), mrope_section)


def inverse_frequencies(pairs: int, theta: float) -> np.ndarray:
    """Radians per position of each frequency pair, fastest first: theta ** (-i / pairs). (pairs,) float64"""
    return theta ** (-np.arange(pairs) / pairs)


def video_frame_count(
    total_frames: int,
    source_fps: float,
    *,
    fps: float = VIDEO_FPS,
    min_frames: int = VIDEO_MIN_FRAMES,
    max_frames: int = VIDEO_MAX_FRAMES,
) -> int:
    """How many frames are sampled from a clip: duration x fps within the limits, in whole pairs.

    Never more than the clip has, except for clips of 1 or 3 frames, whose last frame is repeated to complete a pair.
    (The reference loader refuses clips of 1 frame, and drops the third frame of clips of 3.)
    """
    wanted = _pairs_down(int(total_frames / source_fps * fps))
    ceiling = max(_pairs_down(max_frames), TEMPORAL_PATCH_SIZE)
    floor = min(_pairs_up(min_frames), ceiling)
    available = _pairs_down(total_frames) if total_frames >= VIDEO_MIN_FRAMES else _pairs_up(total_frames)
    return min(max(wanted, floor), ceiling, available)


def sample_indices(total_frames: int, count: int) -> np.ndarray:
    """Indices of the sampled frames, evenly spaced, with the first and the last. (count,)

    A clip shorter than `count` repeats its last frame at the end, and no frame in the middle.
    """
    if count >= total_frames:
        return np.minimum(np.arange(count), total_frames - 1)
    return np.linspace(0, total_frames - 1, count).round().astype(np.int64)


def video_frame_pixels(
    count: int,
    *,
    min_pixels: int = VIDEO_FRAME_MIN_PIXELS,
    max_pixels: int = VIDEO_FRAME_MAX_PIXELS,
    total_pixels: int = VIDEO_TOTAL_PIXELS,
) -> int:
    """The maximum of pixels of each of `count` frames: an equal share of the budget of the whole video.

    A pair of frames costs what one picture costs, hence the factor of two.
    """
    share = total_pixels / count * TEMPORAL_PATCH_SIZE
    return int(max(min(max_pixels, share), 1.05 * min_pixels))


def _pairs_down(frames: int) -> int:
    return frames // TEMPORAL_PATCH_SIZE * TEMPORAL_PATCH_SIZE


def _pairs_up(frames: int) -> int:
    return math.ceil(frames / TEMPORAL_PATCH_SIZE) * TEMPORAL_PATCH_SIZE

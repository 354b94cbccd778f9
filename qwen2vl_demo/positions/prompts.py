"""The runs of a prompt, as Qwen2-VL cuts it and as Qwen3-VL would."""

from __future__ import annotations

from qwen2vl_demo.geometry import TEMPORAL_PATCH_SIZE, VIDEO_FPS, Size, smart_resize
from qwen2vl_demo.positions.layouts import Run
from qwen2vl_demo.trace import MediaTrace, PromptTrace

QWEN3_FACTOR = 32  # px, the side of a merged token of Qwen3-VL: patches of 16, merged 2x2
VISION_START = "<|vision_start|>"


def runs_of(trace: PromptTrace) -> list[Run]:
    """Text and media as they are in the prompt."""
    runs, at = [], 0
    for number, medium in enumerate(trace.media):
        start, end = medium.span
        runs += _text(at, start)
        runs.append(Run(medium.merged_grid, number, seconds=seconds_per_step(medium)))
        at = end
    return runs + _text(at, len(trace))


def qwen3_runs(trace: PromptTrace) -> list[Run]:
    """The same prompt in Qwen3-VL's tokens: grids of 32 px within the same pixel limits, and each step of a clip a span
    of its own behind a written time stamp.

    Text keeps the tokens that it has here. (`replace_video_token` in transformers' processing_qwen3_vl.py.)
    """
    runs, at = [], 0
    for number, medium in enumerate(trace.media):
        start, end = medium.span
        rows, columns = qwen3_grid(medium)
        if medium.kind == "image":
            runs += [*_text(at, start), Run((1, rows, columns), number)]
        else:
            marked = start > at and trace.tokens[start - 1] == VISION_START
            runs += _text(at, start - marked)
            for step in range(medium.merged_grid[0]):
                # Each step has both markers; the prompt's own are that before the first and that behind the last.
                extra = stamp_tokens(stamp_seconds(medium, step)) + (2 if step else 0)
                runs.append(Run((1, 1, extra)))
                runs += _text(start - 1, start) if marked and not step else []
                runs.append(Run((1, rows, columns), number, step))
        at = end
    return runs + _text(at, len(trace))


def qwen3_grid(medium: MediaTrace) -> Size:
    """(rows, columns) of 32-px tokens of a picture, or of each frame of a clip."""
    least = max(medium.min_pixels, QWEN3_FACTOR**2)
    most = max(medium.max_pixels, least)
    height, width = smart_resize(*medium.original_size, factor=QWEN3_FACTOR, min_pixels=least, max_pixels=most)
    return height // QWEN3_FACTOR, width // QWEN3_FACTOR


def seconds_per_step(medium: MediaTrace) -> float | None:
    """Seconds from one step of t to the next: two frames at the rate at which the clip was sampled. None for pictures.

    (`second_per_grid_ts` of Qwen2.5-VL's processor: the temporal patch size over the frames sampled per second.)
    """
    if medium.kind == "image":
        return None
    times, indices = medium.timestamps, medium.frame_indices
    if len(times) < 2 or len(indices) < 2 or times[-1] <= times[0] or indices[-1] <= indices[0]:
        return TEMPORAL_PATCH_SIZE / VIDEO_FPS
    source_fps = (indices[-1] - indices[0]) / (times[-1] - times[0])
    present = indices[-1] - indices[0] + 1  # the first and the last are always taken
    return TEMPORAL_PATCH_SIZE * present / source_fps / len(times)


def stamp_seconds(medium: MediaTrace, step: int) -> float:
    """What is written before a step: the mean time of its two frames."""
    times = medium.timestamps or (0.0,)
    first, second = (times[min(TEMPORAL_PATCH_SIZE * step + i, len(times) - 1)] for i in (0, 1))
    return (first + second) / 2


def stamp_tokens(seconds: float) -> int:
    """Tokens of "<12.5 seconds>" for Qwen's tokenizer, which cuts numbers into digits: < 1 2 . 5 seconds >"""
    return len(f"{seconds:.1f}") + 3


def _text(start: int, end: int) -> list[Run]:
    return [Run((1, 1, end - start), token=start)] if end > start else []

"""Whose eyes the panel draws a prompt through: those of the model that answers, or of the released Qwen2-VL.

The released checkpoints (2B, 7B and 72B) share one preprocessing, which allows a picture 4 to 16,384 tokens. Through
their eyes the same files are resized and cut as they would be for them. Nothing of that is sent to the model.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from qwen2vl_demo.engine.protocol import GenerationOptions
from qwen2vl_demo.geometry import (
    MAX_PIXELS,
    MIN_PIXELS,
    VIDEO_FRAME_MIN_PIXELS,
    grid_thw,
    merged_tokens,
    smart_resize,
    video_frame_pixels,
)
from qwen2vl_demo.released import REFERENCE, RELEASED
from qwen2vl_demo.trace import MediaTrace, PromptTrace

Eyes = Literal["model", "released"]

RELEASED_LIMITS = (MIN_PIXELS, MAX_PIXELS)  # px of a picture, in the released preprocessor_config.json
RELEASED_CONTEXT = RELEASED[REFERENCE].text.max_position_embeddings


def through(options: GenerationOptions, eyes: Eyes) -> GenerationOptions:
    """The options with which a prompt is prepared to be drawn. Budgets of the settings are this model's alone."""
    if eyes == "model":
        return options
    media = replace(options.media, min_pixels=None, max_pixels=None, picture_limits=RELEASED_LIMITS)
    return replace(options, media=media)


def as_released(trace: PromptTrace) -> PromptTrace:
    """A trace that was prepared with `through(..., "released")`, with the context of the released checkpoints."""
    return replace(trace, context_length=RELEASED_CONTEXT)


def released_tokens(medium: MediaTrace) -> int:
    """The merged tokens of a medium with the released checkpoints, from its sizes alone."""
    frames = max(1, len(medium.frame_indices))
    floor, ceiling = RELEASED_LIMITS
    if medium.kind == "video":
        floor, ceiling = VIDEO_FRAME_MIN_PIXELS, min(video_frame_pixels(frames), ceiling)
    size = smart_resize(*medium.original_size, min_pixels=floor, max_pixels=ceiling)
    return merged_tokens(grid_thw(frames, *size))


def are_released(pixel_limits: tuple[int, int]) -> bool:
    """Whether an engine of these limits sees as the released checkpoints do."""
    return pixel_limits == RELEASED_LIMITS

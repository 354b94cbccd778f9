"""Prompts made of a few numbers, for tests of positions."""

from __future__ import annotations

import numpy as np

from qwen2vl_demo.geometry import FACTOR, MAX_PIXELS, MIN_PIXELS, Grid, VisionSpan, mrope_position_ids
from qwen2vl_demo.positions.prompts import VISION_START
from qwen2vl_demo.trace import MediaTrace, PromptTrace


def prompt_trace(*parts: int | Grid, fps: float = 2.0) -> PromptTrace:
    """A prompt of tokens of text (an int) and of media (merged tokens (t, h, w)), each of which is between its markers;
    a medium with t > 1 is a clip whose frames were sampled at `fps`."""
    tokens: list[str] = []
    media: list[MediaTrace] = []
    for part in parts:
        if isinstance(part, int):
            tokens += ["word"] * part
            continue
        t, h, w = part
        tokens.append(VISION_START)
        size, frames = (h * FACTOR, w * FACTOR), 2 * t if t > 1 else 0
        media.append(
            MediaTrace(
                kind="video" if frames else "image",
                name=f"medium {len(media)}",
                message=0,
                part=len(media),
                original_size=size,
                resized_size=size,
                grid_thw=(t, 2 * h, 2 * w),
                span=(len(tokens), len(tokens) + t * h * w),
                min_pixels=MIN_PIXELS,
                max_pixels=MAX_PIXELS,
                timestamps=tuple(i / fps for i in range(frames)),
                frame_indices=tuple(range(frames)),
                total_frames=frames or 1,
            )
        )
        tokens += ["<pad>"] * (t * h * w) + ["<|vision_end|>"]
    spans = [VisionSpan(m.span[0], m.grid_thw) for m in media]
    positions, delta = mrope_position_ids(len(tokens), spans)
    return PromptTrace(
        input_ids=np.zeros(len(tokens), dtype=np.int64),
        position_ids=positions,
        rope_delta=delta,
        tokens=tuple(tokens),
        media=tuple(media),
        context_length=None,
    )

"""The page of `inspect --html`: drawn from the trace, complete in itself."""

from __future__ import annotations

import base64
import io
import re

import numpy as np
import PIL.Image

from qwen2vl_demo.geometry import VisionSpan, grid_thw, merged_tokens, mrope_position_ids
from qwen2vl_demo.report import SHOWN_PAIRS, SHOWN_SIDE, report_page
from qwen2vl_demo.trace import MediaTrace, PromptTrace


def page(kind: str, frames: np.ndarray, name: str = "cat.png") -> str:
    count, height, width, _ = frames.shape
    grid = grid_thw(count, height, width)
    end = 3 + merged_tokens(grid)
    positions, delta = mrope_position_ids(end + 2, [VisionSpan(3, grid)])
    seconds = tuple(i / 2 for i in range(count)) if kind == "video" else ()
    medium = MediaTrace(
        kind, name, 0, 0, (height + 5, width), (height, width), grid, (3, end), 3136, 99_999,
        timestamps=seconds, frame_indices=tuple(range(0, 10 * count, 10)) if seconds else (), total_frames=10 * count,
    )  # fmt: skip
    trace = PromptTrace(np.zeros(end + 2, np.int64), positions, delta, ("",) * (end + 2), (medium,), 4096)
    return report_page(trace, [frames])


def rows(html: str) -> dict[str, str]:
    return dict(re.findall(r'<th scope="row">(.*?)</th><td>(.*?)</td>', html))


def test_the_numbers_are_the_traces() -> None:
    """112x84 px are 8x6 patches, 4x3 = 12 merged tokens; with 3 tokens before and 2 behind them 17 in all."""
    html = page("image", np.zeros((1, 112, 84, 3), np.uint8))
    assert rows(html) == {
        "Original": "117 × 84 px",
        "Resized": "112 × 84 px",
        "Patches (t, h, w)": "1 × 8 × 6",
        "Merged tokens (t, h, w)": "1 × 4 × 3",
        "Tokens in the prompt": "12",
        "Places in the prompt": "3 to 14",
        "Pixel budget": "3,136 to 99,999",
        "Tokens in all": "17",
        "for pictures and videos": "12",
        "for words and marks": "5",
        "Largest position": "8",
        "rope_delta": "-8",
    }


def test_the_grid_is_drawn_in_pixels_of_the_resized_picture() -> None:
    html = page("image", np.zeros((1, 112, 84, 3), np.uint8))
    assert 'viewBox="0 0 84 112"' in html and 'width="28" height="28" patternUnits="userSpaceOnUse"' in html


def test_the_picture_inside_is_the_one_that_was_resized_and_a_large_one_is_shown_smaller() -> None:
    colour = (10, 200, 90)
    html = page("image", np.full((1, 28, 56 * 28, 3), colour, np.uint8))
    (content,) = re.findall(r'src="data:image/webp;base64,(.*?)"', html)
    shown = PIL.Image.open(io.BytesIO(base64.b64decode(content)))
    assert shown.width == SHOWN_SIDE
    assert np.abs(np.asarray(shown.convert("RGB")).mean((0, 1)) - colour).max() < 4


def test_a_clip_shows_one_frame_a_pair_and_says_how_many_more_there_are() -> None:
    html = page("video", np.zeros((2 * SHOWN_PAIRS + 4, 28, 28, 3), np.uint8), "clip.mp4")
    assert html.count("<img ") == SHOWN_PAIRS and "and 2 more pairs" in html
    assert "t = 1: 1.00 s and 1.50 s" in html
    assert rows(html)["Frames taken"] == f"{2 * SHOWN_PAIRS + 4} of {10 * (2 * SHOWN_PAIRS + 4)}"


def test_a_name_from_outside_is_text_everywhere() -> None:
    html = page("image", np.zeros((1, 28, 28, 3), np.uint8), "<script>alert(1)</script>\" onload='x'")
    assert "<script" not in html and "onload='x'" not in html

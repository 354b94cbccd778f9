"""The page of `inspect --html`: the panel and its numbers in one file. Its rendering is tested in tests/browser."""

from __future__ import annotations

import json
import re
from typing import Any

import numpy as np

from qwen2vl_demo.geometry import VisionSpan, grid_thw, merged_tokens, mrope_position_ids
from qwen2vl_demo.report import report_page
from qwen2vl_demo.trace import MediaTrace, PromptTrace
from qwen2vl_demo.viz.run_length import from_runs


def page(kind: str, frames: np.ndarray, name: str = "cat.png", pieces: tuple[str, ...] = ()) -> tuple[str, PromptTrace]:
    count, height, width, _ = frames.shape
    grid = grid_thw(count, height, width)
    end = 3 + merged_tokens(grid)
    positions, delta = mrope_position_ids(end + 2, [VisionSpan(3, grid)])
    seconds = tuple(i / 2 for i in range(count)) if kind == "video" else ()
    medium = MediaTrace(
        kind, name, 0, 0, (height + 5, width), (height, width), grid, (3, end), 3136, 99_999,
        timestamps=seconds, frame_indices=tuple(range(0, 10 * count, 10)) if seconds else (), total_frames=10 * count,
    )  # fmt: skip
    tokens = (*pieces, *("",) * (end + 2 - len(pieces)))
    trace = PromptTrace(np.arange(end + 2), positions, delta, tokens, (medium,), 4096)
    return report_page(trace, [frames]), trace


def held(html: str, element: str) -> Any:
    """The JSON in one of the page's <script type="application/json">."""
    (text,) = re.findall(rf'<script type="application/json" id="{element}">(.*?)</script>', html, re.DOTALL)
    return json.loads(text)


def test_the_numbers_are_the_traces() -> None:
    """112x84 px are 8x6 patches, 4x3 = 12 merged tokens; with 3 tokens before and 2 behind them 17 in all."""
    html, trace = page("image", np.zeros((1, 112, 84, 3), np.uint8))
    data = held(html, "lens-payload")
    (medium,) = data["media"]
    assert (medium["grid_thw"], medium["span"], medium["merged_tokens"]) == ([1, 8, 6], [3, 15], 12)
    assert medium["original_size"] == [117, 84] and medium["resized_size"] == [112, 84]
    assert data["length"] == 17 and data["rope_delta"] == -8
    assert [from_runs(axis).tolist() for axis in data["position_ids"]] == trace.position_ids.tolist()


def test_the_page_needs_nothing_but_itself() -> None:
    html, _ = page("video", np.zeros((4, 28, 28, 3), np.uint8), "clip.mp4")
    assert not re.findall(r"""(?:src|href)\s*=\s*["'](?!data:)""", html)
    assert not re.findall(r"https?://", html)
    assert "default-src 'none'" in html and "connect-src" not in html


def test_it_can_write_itself_again() -> None:
    """The page's own source travels with it, marks and all, for its own button View as HTML."""
    html, _ = page("image", np.zeros((1, 28, 28, 3), np.uint8))
    source = held(html, "lens-page")
    assert re.findall("<<([A-Z]+)>>", source) == ["STYLE", "PAGE", "PAYLOAD", "STATE", "SCRIPT"]
    assert not re.findall("<<[A-Z]+>>", html)


def test_words_from_outside_are_data_and_never_markup() -> None:
    hostile = "<script>alert(1)</script><<STYLE>>\" onload='x'"
    html, trace = page("image", np.zeros((1, 28, 28, 3), np.uint8), hostile, ("</script>", "<<SCRIPT>>", '"PAYLOAD"'))
    data = held(html, "lens-payload")
    assert data["media"][0]["name"] == hostile and data["tokens"][:3] == list(trace.tokens[:3])
    assert "alert(1)</script>" not in html and html.count("<script") == held(html, "lens-page").count("<script")

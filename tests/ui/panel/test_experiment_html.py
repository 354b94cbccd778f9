"""The guesses about a picture say what the arithmetic of Qwen2-VL says."""

import html
from dataclasses import replace
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from qwen2vl_demo.engine.processor_only import ProcessorOnlyEngine
from qwen2vl_demo.engine.protocol import GenerationOptions
from qwen2vl_demo.processing.messages import Image, MediaOptions, Message, Text, Video
from qwen2vl_demo.trace import PromptTrace
from qwen2vl_demo.ui.panel.experiment_html import guesses_html
from tests.ui.conftest import clip


@pytest.fixture(scope="module")
def engine() -> ProcessorOnlyEngine:
    return ProcessorOnlyEngine.load()


def trace(engine: ProcessorOnlyEngine, height: int, width: int, most: int | None = None) -> PromptTrace:
    picture = PIL.Image.fromarray(np.zeros((height, width, 3), np.uint8))
    media = MediaOptions(max_pixels=most)
    message = Message("user", [Image(picture, name="<b>.png"), Text("?")])
    return engine.prepare([message], GenerationOptions(media=media))


def test_twice_the_sides_are_four_times_the_tokens_where_the_budget_allows(engine: ProcessorOnlyEngine) -> None:
    """280x560 px are 10x20 = 200 tokens; 560x1120 are 20x40 = 800. Positions go on by the longer side, 20."""
    shown = guesses_html(trace(engine, 280, 560))
    assert "takes 200 tokens" in shown and "800 tokens, instead of 200" in shown and "Four times the pixels" in shown
    assert "200 tokens, as many" in shown
    assert "By 20, the longest of 10 rows and 20 columns, although it takes 200 tokens" in shown
    assert "<b>.png" not in shown and "&lt;b&gt;.png" in shown


@pytest.mark.parametrize("stamped", [False, True])
def test_of_a_clip_the_guesses_are_about_all_of_it(engine: ProcessorOnlyEngine, tmp_path: Path, stamped: bool) -> None:
    """With time stamps too, where the prompt has it in pairs of frames: what it takes is the same, and the position
    counter moves on as the positions of that prompt say."""
    media = MediaOptions(max_pixels=40 * 784, time_stamps=stamped)
    message = Message("user", [Video(clip(tmp_path / "clip.mp4", 61), "clip.mp4"), Text("?")])
    prompt = engine.prepare([message], GenerationOptions(media=media))
    plain = engine.prepare([message], GenerationOptions(media=replace(media, time_stamps=False)))
    (medium,) = prompt.attached
    assert len(prompt.media) == (len(medium.frame_indices) // 2 if stamped else 1)
    (start, end), now = medium.span, sum(m.merged_tokens for m in plain.media)
    shown = html.unescape(guesses_html(prompt))
    assert f"takes {now:,} tokens" in shown and "clip.mp4, 0.0 s" not in shown
    moved = int(prompt.position_ids[0, end] - prompt.position_ids[0, start])
    assert f"By {moved:,}" in shown and f"would move on by {end - start:,}" in shown


def test_a_budget_holds_back_and_a_tiny_picture_is_enlarged(engine: ProcessorOnlyEngine) -> None:
    held = html.unescape(guesses_html(trace(engine, 280, 560, most=200 * 784)))
    assert "200 tokens, as many as now" in held and "at most 200 tokens per picture, limits it" in held
    assert "With the released checkpoints' budget it would go from 200 to 800." in held
    tiny = guesses_html(trace(engine, 30, 30))  # enlarged to 2x2 tokens; 60x60 px are rounded to 2x2 as well
    assert "4 tokens, as many as now" in tiny and "is enlarged" in tiny


@pytest.mark.parametrize(
    ("height", "width"),
    [(280, 560), (196, 380), (397, 203), (300, 300), (333, 500), (61, 900), (42, 70), (1080, 1920), (59, 59)],
)
def test_what_is_said_of_four_times_the_pixels_holds_for_every_size(
    engine: ProcessorOnlyEngine, height: int, width: int
) -> None:
    """Exactly four times the tokens only where it is that; else the rounded sides stand there. 196x380 px, for
    instance, take 7x14 = 98 tokens (380 / 28 = 13.6), and twice as large 14x27 = 378 (760 / 28 = 27.1)."""
    (medium,) = trace(engine, height, width).media
    (doubled,) = trace(engine, 2 * height, 2 * width).media
    shown = html.unescape(guesses_html(trace(engine, height, width)))
    now, then = medium.merged_tokens, doubled.merged_tokens
    assert f"{then:,} tokens, " in shown
    if then == 4 * now:
        assert "Four times the pixels are four times the tokens" in shown
        return
    assert "are four times the tokens" not in shown
    assert f"Exactly that would be {4 * now:,}, but each side is rounded" in shown
    for side, rounded, double in zip(
        (width, height), medium.resized_size[::-1], doubled.resized_size[::-1], strict=True
    ):
        assert f"{side:,} to {rounded:,} and {2 * side:,} to {double:,}" in shown


def test_without_a_picture_there_is_an_invitation(engine: ProcessorOnlyEngine) -> None:
    no_picture = guesses_html(engine.prepare([Message("user", "Hi")], GenerationOptions()))
    assert "Attach a picture" in no_picture and guesses_html(None) == no_picture

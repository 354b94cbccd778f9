"""Every number of the lesson, for a photograph, a tall strip and a clip, equals what geometry.py and the processor say
of the same sizes under the limits of the released checkpoints."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
from playwright.sync_api import Browser, Page

from qwen2vl_demo.engine.processors import reference_processor
from qwen2vl_demo.geometry import (
    VisionSpan,
    grid_thw,
    merged_tokens,
    mrope_position_ids,
    positions_under,
    smart_resize,
)
from qwen2vl_demo.processing.messages import Image, MediaOptions, Message, Text, Video
from qwen2vl_demo.trace import PromptTrace
from qwen2vl_demo.ui.lesson.scripts import script
from qwen2vl_demo.viz.lens_page import script as lens_script
from tests.ui.conftest import clip

# (height, width): a photograph of 12 megapixels, a tall strip, the prepared picture, one below the smallest budget, one
# above the largest, and halves of 28
SIZES = [(3024, 4032), (1600, 120), (400, 500), (20, 40), (5000, 7000), (42, 70)]
WORDS = "What is in this picture?"
TOKEN = 28 * 28


@pytest.fixture(scope="module")
def lesson(browser: Browser) -> Iterator[Page]:
    """A page with nothing but the scripts."""
    page = browser.new_page()
    page.evaluate(lens_script())
    page.evaluate(script())
    yield page
    page.close()


def scene(size: tuple[int, int], **changes: Any) -> dict[str, Any]:
    height, width = size
    plain = {"key": "own", "height": height, "width": width, "place": 0, "clip": None, "film": None, "question": ""}
    return plain | {"model": {"name": "none", "positions": False}, "budget": 16_384} | changes


def told(lesson: Page, key: str, about: dict[str, Any]) -> dict[str, Any]:
    """What a step asks, counts and says of a scene."""
    found: dict[str, Any] = lesson.evaluate(
        """([key, s]) => {
          const step = qwen2vl.lesson.steps.find(step => step.key === key);
          const words = all => all.map(part => typeof part === "string" ? part : part.getAttribute("aria-label") || "");
          const guess = step.guess(s);
          return {truth: guess.truth, wrong: (guess.mistakes || []).map(([value]) => value), ask: guess.ask,
                  sum: step.sum(s), reveal: words(step.reveal(s)).join(" "), lead: words(step.lead(s)).join(" ")};
        }""",
        [key, about],
    )
    return found


def prompt(size: tuple[int, int], budget: int, words: tuple[str, str] = ("", WORDS)) -> PromptTrace:
    """What the processor makes of a picture between two parts of a question."""
    picture = Image(PIL.Image.new("RGB", size[::-1]))
    before, after = words
    parts = [*([Text(before)] if before else []), picture, *([Text(after)] if after else [])]
    return reference_processor().process([Message("user", parts)], MediaOptions(max_pixels=budget * TOKEN)).trace


@pytest.mark.parametrize("size", SIZES)
def test_pixels_sides_patches_and_tokens_of_a_picture(lesson: Page, size: tuple[int, int]) -> None:
    height, width = size
    h, w = smart_resize(height, width)
    patches, tokens = math.prod(grid_thw(1, h, w)), merged_tokens(grid_thw(1, h, w))
    about = scene(size)
    steps = {key: told(lesson, key, about) for key in ("pixels", "resize", "patches", "merge")}
    assert steps["pixels"]["truth"] == height * width * 3
    assert steps["pixels"]["sum"] == [f"{width:,} x {height:,} x 3 = {height * width * 3:,}"]
    assert steps["resize"]["truth"] == w and steps["resize"]["sum"][-1] == f"{w // 28:,} x 28 = {w:,}"
    assert f"become {w:,} x {h:,}" in steps["resize"]["reveal"] or (h, w) == size
    assert steps["patches"]["truth"] == patches
    assert steps["patches"]["sum"] == [
        f"{w:,} / 14 = {w // 14:,}, {h:,} / 14 = {h // 14:,}",
        f"{w // 14:,} x {h // 14:,} = {patches:,}",
    ]
    assert steps["merge"]["truth"] == tokens
    assert steps["merge"]["sum"] == [f"{patches:,} / 4 = {tokens:,} = {w // 28:,} x {h // 28:,}"]
    twice = math.prod(grid_thw(1, *smart_resize(2 * h, 2 * w)))
    times = "four times as many" if twice == 4 * patches else f"only {twice / patches:.2f} times as many"
    assert f"{twice:,} patches, {times}" in steps["patches"]["reveal"]
    for step in steps.values():
        assert step["truth"] not in step["wrong"] or step["truth"] in (width, w)


def test_the_example_of_the_issue_and_those_that_everybody_quotes(lesson: Page) -> None:
    """448x448 is 32x32 = 1,024 patches and 256 tokens, 1568x1568 is 3,136 tokens, 308x448 is 176 = 16 x 11."""
    assert told(lesson, "patches", scene((448, 448)))["truth"] == 1024
    assert [told(lesson, "merge", scene((side, side)))["truth"] for side in (448, 1568)] == [256, 3136]
    assert told(lesson, "merge", scene((310, 450)))["sum"] == ["704 / 4 = 176 = 16 x 11"]


@pytest.mark.parametrize(("size", "expected"), [((400, 500), 16_384), ((3024, 4032), 400), ((1600, 120), 16_384)])
def test_the_lesson_begins_with_cells_that_can_be_seen(lesson: Page, size: tuple[int, int], expected: int) -> None:
    """500x400 is 18x14 = 252 tokens and 1600x120 57x4 = 228; 3024x4032 would be 15,552."""
    assert lesson.evaluate("size => qwen2vl.lesson.sums.startingBudget(...size)", list(size)) == expected


@pytest.mark.parametrize("place", [0, 2, 6])
@pytest.mark.parametrize("size", SIZES[:3])
def test_the_row_is_the_prompt_of_the_processor(lesson: Page, size: tuple[int, int], place: int) -> None:
    pieces = lesson.evaluate("() => { const s = qwen2vl.lesson.sums; return [s.OPENING, s.QUESTION, s.CLOSING]; }")
    opening, question, closing = pieces
    trace = prompt(size, 400, ("".join(question[:place]), "".join(question[place:])))
    (span,) = [medium.span for medium in trace.media]
    words = [*question[:place], "<|vision_start|>", "<|vision_end|>", *question[place:]]
    assert [*opening, *words, *closing] == [*trace.tokens[: span[0]], *trace.tokens[span[1] :]]
    before, tokens, after = span[0], span[1] - span[0], len(trace) - span[1]
    step = told(lesson, "row", scene(size, budget=400, place=place))
    share = tokens / len(trace)
    assert step["sum"] == [
        f"{before} + {tokens} + {after} = {len(trace)}",
        f"{tokens} / {len(trace)} = {math.floor(100 * share + 0.5)} %",
    ]
    assert step["truth"] == ("half" if share < 0.5 else "most" if share < 0.9 else "nearly")


@pytest.mark.parametrize("place", [0, 3])
@pytest.mark.parametrize("size", SIZES)
def test_addresses_are_those_of_the_processor(lesson: Page, size: tuple[int, int], place: int) -> None:
    """Of each token of the grid that the step draws, under all three schemes, and of the first token behind it."""
    question = ["What", " is", " in", " this", " picture", "?"]
    words = ("".join(question[:place]), "".join(question[place:]))
    trace = prompt(size, 24, words)
    (medium,) = trace.media
    _, rows, columns = medium.merged_grid
    start, end = medium.span
    about = scene(size, place=place)
    for scheme in ("mrope", "silenced", "1d"):
        positions, _ = positions_under(scheme, trace.position_ids, trace.rope_delta)  # type: ignore[arg-type]
        drawn = lesson.evaluate(
            """([s, scheme, rows, columns]) => { const l = qwen2vl.lesson, p = l.smallGrid(s);
            return Array.from({length: rows * columns}, (_, i) =>
              l.sums.under(scheme, p, Math.floor(i / columns), i % columns)); }""",
            [about, scheme, rows, columns],
        )
        assert np.array_equal(np.array(drawn).T, positions[:, start:end])
    step = told(lesson, "addresses", about)
    first, behind = int(trace.position_ids[0, start]), int(trace.position_ids[0, end])
    assert step["truth"] == behind and step["wrong"][0] == first + rows * columns
    assert f"begins at {first}" in step["ask"] and f"{columns} x {rows} = {rows * columns} tokens" in step["lead"]
    assert behind == first + max(1, rows, columns)
    assert step["sum"] == [
        f"t, h, w     {first} + max(1, {rows}, {columns}) = {behind}",
        f"one by one  {first} + {columns} x {rows} = {first + rows * columns}",
    ]
    whole = VisionSpan(start, grid_thw(1, *smart_resize(*size)))
    counted = start + merged_tokens(whole.grid)
    after = int(mrope_position_ids(counted + 1, [whole])[0][0, counted])
    assert f"go on at {after:,}; counted one by one, at {counted:,}." in step["reveal"]
    assert "16 pairs turn with t, 24 with h, 24 with w" in step["reveal"]


def test_addresses_taken_away_end_in_the_sum_of_the_last_step(lesson: Page) -> None:
    """A model that cannot be asked with other positions: all tokens of a picture share one address."""
    trace = prompt((400, 500), 24)
    (medium,) = trace.media
    step = told(lesson, "positions", scene((400, 500)))
    last = medium.span[1] - 1
    schemes = [
        positions_under(s, trace.position_ids, trace.rope_delta)[0][:, last] for s in ("mrope", "silenced", "1d")
    ]
    mrope, silenced, plain = (",".join(map(str, ids)) for ids in schemes)
    assert step["sum"][1:] == [f"as trained  {mrope}", f"silenced    {silenced}", f"one by one  {plain}"]
    assert step["truth"] == len({tuple(ids) for ids in np.tile(trace.position_ids[:1, slice(*medium.span)], (3, 1)).T})


@pytest.mark.parametrize("frames", [3, 8, 61])
def test_the_steps_and_tokens_of_a_clip(lesson: Page, tmp_path: Path, frames: int) -> None:
    film = clip(tmp_path / "clip.mp4", frames)
    trace = reference_processor().process([Message("user", [Video(film), Text("?")])], MediaOptions()).trace
    (medium,) = trace.media
    height, width = medium.original_size
    sampled = len(medium.frame_indices)
    shown = {"name": "clip.mp4", "height": height, "width": width, "frames": sampled, "total": medium.total_frames}
    step = told(lesson, "clip", scene(medium.original_size, film=shown, clip=shown))
    t, rows, columns = medium.merged_grid
    assert step["truth"] == medium.merged_tokens == t * rows * columns
    assert step["wrong"][0] == sampled * rows * columns
    assert step["sum"] == [f"{sampled} / 2 = {t}", f"{t} x {columns} x {rows} = {medium.merged_tokens}"]
    resized_h, resized_w = medium.resized_size
    assert f"{resized_w} x {resized_h} pixels or {columns} x {rows} tokens" in step["lead"]
    t_ids = trace.position_ids[0, slice(*medium.span)]
    assert f"from {t_ids.min()} to {t_ids.max()}, one more for each pair" in step["reveal"]


@pytest.mark.parametrize(
    ("guess", "value", "said"),
    [
        ({"truth": 252, "unit": "token"}, 252, "Right: 252 tokens."),
        ({"truth": 252, "unit": "token"}, 240, "Close: you said 240, it is 252 tokens."),
        ({"truth": 252, "unit": "token"}, 0, "You said 0; it is 252 tokens."),
        ({"truth": 252, "unit": "token", "mistakes": [[1008, "Four share one."]]}, 1008,
         "You said 1,008; it is 252 tokens. Four share one."),
        ({"truth": "a", "choices": [["a", "less"], ["b", "more"]]}, "b", "You said more; it is less."),
        ({"truth": "a", "choices": [["a", "less"], ["b", "more"]]}, "a", "Right: less."),
        ({"truth": 252, "unit": "token"}, "", "252 tokens."),
        ({"truth": None, "pending": "Wait."}, "a", "Wait."),
    ],
)  # fmt: skip
def test_a_guess_is_compared_with_the_truth(lesson: Page, guess: dict[str, Any], value: Any, said: str) -> None:
    assert lesson.evaluate("([guess, value]) => qwen2vl.lesson.verdict(guess, value)", [guess, value]) == said

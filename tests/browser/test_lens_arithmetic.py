"""What the browser works out itself equals Python's, over many values: sizes, orders, runs."""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
from playwright.sync_api import Browser, Page

from qwen2vl_demo.engine.processors import reference_processor
from qwen2vl_demo.geometry import block_order, raster_order, smart_resize
from qwen2vl_demo.processing.messages import Image, MediaOptions, Message, Text, Video
from qwen2vl_demo.viz.lens_page import script
from qwen2vl_demo.viz.run_length import to_runs
from tests.ui.conftest import clip


@pytest.fixture(scope="module")
def lens(browser: Browser) -> Iterator[Page]:
    """A page with nothing but the scripts of the lens."""
    page = browser.new_page()
    page.evaluate(script())
    yield page
    page.close()


def sizes() -> list[tuple[int, int, int, int]]:
    """(height, width, min_pixels, max_pixels): every half of 28, the golden values, and thousands at random."""
    random = np.random.default_rng(7)
    made = [(side, side, 3136, 12_845_056) for side in range(1, 700)]
    made += [(h, w, 3136, 16384 * 784) for h in range(14, 1500, 28) for w in (14, 42, 70, 98, 126, 500)]
    for _ in range(4000):
        h, w = (int(x) for x in np.exp(random.uniform(0, 9, 2)).astype(int) + 1)
        low = int(random.integers(784, 200_000))
        if max(h, w) <= 200 * min(h, w):
            made.append((h, w, low, low + int(random.integers(0, 13_000_000))))
    return made


def test_smart_resize_is_the_same_over_thousands_of_sizes(lens: Page) -> None:
    asked = sizes()
    answers: Any = lens.evaluate(
        "all => all.map(a => qwen2vl.lens.geometry.smartResize(...a)).map(r => [r.height, r.width])", asked
    )
    expected = [list(smart_resize(h, w, min_pixels=low, max_pixels=high)) for h, w, low, high in asked]
    assert len(asked) > 4000 and answers == expected


def test_which_end_of_the_budget_acted(lens: Page) -> None:
    """720x1280 rounds to 728x1288 = 1,196 tokens: a budget of 1,196 leaves it, 1,195 shrinks it; 10x10 must grow."""
    acted: Any = lens.evaluate(
        "all => all.map(a => qwen2vl.lens.geometry.smartResize(...a).acted)",
        [[720, 1280, 3136, 1196 * 784], [720, 1280, 3136, 1195 * 784], [10, 10, 3136, 1196 * 784]],
    )
    assert acted == [None, "max", "min"]


@pytest.mark.parametrize("grid", [(2, 2), (4, 4), (8, 6), (112, 112), (2, 58)])
def test_block_order_is_the_same_in_both_directions(lens: Page, grid: tuple[int, int]) -> None:
    h, w = grid
    places, patches = lens.evaluate(
        """([h, w]) => { const g = qwen2vl.lens.geometry, all = [...Array(h * w).keys()];
        return [all.map(i => g.blockPlace(Math.floor(i / w), i % w, w)),
                all.map(i => { const p = g.blockPatch(i, w); return p.row * w + p.column; })]; }""",
        [h, w],
    )
    assert places == raster_order(h, w).tolist() and patches == block_order(h, w).tolist()


def test_runs_are_read_as_they_were_written(lens: Page) -> None:
    random = np.random.default_rng(3)
    arrays = [random.integers(0, 4, n) for n in range(1, 40)] + [np.arange(50), np.repeat(np.arange(9), 7)]
    read = lens.evaluate("all => all.map(r => [...qwen2vl.lens.fromRuns(r)])", [to_runs(a) for a in arrays])
    assert read == [a.tolist() for a in arrays]


@pytest.mark.parametrize("size", [(333, 500), (1400, 90), (20, 20), (61, 900), (10, 1500)])
def test_the_preview_of_a_budget_is_what_the_processor_then_does(lens: Page, size: tuple[int, int]) -> None:
    """Also below the checkpoint's floor of four tokens, where the floor gives way."""
    processor, picture = reference_processor(), PIL.Image.new("RGB", size, "teal")
    budgets = [1, 2, 3, 4, 5, 16, 64, 500, 1280]
    done = [
        processor.process([Message("user", [Image(picture), Text("?")])], MediaOptions(max_pixels=tokens * 784))
        for tokens in budgets
    ]
    guessed = lens.evaluate(
        """([h, w, least, budgets]) => budgets.map(b => qwen2vl.lens.geometry.pictureSize(h, w, b, least))
        .map(r => [r.height, r.width])""",
        [size[1], size[0], processor.image.min_pixels, budgets],
    )
    assert guessed == [list(p.trace.media[0].resized_size) for p in done]


@pytest.mark.parametrize("tokens_of_the_checkpoint", [16_384, 64])
def test_the_preview_of_a_clips_budget_is_what_the_processor_then_does(
    lens: Page, tmp_path: Path, tokens_of_the_checkpoint: int
) -> None:
    """A budget above the checkpoint's own limit enlarges pictures, but no frame; the preview promised it for both."""
    processor = copy(reference_processor())
    processor.image = replace(processor.image, max_pixels=tokens_of_the_checkpoint * 784)
    budgets = [1, 2, 7, 40, 127, 128, 129, 300, 768, 5000]
    for frames in (4, 20, 61):
        film = clip(tmp_path / f"{frames}.mp4", frames)
        media = [
            processor.process([Message("user", [Video(film)])], MediaOptions(max_pixels=tokens * 784)).trace.media[0]
            for tokens in budgets
        ]
        guessed = lens.evaluate(
            """([h, w, frames, least, most, budgets]) => budgets
            .map(b => qwen2vl.lens.geometry.frameSize(h, w, frames, b, least, most))
            .map(r => [r.height, r.width, r.min, r.max])""",
            [
                *(*media[0].original_size, len(media[0].frame_indices)),
                *(processor.image.min_pixels, processor.image.max_pixels, budgets),
            ],
        )
        assert guessed == [[*m.resized_size, m.min_pixels, m.max_pixels] for m in media]


def test_the_lines_of_the_positions_lose_no_peak_however_many_tokens_there_are(lens: Page) -> None:
    """w of a picture 26 tokens wide, 30,000 tokens on 577 pixel columns: every 52nd token alone, as it was drawn once,
    is column 0 again and again, a flat line. Each stretch must show its least and its most, and begin and end where the
    prompt does."""
    saw = [i % 26 for i in range(30_000)]
    places: Any = lens.evaluate(
        "([axis, columns]) => qwen2vl.lens.envelope(axis, 0, axis.length - 1, columns)", [saw, 577]
    )
    assert len(places) <= 4 * 577 and places == sorted(set(places)) and (places[0], places[-1]) == (0, 29_999)
    for column in range(577):
        start, end = column * 30_000 // 577, (column + 1) * 30_000 // 577
        drawn = [saw[i] for i in places if start <= i < end]
        assert (min(drawn), max(drawn)) == (min(saw[start:end]), max(saw[start:end]))
    few: Any = lens.evaluate("axis => qwen2vl.lens.envelope(axis, 2, 7, 3)", saw[:10])
    assert few == [2, 3, 4, 5, 6, 7]


def test_frames_that_were_left_out_stand_between_those_that_were_taken(lens: Page) -> None:
    """Frames 0, 4 and 6 at 0, 2 and 5 s: frame 1 is a quarter of the way to the second, frame 5 halfway to the last."""
    seconds: Any = lens.evaluate(
        "medium => [0, 1, 4, 5, 6].map(frame => qwen2vl.lens.secondOf(medium, frame))",
        {"frame_indices": [0, 4, 6, 6], "timestamps": [0, 2, 5, 5]},
    )
    assert seconds == [0, 0.5, 2, 3.5, 5]


def test_a_clip_too_short_says_that_its_last_frame_is_repeated(lens: Page) -> None:
    """Three frames make two pairs: the last one stands in for its missing partner. Nothing was left out."""
    said: Any = lens.evaluate(
        "medium => qwen2vl.lens.sampled(medium)",
        {
            "frame_indices": [0, 1, 2, 2],
            "timestamps": [0, 0.5, 1, 1],
            "total_frames": 3,
            "merged_grid": [2, 4, 4],
        },
    )
    assert said == (
        "3 of 3 frames are taken. Two at a time become one step of t: 2 steps, one about every 1.00 s here. "
        "The last one is repeated once to fill its pair."
    )

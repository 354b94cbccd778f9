"""Positions of each layout: worked by hand from the papers and reference implementations, and beside transformers."""

import functools
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import Qwen2_5_VLModel
from transformers.models.qwen2_vl.modeling_qwen2_vl import Qwen2VLModel
from transformers.models.qwen3_vl.modeling_qwen3_vl import Qwen3VLModel

from qwen2vl_demo.geometry import Grid, positions_under
from qwen2vl_demo.positions import layouts
from qwen2vl_demo.positions.layouts import Laid, Run, lay_out
from qwen2vl_demo.positions.prompts import qwen3_runs, runs_of
from qwen2vl_demo.positions.variants import VARIANTS
from qwen2vl_demo.trace import PromptTrace
from tests.positions.prompt_traces import prompt_trace

BY_KEY = {variant.key: variant for variant in VARIANTS}
grids = st.tuples(st.integers(1, 9), st.integers(1, 6), st.integers(1, 6))
prompts = st.lists(st.one_of(st.integers(1, 5), grids), min_size=1, max_size=6).map(lambda parts: prompt_trace(*parts))


def text(count: int) -> Run:
    return Run((1, 1, count))


def rows(laid: Laid) -> list[list[float]]:
    return laid.positions().tolist()


def transformers_positions(model: Any, runs: list[Run], **more: Any) -> np.ndarray:
    """(3, L) of transformers' `get_rope_index` for the same runs; it needs no weights."""
    fake = SimpleNamespace(config=SimpleNamespace(vision_config=SimpleNamespace(spatial_merge_size=2, **more)))
    fake.get_vision_position_ids = functools.partial(model.get_vision_position_ids, fake)
    clips = {run.medium: run for run in runs if run.medium is not None and run.seconds is not None}
    kinds = [0 if run.medium is None else 2 if run.seconds is not None else 1 for run in runs]
    grid: dict[int, list[Grid]] = {1: [], 2: []}
    for run, kind in zip(runs, kinds, strict=True):
        if kind:
            t, h, w = run.grid
            grid[kind].append((t, 2 * h, 2 * w))
    types = torch.tensor([[kind for run, kind in zip(runs, kinds, strict=True) for _ in range(run.length)]])
    if model is Qwen2_5_VLModel:
        more = {"second_per_grid_ts": torch.tensor([run.seconds for run in clips.values()])}
    else:
        more = {}
    positions, _ = model.get_rope_index(
        fake,
        torch.zeros_like(types),
        types,
        image_grid_thw=torch.tensor(grid[1]) if grid[1] else None,
        video_grid_thw=torch.tensor(grid[2]) if grid[2] else None,
        **more,
    )
    return positions[:, 0].numpy()


@given(prompts)
def test_what_is_run_live_is_what_the_engine_gets(trace: PromptTrace) -> None:
    """geometry.py is the source of M-RoPE and of both experiments; these layouts are shown beside it."""
    for key, scheme in {"mrope": "mrope", "1d": "1d", "silenced": "silenced"}.items():
        ids, delta = positions_under(scheme, trace.position_ids, trace.rope_delta)  # type: ignore[arg-type]
        laid = BY_KEY[key].lay_out(trace)
        np.testing.assert_array_equal(laid.positions(), ids)
        assert laid.following == len(trace) + delta


@given(prompts)
def test_every_variant_covers_the_whole_prompt(trace: PromptTrace) -> None:
    """A token is there once, except in Qwen3-VL's own grid, where each token of text is; words come after words."""
    words = [i for i, piece in enumerate(trace.tokens) if piece != "<pad>"]
    for variant in VARIANTS:
        laid = variant.lay_out(trace)
        assert laid.positions().shape == (3, laid.length)
        if variant.key != "qwen3":
            assert laid.length == len(trace)
        runs = [placed.run for placed in laid.runs if placed.run.token is not None]
        assert [run.token + i for run in runs for i in range(run.length)] == words  # type: ignore[operator]
        text_positions = [
            placed.positions()[0] for placed in laid.runs if placed.run.medium is None and placed.run.length
        ]
        assert (np.diff(np.concatenate(text_positions)) >= 1).all()
        assert laid.following > text_positions[-1][-1]


def test_mrope_is_the_worked_example_of_the_paper() -> None:
    """Figure 3 of the paper in small: three tokens of text, a picture of 2x3 tokens, two tokens of text."""
    laid = lay_out([text(3), Run((1, 2, 3), 0), text(2)], layouts.gridded)
    assert rows(laid) == [
        [0, 1, 2, 3, 3, 3, 3, 3, 3, 6, 7],
        [0, 1, 2, 3, 3, 3, 4, 4, 4, 6, 7],
        [0, 1, 2, 3, 4, 5, 3, 4, 5, 6, 7],
    ]


def test_v2pe_moves_by_a_fraction_and_text_goes_on_at_a_whole_number() -> None:
    """The reference: from the last token of text, 2, in quarters; ceil(3.5) + 1 = 5 for the text behind."""
    laid = lay_out([text(3), Run((1, 2, 3), 0), text(2)], layouts.fractional(1 / 4))
    assert rows(laid) == [[0, 1, 2, 2.25, 2.5, 2.75, 3, 3.25, 3.5, 5, 6]] * 3
    assert laid.following == 7


@given(st.integers(1, 6), st.integers(1, 40), st.sampled_from([1 / 256, 1 / 16, 1 / 4, 1.0]))
def test_v2pe_is_the_reference_formula(before: int, count: int, delta: float) -> None:
    """linspace(last, last + delta * n, n + 1) without its first value; with a step of 1 it is plain counting."""
    laid = lay_out([text(before), Run((1, 1, count), 0), text(1)], layouts.fractional(delta))
    last = before - 1
    expected = np.linspace(last, last + delta * count, count + 1)[1:]
    np.testing.assert_allclose(laid.positions()[0, before:-1], expected, rtol=1e-12)
    assert laid.positions()[0, -1] == np.ceil(expected[-1]) + 1
    if delta == 1:
        assert rows(laid) == rows(lay_out([placed.run for placed in laid.runs], layouts.plain))


def test_videorope_lies_on_the_diagonal() -> None:
    """The reference with a scale factor of 2, by hand: a clip of 2 steps, 3 rows, 4 columns behind 4 tokens of text.

    t is 4 and 6; h is t + row - 1 and w is t + column - 1, since (3 - 1) // 2 = (4 - 1) // 2 = 1; the text behind
    stands at the largest t + 1 = 7, below the largest w of the clip.
    """
    laid = lay_out([text(4), Run((2, 3, 4), 0, seconds=1.0), text(2)], layouts.diagonal(2.0))
    t, h, w = rows(laid)
    assert t == [0, 1, 2, 3] + [4] * 12 + [6] * 12 + [7, 8]
    assert h[4:28] == [3] * 4 + [4] * 4 + [5] * 4 + [5] * 4 + [6] * 4 + [7] * 4
    assert w[4:28] == [3, 4, 5, 6] * 3 + [5, 6, 7, 8] * 3
    assert laid.following == 9


def test_local_positions_start_at_zero_and_text_goes_on_behind_the_grid() -> None:
    """Spatial reset: h and w of each picture from 0; behind it 3 + 5 = 8, the start plus the longer side."""
    laid = lay_out([text(3), Run((1, 2, 5), 0), text(2)], layouts.local)
    assert rows(laid) == [
        [0, 1, 2] + [3] * 10 + [8, 9],
        [0, 1, 2] + [0] * 5 + [1] * 5 + [8, 9],
        [0, 1, 2] + [0, 1, 2, 3, 4] * 2 + [8, 9],
    ]


def test_time_of_qwen25_is_rounded_down() -> None:
    """0.75 s a step and 2 positions a second: 0, 1.5, 3 and 4.5 become 0, 1, 3, 4; the text behind stands at 5."""
    laid = lay_out([Run((4, 1, 2), 0, seconds=0.75), text(1)], layouts.timed(2))
    assert laid.positions()[0].tolist() == [0, 0, 1, 1, 3, 3, 4, 4, 5]


@pytest.mark.parametrize(
    "parts", [(3, (1, 4, 6), 2), (3, (1, 4, 6), (1, 7, 2), 5), (2, (3, 4, 6), 2), (2, (2, 5, 3), 4, (1, 3, 3), 1)]
)
def test_transformers_places_pictures_and_short_clips_alike(parts: tuple[Any, ...]) -> None:
    """Short, since newer versions ignore t where they count on behind a clip."""
    trace = prompt_trace(*parts)
    runs = runs_of(trace)
    np.testing.assert_array_equal(
        BY_KEY["mrope"].lay_out(trace).positions(), transformers_positions(Qwen2VLModel, runs)
    )
    timed = BY_KEY["timed"].lay_out(trace).positions()
    np.testing.assert_array_equal(timed, transformers_positions(Qwen2_5_VLModel, runs, tokens_per_second=2))


@pytest.mark.parametrize("parts", [(3, (1, 4, 6), 2), (2, (5, 4, 6), 2), (2, (2, 5, 3), 4, (1, 3, 3), 1)])
def test_transformers_places_qwen3s_frames_alike(parts: tuple[Any, ...]) -> None:
    trace = prompt_trace(*parts)
    runs = qwen3_runs(trace)
    clips = [m.kind == "video" for m in trace.media]
    marked = [  # so that transformers is told which spans are frames
        Run(run.grid, run.medium, run.step, 1.0 if run.medium is not None and clips[run.medium] else None, run.token)
        for run in runs
    ]
    expected = transformers_positions(Qwen3VLModel, marked)
    np.testing.assert_array_equal(BY_KEY["qwen3"].lay_out(trace).positions(), expected)

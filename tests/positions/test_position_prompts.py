"""What Qwen3-VL would make of the same prompt: its grid, its time stamps, and the seconds of Qwen2.5-VL."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from transformers.models.qwen2.tokenization_qwen2 import Qwen2Tokenizer
from transformers.models.qwen3_vl.processing_qwen3_vl import Qwen3VLProcessor

from qwen2vl_demo.positions.layouts import Run
from qwen2vl_demo.positions.prompts import (
    qwen3_grid,
    qwen3_runs,
    runs_of,
    seconds_per_step,
    stamp_seconds,
    stamp_tokens,
)
from qwen2vl_demo.positions.variants import VARIANTS
from tests.positions.prompt_traces import prompt_trace


def test_a_prompt_is_cut_into_text_and_media() -> None:
    """The markers of a medium are tokens of text."""
    assert runs_of(prompt_trace(2, (1, 2, 3), (1, 1, 1), 1)) == [
        Run((1, 1, 3), token=0),
        Run((1, 2, 3), 0),
        Run((1, 1, 2), token=9),
        Run((1, 1, 1), 1),
        Run((1, 1, 2), token=12),
    ]


@pytest.mark.parametrize(
    ("size", "most", "grid"),
    [
        ((1080, 1920), 16_384 * 784, (34, 60)),  # 1088x1920: 2040 tokens where Qwen2-VL has 2691
        ((448, 448), 16_384 * 784, (14, 14)),
        ((448, 448), 54 * 784, (6, 6)),  # 42336 px: floor(205.75 / 32) = 6
        ((20, 20), 784, (1, 1)),  # less than one of its tokens: the limits are raised to one
    ],
)
def test_a_picture_has_qwen3s_own_grid(size: tuple[int, int], most: int, grid: tuple[int, int]) -> None:
    medium = replace(prompt_trace((1, 2, 2)).media[0], original_size=size, min_pixels=784, max_pixels=most)
    assert qwen3_grid(medium) == grid


def test_frames_stand_behind_their_time() -> None:
    """A clip of 3 steps at 2 frames a second: 0.25, 1.25 and 2.25 s, whose stamps have 6 tokens each ("0.2", since 0.25
    is rounded half to even). Behind the first stamp comes the prompt's own marker, behind the last step its other one;
    between two steps are a marker, a stamp and a marker."""
    trace = prompt_trace(2, (3, 2, 2), 1)
    grid = (1, *qwen3_grid(trace.media[0]))
    assert qwen3_runs(trace) == [
        Run((1, 1, 2), token=0),
        Run((1, 1, 6)),
        Run((1, 1, 1), token=2),
        Run(grid, 0, 0),
        Run((1, 1, 8)),
        Run(grid, 0, 1),
        Run((1, 1, 8)),
        Run(grid, 0, 2),
        Run((1, 1, 2), token=15),
    ]


def test_stamps_are_those_of_transformers_in_qwens_tokens() -> None:
    """Qwen's tokenizer cuts text before it merges: numbers into digits, the word with its space, signs alone."""
    medium = replace(
        prompt_trace((7, 1, 1)).media[0],
        frame_indices=tuple(range(0, 14 * 48, 48)),
        timestamps=tuple(48 * i / 24 for i in range(14)),
    )
    merge = SimpleNamespace(merge_size=2, temporal_patch_size=2)
    fake = SimpleNamespace(
        video_processor=merge, vision_start_token="[", vision_end_token="]", video_token="v",
        _calculate_timestamps=lambda *args: Qwen3VLProcessor._calculate_timestamps(None, *args),
    )  # fmt: skip
    metadata = SimpleNamespace(fps=24, frames_indices=list(medium.frame_indices))
    inputs = {"video_grid_thw": np.array([[7, 2, 2]]), "video_metadata": [metadata]}
    written = Qwen3VLProcessor.replace_video_token(fake, inputs, 0)
    seconds = [stamp_seconds(medium, step) for step in range(7)]
    assert written == "".join(f"<{s:.1f} seconds>[v]" for s in seconds)
    cut = Qwen2Tokenizer().backend_tokenizer.pre_tokenizer.pre_tokenize_str
    for stamp, s in zip(written.split("[v]")[:-1], seconds, strict=True):
        assert len(cut(stamp)) == stamp_tokens(s)


def test_seconds_are_those_of_the_sampled_frames() -> None:
    """8 frames of 120 at 30 a second: 2 frames a second were sampled, so a step of two frames is 1 s."""
    indices = np.linspace(0, 119, 8).round().astype(int).tolist()
    clip = replace(
        prompt_trace((4, 1, 1)).media[0],
        frame_indices=tuple(indices),
        timestamps=tuple(i / 30 for i in indices),
        total_frames=120,
    )
    assert seconds_per_step(clip) == pytest.approx(1.0)
    assert seconds_per_step(replace(clip, timestamps=(0.0,) * 8)) == 1.0  # a clip without a clock
    assert seconds_per_step(prompt_trace((1, 1, 1)).media[0]) is None


def test_each_variant_names_its_source() -> None:
    assert len({variant.key for variant in VARIANTS}) == len(VARIANTS) == 8
    for variant in VARIANTS:
        assert "arXiv" in variant.source or variant.key == "silenced"

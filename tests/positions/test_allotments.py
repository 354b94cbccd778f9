"""Which axis turns which pair: beside transformers, and by hand from VideoRoPE's reference implementation."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from transformers.models.qwen2_vl.modeling_qwen2_vl import Qwen2VLRotaryEmbedding
from transformers.models.qwen3_vl.modeling_qwen3_vl import Qwen3VLTextRotaryEmbedding

from qwen2vl_demo.positions.allotments import SHARED, Allotment, blocks, interleaved, shared, time_slowest

SECTIONS = [(24, 20, 20), (16, 24, 24), (8, 12, 12), (2, 3, 3)]  # Qwen3-VL, Qwen2-VL, nano, few enough to count


def transformers_axes(rotary: Any, sections: tuple[int, int, int]) -> list[int]:
    """The axis of each pair: the axes themselves are recomposed in place of angles."""
    axes = torch.arange(3.0)[:, None, None, None].repeat(1, 1, 1, sum(sections))
    made = rotary.recomposition_frequencies(SimpleNamespace(mrope_section=list(sections)), axes)
    return made.flatten()[: sum(sections)].int().tolist()


@pytest.mark.parametrize("sections", SECTIONS)
@pytest.mark.parametrize(
    ("allotment", "rotary"), [(blocks, Qwen2VLRotaryEmbedding), (interleaved, Qwen3VLTextRotaryEmbedding)]
)
def test_pairs_are_shared_out_as_in_transformers(
    allotment: Allotment, rotary: Any, sections: tuple[int, int, int]
) -> None:
    assert allotment(sections).tolist() == transformers_axes(rotary, sections)


def test_small_heads_by_hand() -> None:
    assert blocks((2, 3, 3)).tolist() == [0, 0, 1, 1, 1, 2, 2, 2]
    assert interleaved((2, 3, 3)).tolist() == [0, 1, 2, 0, 1, 2, 0, 1]
    assert interleaved((4, 2, 2)).tolist() == [0, 1, 2, 0, 1, 2, 0, 0]  # h and w are used up
    assert time_slowest((2, 3, 3)).tolist() == [1, 2, 1, 2, 1, 2, 0, 0]
    assert shared((2, 3, 3)).tolist() == [SHARED] * 8


def test_videorope_gives_time_the_slowest_pairs_of_a_released_head() -> None:
    """16-24-24: 48 pairs in turn, beginning with h, and 16 with t."""
    axes = time_slowest((16, 24, 24)).tolist()
    assert axes[:4] == [1, 2, 1, 2] and axes[46:] == [1, 2] + [0] * 16

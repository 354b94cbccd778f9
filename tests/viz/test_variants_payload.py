"""The payload of the tab "Variants": its numbers are those of the layouts, and large prompts stay small."""

import json
from typing import Any

import numpy as np
import pytest

from qwen2vl_demo.positions.variants import VARIANTS
from qwen2vl_demo.viz.bands import Rope
from qwen2vl_demo.viz.variants_payload import variants_payload
from tests.positions.prompt_traces import prompt_trace

ROPE = Rope((8, 12, 12), 50.0)


def positions(variant: dict[str, Any]) -> list[list[float]]:
    """[t, h, w] of every token, by the formula that the scripts use, one token at a time."""
    made = []
    for run in variant["runs"]:
        for k in range(run["grid"][0]):
            for row in range(run["grid"][1]):
                for column in range(run["grid"][2]):
                    steps = zip(run["origins"][k], run["down"], run["right"], strict=True)
                    made.append([origin + row * down + column * right for origin, down, right in steps])
    return made


def test_it_holds_the_layouts_and_the_allotments() -> None:
    trace = prompt_trace(3, (1, 2, 3), 2, (3, 2, 4), 4)
    payload = json.loads(json.dumps(variants_payload(trace, ROPE, [("ends", 0, len(trace) - 1)])))
    assert payload["length"] == len(trace)
    assert [m["start"] for m in payload["media"]] == [m.span[0] for m in trace.media]
    assert [m["grid"] for m in payload["media"]] == [[1, 2, 3], [3, 2, 4]]
    np.testing.assert_allclose(payload["frequencies"], 50.0 ** (-np.arange(32) / 32))
    for variant, sent in zip(VARIANTS, payload["variants"], strict=True):
        laid = variant.lay_out(trace)
        assert np.array(positions(sent)).T.tolist() == laid.positions().tolist()
        assert sent["axes"] == variant.allotment(ROPE.sections).tolist()
        assert (sent["length"], sent["following"]) == (laid.length, laid.following)


def test_only_qwen3s_own_grid_is_remarked_on() -> None:
    trace = prompt_trace(3, (3, 16, 24), 1)
    notes = {v["key"]: v["note"] for v in variants_payload(trace, ROPE)["variants"]}
    assert notes.pop("qwen3") == (
        "Each step of the clip on its own grid, within the same limits in pixels: 14x21 tokens of 32 px instead of "
        "16x24 of 28 px. Time stamps and their markers add 22 tokens of text."
    )
    assert set(notes.values()) == {""}


@pytest.mark.parametrize("grid", [(1, 127, 129), (1, 1_600, 10), (64, 16, 16), (384, 21, 2)])
def test_sixteen_thousand_tokens_take_some_kilobytes(grid: tuple[int, int, int]) -> None:
    """Where a run was stored token by token, the narrow ones would take hundreds."""
    sent = json.dumps(variants_payload(prompt_trace(20, grid, 20), ROPE))
    assert len(sent) < 30_000 + 700 * grid[0]

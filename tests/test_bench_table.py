"""The tables in docs/performance.md are those of assets/bench*.json, and name the machine they were measured on."""

import json
from pathlib import Path
from typing import Any

import pytest

from qwen2vl_demo.bench.measure import table

ROOT = Path(__file__).resolve().parent.parent
PERFORMANCE = (ROOT / "docs" / "performance.md").read_text("utf-8")


@pytest.fixture(params=["bench.json", "bench-page.json", "bench-2b.json", "bench-h100-2b.json", "bench-h100-7b.json"])
def bench(request: pytest.FixtureRequest) -> dict[str, Any]:
    record: dict[str, Any] = json.loads((ROOT / "assets" / request.param).read_text("utf-8"))
    return record


def test_the_table_and_its_machine_are_in_the_document(bench: dict[str, Any]) -> None:
    assert table(bench["rows"]) in PERFORMANCE
    assert bench["machine"] in PERFORMANCE


def test_every_row_says_how_often_it_was_measured_and_what_was_found_equal(bench: dict[str, Any]) -> None:
    for row in bench["rows"]:
        assert row["rounds"] >= 1 and row["check"]
        assert row["ours_range"][0] <= row["ours"] <= row["ours_range"][1]
        if row["peer"] is not None:
            better = row["ours"] / row["peer"] if row["unit"] == "tokens/s" else row["peer"] / row["ours"]
            assert abs(better / row["ratio"] - 1) < 0.01

"""The README's table of measurements is the one in assets/bench.json, and says on which machine it was made."""

import json
from pathlib import Path

from qwen2vl_demo.bench.measure import table

ROOT = Path(__file__).resolve().parent.parent
BENCH = json.loads((ROOT / "assets" / "bench.json").read_text("utf-8"))
README = (ROOT / "README.md").read_text("utf-8")


def test_the_table_and_its_machine_stand_in_the_readme() -> None:
    assert table(BENCH["rows"]) in README
    assert BENCH["machine"] in README


def test_every_row_says_how_often_it_was_measured_and_what_was_found_equal() -> None:
    for row in BENCH["rows"]:
        assert row["rounds"] >= 1 and row["check"]
        assert row["ours_range"][0] <= row["ours"] <= row["ours_range"][1]
        if row["peer"] is not None:
            better = row["ours"] / row["peer"] if row["unit"] == "tokens/s" else row["peer"] / row["ours"]
            assert abs(better / row["ratio"] - 1) < 0.01

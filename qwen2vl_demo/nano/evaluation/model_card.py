"""Fill the tables of nano's model card from the record that `evaluate` wrote, so that no number is copied by hand.

    python -m qwen2vl_demo.nano.evaluation.evaluate --conversations 1400 --fewer 224 --json assets/nano/evaluation.json
    python -m qwen2vl_demo.nano.evaluation.model_card

The card must have one table under each heading row of `tables`; everything else in it is left as it is.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from qwen2vl_demo.nano.evaluation.studies import BUDGETS, PRINT_BUDGETS, SHARES, TOKEN_SIDES

NANO = Path("assets/nano")
CARD, RECORD = "README.md", "evaluation.json"
READ = {  # the tables of what is read, and the heads of their first columns
    "print": "one line of print of",
    "pages": "a page of",
    "budgets": "five lines of 14 px at",
    "real print": "print that nobody drew for it",
}
SHARE_NAMES = {8: "an eighth", 4: "a quarter", 2: "half", 1: "all of it"}


def tables(record: dict[str, Any]) -> dict[str, list[str]]:
    """The heading row of each table of the card, mapped to its other rows."""
    measured: dict[str, dict[str, dict[str, float]]] = {
        name: {row["family"]: row for row in rows} for name, rows in record.items() if isinstance(rows, list)
    }
    made: dict[str, list[str]] = {}

    def add(heading: Sequence[str], rows: list[list[str]]) -> None:
        made[_row(heading)] = [_row(row) for row in rows]

    def compare(columns: dict[str, str]) -> None:
        """Accuracy by family; `columns` maps a column's title to the record's key."""
        scores = [measured[name] for name in columns.values()]
        families = [family for family in scores[0] if all(family in column for column in scores)]
        add(["family", *columns], [[f, *(_percent(column[f]["accuracy"]) for column in scores)] for f in families])

    wordings = ("trained wordings", "held-out wordings")
    add(
        ["family", "right", "chance", "questions", *wordings],
        [
            [
                *(family, _percent(row["accuracy"]), _percent(row["chance"]), f"{row['questions']:,}"),
                *(_percent(measured[name][family]["accuracy"]) for name in wordings),
            ]
            for family, row in measured["all wordings"].items()
        ],
    )
    compare({"drawings trained on": "icons trained on", "drawings held out": "icons held out"})
    add(
        ["drawings", *(SHARE_NAMES[share] for share in SHARES)],
        [
            [title, *(_percent(measured[f"side/{share}{which}"]["name"]["accuracy"]) for share in SHARES)]
            for title, which in (("trained on", ""), ("held out", " held out"))
        ],
    )
    compare({f"{side * side} tokens": f"scenes at {side * side}" for side in BUDGETS})
    compare({f"{side * side:,} tokens": f"print at {side * side}" for side in PRINT_BUDGETS})
    compare({f"{side * side:,} tokens": f"drawn at {side * side}" for side in TOKEN_SIDES})
    compare({"M-RoPE as trained": "M-RoPE as trained", "h and w silenced": "h, w silenced"})
    for name, title in READ.items():
        if name in record["reading"]:
            add(
                [title, "character error", "exact", "questions"],
                [
                    [row["group"], f"{row['error']:.1%}", _percent(row["exact"]), f"{row['questions']:,}"]
                    for row in record["reading"][name]
                ],
            )
    return made


def with_tables(card: str, record: dict[str, Any]) -> str:
    """The card with the record's numbers. ValueError if it lacks one of the tables."""
    for heading, rows in tables(record).items():
        found = re.search(rf"({re.escape(heading)}\n[|-]+\n)(?:\|.*\n)*", card)
        if not found:
            raise ValueError(f"the card has no table under {heading}")
        card = card[: found.end(1)] + "".join(f"{row}\n" for row in rows) + card[found.end() :]
    return card


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _percent(share: float) -> str:
    return "< 1%" if 0 < share < 0.005 else f"{share:.0%}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=NANO, help="the directory of the card and of its record")
    directory = parser.parse_args().model
    record = json.loads((directory / RECORD).read_text())
    card = directory / CARD
    card.write_text(with_tables(card.read_text("utf-8"), record), "utf-8")


if __name__ == "__main__":
    main()

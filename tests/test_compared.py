"""The table beside other chats names a test for each thing that it says of this one."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROWS = [
    [cell.strip() for cell in line.strip("|\n").split("|")]
    for line in (ROOT / "docs" / "compared.md").read_text(encoding="utf-8").splitlines()
    if line.startswith("| ") and not line.startswith("| |") and not line.startswith("| ---")
]


@pytest.mark.parametrize(("feature", "here", "proof"), [(row[0], row[3], row[4]) for row in ROWS])
def test_what_is_claimed_has_a_test(feature: str, here: str, proof: str) -> None:
    """A row says no, or names a test function that exists."""
    if here.split(":")[0] == "no":
        assert not proof, f"{feature}: nothing can prove what is not there"
        return
    path, _, name = proof.strip("`").partition("::")
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, feature


def test_the_table_was_read() -> None:
    """Every line of both tables has its five cells."""
    assert len(ROWS) > 30
    assert all(len(row) == 5 for row in ROWS)

"""The walks of docs/architecture.md name functions that exist, in files that exist."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
DOCUMENT = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
WALKS = DOCUMENT.partition("## Three walks")[2].partition("## Words")[0]
NAMED = sorted(set(re.findall(r"`([\w/-]+\.(?:py|js))`\s+`([\w.]+)`", WALKS)))


def definitions(source: str) -> set[str]:
    """Functions and classes of a Python module; methods as `Class.method`."""
    found = set()
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        if isinstance(node, ast.ClassDef):
            methods = [n for n in node.body if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
            found |= {f"{node.name}.{method.name}" for method in methods}
    return found


@pytest.mark.parametrize(("file", "name"), NAMED)
def test_a_step_of_a_walk_exists(file: str, name: str) -> None:
    source = (ROOT / "qwen2vl_demo" / file).read_text(encoding="utf-8")
    if file.endswith(".py"):
        assert name in definitions(source)
    else:
        assert re.search(rf"(function {re.escape(name)}\(|{re.escape(name)} = )", source)


def test_the_three_walks_are_there() -> None:
    assert WALKS.count("### ") == 3 and len(NAMED) > 35


def test_the_tree_of_rooms_is_that_of_the_package() -> None:
    """Every package and every module at the top is in the tree, and nothing else is."""
    tree = DOCUMENT.partition("## Rooms")[2].partition("## Who")[0]
    package = ROOT / "qwen2vl_demo"
    folders = {p.parent.relative_to(package).parts for p in package.rglob("__init__.py")} - {()}
    named = set(re.findall(r"^ +(\w+)/", tree, re.MULTILINE))
    assert named == {parts[-1] for parts in folders}
    modules = {p.name for p in package.glob("*.py")} - {"__init__.py", "__main__.py"}
    assert modules <= set(re.findall(r"\w+\.py", tree))

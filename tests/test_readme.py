"""The README is checked against what it describes: commands, settings, files, links and the lines of Python."""

from __future__ import annotations

import contextlib
import io
import re
import subprocess
import sys
from pathlib import Path

import PIL.Image
import pytest
import yaml

from qwen2vl_demo.settings import table

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text("utf-8")
FRONT = yaml.safe_load(README.split("---\n")[1])


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, flags=re.M | re.S)


def pinned(package: str) -> str:
    found = re.search(rf"^{package}==(\S+)$", (ROOT / "requirements.txt").read_text(), flags=re.M)
    assert found is not None
    return found[1]


def test_the_space_runs_what_is_pinned_here() -> None:
    assert FRONT["sdk"] == "gradio" and FRONT["sdk_version"] == pinned("gradio")
    assert (ROOT / FRONT["app_file"]).is_file() and FRONT["python_version"] == "3.11"
    assert len(FRONT["short_description"]) <= 60  # the hub refuses longer ones


def test_every_requirement_is_pinned_exactly() -> None:
    """A range could pull a newer torch, and with it several gigabytes of CUDA."""
    for file in ("requirements.txt", "tests/requirements.txt"):
        lines = [line for line in (ROOT / file).read_text().splitlines() if line and not line.startswith(("#", "-r "))]
        assert lines and all(re.fullmatch(r"[\w-]+==[\w.]+", line) for line in lines), file


def test_the_two_commands_stand_first_and_ci_runs_the_second() -> None:
    start, test = (block.strip() for block in blocks("bash")[:2])
    assert start == "pip install -r requirements.txt && python app.py"
    assert (ROOT / ".ci" / "run").read_text().rstrip().endswith(f"\n{test}")


def test_the_settings_table_is_what_the_settings_say() -> None:
    rows = re.findall(r"^\| `(--[\w-]+)` \| `(\w+)` \| `?(.*?)`? \| (.*) \|$", README, flags=re.M)
    assert rows == table()


def test_the_file_map_lists_every_module_and_no_other() -> None:
    """A line is two spaces a level, the name, and what it holds; the lines below a folder belong to it."""
    listed: set[str] = set()
    folders: list[str] = []
    for line in README.split("## Where things are")[1].split("```")[1].strip().splitlines():
        name, words = line.split(maxsplit=1) if len(line.split(maxsplit=1)) == 2 else (line.strip(), "")
        level = (len(line) - len(line.lstrip())) // 2
        folders = [*folders[:level], name.rstrip("/")]
        if name.endswith(".py"):
            listed.add("/".join(folders))
            assert words, f"{name} has no word about what it holds"
    modules = {str(path.relative_to(ROOT)) for path in (ROOT / "qwen2vl_demo").rglob("*.py")}
    modules = {name for name in modules if not name.endswith("/__init__.py")} | {"qwen2vl_demo/__init__.py", "app.py"}
    assert sorted(modules - listed) == [], "not in the README's map"
    assert sorted(listed - modules) == [], "in the README's map but not in the tree"


def test_every_file_that_is_linked_is_there() -> None:
    links = re.findall(r"\]\((?!https?:|#)([^)]+)\)", README)
    assert links and [link for link in links if not (ROOT / link).is_file()] == []


def test_the_lines_of_python_run_and_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (program,) = blocks("python")
    PIL.Image.new("RGB", (112, 112), "red").save(tmp_path / "cat.png")
    monkeypatch.chdir(tmp_path)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(program, "README.md", "exec"), {})
    assert printed.getvalue().strip()


def test_every_flag_in_an_example_exists() -> None:
    shown = set(re.findall(r"(?<![\w-])--[a-z][\w-]*", "\n".join(blocks("bash"))))
    helps = [
        ["app.py", "--help"],
        *(["-m", "qwen2vl_demo", command, "--help"] for command in ("ask", "inspect", "bench")),
    ]
    printed = "".join(
        subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True, check=True).stdout
        for words in helps
    )
    assert shown and {flag for flag in shown if flag not in printed} == set()

"""The documents are checked against what they describe: commands, settings, rooms, links and the lines of Python."""

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
DOCUMENTS = [
    *(
        "README.md",
        "CONTRIBUTING.md",
        "CHANGELOG.md",
        "SECURITY.md",
        "docs/architecture.md",
        "docs/checkpoints.md",
        "docs/performance.md",
        "docs/settings.md",
    ),
    *("docs/security.md", "docs/servers.md", "docs/panel.md", "docs/teaching.md"),
]
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
    """.ci/run calls the README's test command, installing without output, and then the tests that it leaves out."""
    start, test = (block.strip() for block in blocks("bash")[:2])
    assert start == "pip install -r requirements.txt && python app.py"
    lines = (ROOT / ".ci" / "run").read_text().splitlines()
    assert lines[-2:] == [test.replace("install", "install -q"), 'python -m pytest -m "slow and not large"']


def test_a_newcomer_can_read_it_in_one_sitting() -> None:
    assert len(README.splitlines()) <= 180


def settings_in(text: str) -> list[tuple[str, ...]]:
    return re.findall(r"^\| `(--[\w-]+)` \| `(\w+)` \| `?(.*?)`? \| (.*) \|$", text, flags=re.M)


def test_the_settings_tables_are_what_the_settings_say() -> None:
    """All of them in docs/settings.md, the most important ones in the README, in the same order."""
    assert settings_in((ROOT / "docs" / "settings.md").read_text("utf-8")) == table()
    short = settings_in(README)
    assert short and short == [row for row in table() if row in short]


def test_the_map_lists_every_room_and_no_other() -> None:
    """A line is two spaces a level, the name, and what it holds; rooms within a room are named in its own line."""
    listed: set[str] = set()
    folders: list[str] = []
    for line in README.split("## Where things are")[1].split("```")[1].strip().splitlines():
        name, description = line.split(maxsplit=1)
        level = (len(line) - len(line.lstrip())) // 2
        folders = [*folders[:level], name.rstrip("/")]
        listed |= {
            "/".join([*folders, *inner]) for inner in [[], *([room] for room in re.findall(r"(\w+)/", description))]
        }
    packages = {str(path.parent.relative_to(ROOT)) for path in (ROOT / "qwen2vl_demo").rglob("__init__.py")}
    assert sorted(packages - listed) == [], "not in the README's map"
    assert sorted(name for name in listed if not (ROOT / name).exists()) == [], (
        "in the README's map but not in the tree"
    )


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_file_that_is_linked_is_there(document: str) -> None:
    path = ROOT / document
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)[^)]*\)", path.read_text("utf-8"))
    assert [link for link in links if not (path.parent / link).exists()] == []


@pytest.mark.parametrize("document", [name for name in DOCUMENTS if name != "CHANGELOG.md"])  # which tells of the past
def test_every_file_that_is_named_is_there(document: str) -> None:
    """A path in backticks is a file or a folder of the repository or of the package."""
    named = re.findall(
        r"`([\w.-]+(?:/[\w.-]+)*(?:/|\.(?:py|js|md|toml|txt|json)))`", (ROOT / document).read_text("utf-8")
    )
    roots = (ROOT, ROOT / "qwen2vl_demo", ROOT / "assets" / "nano")
    assert [name for name in named if not any((root / name).exists() for root in roots)] == []


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

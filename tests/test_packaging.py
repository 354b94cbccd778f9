"""The package as it is built and installed: what a wheel holds, what it needs, which version it is."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest

import qwen2vl_demo
from qwen2vl_demo import resources
from qwen2vl_demo.ui.lesson.prepared import SUBJECTS

ROOT = Path(__file__).resolve().parent.parent
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


def requirements(file: str) -> list[str]:
    lines = (ROOT / file).read_text("utf-8").splitlines()
    return [line for line in lines if line and not line.startswith(("#", "-r "))]


def run(*argv: str, cwd: Path, **environ: str) -> str:
    done = subprocess.run([sys.executable, *argv], cwd=cwd, env=environ or None, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel that `pip install .` installs, built by the backend itself: without pip no network is needed."""
    folder = tmp_path_factory.mktemp("wheel")
    run("-m", "hatchling", "build", "-t", "wheel", "-d", str(folder), cwd=ROOT)
    (built,) = folder.glob("*.whl")
    return built


def test_a_space_installs_what_the_package_needs() -> None:
    assert requirements("requirements.txt") == PROJECT["dependencies"]
    assert PROJECT["dependencies"][0].startswith("torch=="), "another package's range could pull in a newer torch"


def test_the_test_group_is_what_the_tests_install() -> None:
    assert requirements("tests/requirements.txt") == PROJECT["optional-dependencies"]["test"]


def test_groups_that_share_a_package_agree_on_its_version() -> None:
    pins: dict[str, set[str]] = {}
    for group in [PROJECT["dependencies"], *PROJECT["optional-dependencies"].values()]:
        for name, version in (re.split(r"==|>=", requirement) for requirement in group):
            pins.setdefault(name, set()).add(version)
    assert {name: versions for name, versions in pins.items() if len(versions) > 1} == {}


def test_the_version_is_said_in_one_place_and_printed() -> None:
    """Hatch reads it from qwen2vl_demo/version.py; nothing else that is shipped writes it down."""
    version = qwen2vl_demo.__version__
    assert "version" in PROJECT["dynamic"] and re.fullmatch(r"\d+\.\d+\.\d+", version)
    written = re.compile(rf"""["']{re.escape(version)}["']""")
    files = [ROOT / "app.py", ROOT / "pyproject.toml", *(ROOT / "qwen2vl_demo").rglob("*.py")]
    places = [str(file.relative_to(ROOT)) for file in files if written.search(file.read_text("utf-8"))]
    assert places == ["qwen2vl_demo/version.py"]
    for command in (["app.py"], ["-m", "qwen2vl_demo"]):
        assert run(*command, "--version", cwd=ROOT) == f"qwen2vl-demo {version}\n"


def test_the_wheel_holds_what_runs_and_nothing_else(wheel: Path) -> None:
    assert wheel.name == f"qwen2vl_demo-{qwen2vl_demo.__version__}-py3-none-any.whl"
    names = zipfile.ZipFile(wheel).namelist()
    for folder in (ROOT / "qwen2vl_demo", resources.EXAMPLES):  # modules, scripts, style sheets, templates, examples
        kept = {file for file in folder.rglob("*") if file.is_file() and "__pycache__" not in file.parts}
        packaged = {str(file.relative_to(ROOT)).removeprefix("qwen2vl_demo/") for file in kept}
        assert kept and {f"qwen2vl_demo/{name}" for name in packaged} <= set(names)
    for name in ("model.safetensors", "config.json", "tokenizer.json", "chat_template.json", "README.md"):
        assert f"qwen2vl_demo/assets/nano/{name}" in names
    assert {name.split("/")[0] for name in names} == {
        "qwen2vl_demo",
        f"qwen2vl_demo-{qwen2vl_demo.__version__}.dist-info",
    }
    assert not [name for name in names if "/training/heads" in name or "/bench.json" in name or "screenshot" in name]


def test_the_folder_of_examples_holds_what_the_cards_and_the_lesson_show_and_nothing_else() -> None:
    cards = json.loads((resources.EXAMPLES / "examples.json").read_text("utf-8"))
    shown = {file for card in cards for file in card["files"]} | {subject.file.name for subject in SUBJECTS}
    assert {file.name for file in resources.EXAMPLES.iterdir()} == shown | {"examples.json", "chats.json"}


def test_an_installed_package_answers_from_any_folder(wheel: Path, tmp_path: Path) -> None:
    """A wheel is installed by unpacking it. This failed when weights were looked for beside the checkout's folders."""
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "cat.png").write_bytes((resources.EXAMPLES / "cat.png").read_bytes())
    command = ["-P", "-m", "qwen2vl_demo", "ask", "--device", "cpu", "--max-new-tokens", "8", "--image", "cat.png", "?"]
    assert run(*command, cwd=elsewhere, PYTHONPATH=str(tmp_path / "site")).strip()
    where = "from qwen2vl_demo.ui.example_cards import load_examples as f; print(all(f()), f()[0].files[0])"
    found = run("-P", "-c", where, cwd=elsewhere, PYTHONPATH=str(tmp_path / "site"))
    assert found.startswith(f"True {tmp_path / 'site'}")

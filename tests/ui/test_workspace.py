"""The folder of a run: private, deleted at the end, and what a killed run left."""

import subprocess
import sys
from pathlib import Path

import pytest

from qwen2vl_demo.errors import UserError
from qwen2vl_demo.ui.workspace import Workspace

NAME = "0" * 64 + ".png"


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock")


def test_a_run_is_private_and_leaves_nothing(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    assert workspace.folder.stat().st_mode & 0o077 == (tmp_path / "runs").stat().st_mode & 0o077 == 0
    (workspace.folder / "uploads" / "cat.png").touch()
    (workspace.folder / "media" / NAME).touch()
    workspace.close()
    assert list((tmp_path / "runs").iterdir()) == []


def test_what_a_killed_run_left_is_swept_but_for_media_that_browsers_may_ask_for(tmp_path: Path) -> None:
    script = (
        "import os, pathlib, sys\nfrom qwen2vl_demo.ui.workspace import Workspace\n"
        "w = Workspace(pathlib.Path(sys.argv[1]))\n(w.folder / 'uploads' / 'cat.png').touch()\n"
        "(w.folder / 'media' / sys.argv[2]).touch()\n(w.folder / 'media' / 'x.part').touch()\nos.kill(os.getpid(), 9)\n"
    )
    subprocess.run([sys.executable, "-c", script, str(tmp_path), NAME], check=False)
    assert files(tmp_path) == [NAME, "cat.png", "x.part"]
    workspace = Workspace(tmp_path)
    assert files(tmp_path) == [NAME] and (workspace.folder / "media" / NAME).is_file()
    workspace.close()


def test_a_run_that_is_alive_is_left_alone(tmp_path: Path) -> None:
    first = Workspace(tmp_path)
    (first.folder / "media" / NAME).touch()
    second = Workspace(tmp_path)
    assert (first.folder / "media" / NAME).is_file() and files(second.folder) == []
    second.close()
    first.close()


def test_media_of_an_earlier_version_are_taken_over(tmp_path: Path) -> None:
    (tmp_path / "media").mkdir()
    (tmp_path / "media" / NAME).touch()
    workspace = Workspace(tmp_path)
    assert not (tmp_path / "media").exists() and (workspace.folder / "media" / NAME).is_file()
    workspace.close()


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="--data-dir"):
        Workspace(tmp_path / "file")

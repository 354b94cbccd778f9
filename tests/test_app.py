"""`python app.py`: its output, the served page, Ctrl+C, and the errors of wrong settings."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import app
from qwen2vl_demo.errors import UserError
from qwen2vl_demo.serve import logins_of
from qwen2vl_demo.settings import Settings

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that is already in use."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--device", "tpu"], "--device"),
        (["--model", "./no/such/dir"], "--model"),
        (["--host", "203.0.113.7"], "--host"),  # an address kept for documentation: no machine has it
        (["--engine-url", "nonsense"], "--engine-url"),
    ],
)
def test_a_wrong_setting_is_one_line_and_status_2(argv: list[str], words: str, capsys: Any) -> None:
    assert app.main(argv) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: ") and err.count("\n") == 1 and words in err


def test_a_taken_port_is_found_before_the_model_is_loaded(taken: int, capsys: Any) -> None:
    assert app.main(["--port", str(taken)]) == 2
    out, err = capsys.readouterr()
    assert str(taken) in err and "--port" in err and "Model" not in out


def wrong_password(port: int) -> int:
    """The status that a wrong password is answered with."""
    form = urllib.parse.urlencode({"username": "ann", "password": "wrong"}).encode()
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/login", form, timeout=60) as answered:
            return int(answered.status)
    except urllib.error.HTTPError as refused:
        return refused.code


def test_the_page_is_served_says_what_runs_and_leaves_nothing_when_it_is_terminated(tmp_path: Path) -> None:
    """Host and port come from Gradio's own variables, as on a Space; nano answers."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "app.py", "--data-dir", str(tmp_path / "data"), "--auth", "ann:sesame"],
        cwd=ROOT,
        env={**os.environ, "GRADIO_SERVER_NAME": "127.0.0.1", "GRADIO_SERVER_PORT": str(port)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    overdue = threading.Timer(240, process.kill)
    overdue.start()
    try:
        lines = []
        for line in process.stdout:
            lines.append(line)
            if line.startswith("Open "):
                break
        assert lines[-1:] == [f"Open http://127.0.0.1:{port}/\n"], "".join(lines)
        assert any(line.startswith("Model: nano, ") for line in lines) and "sesame" not in "".join(lines)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=60) as page:
            assert page.status == 200
        assert [wrong_password(port) for _ in range(4)] == [400, 400, 400, 429]
        (run,) = [path for path in (tmp_path / "data" / "runs").iterdir() if path.is_dir()]
        assert run.stat().st_mode & 0o077 == 0
        (run / "uploads" / "left by a visitor.png").touch()
        process.send_signal(signal.SIGTERM)
        rest = process.communicate(timeout=120)[0]
        assert "Traceback" not in rest
        assert process.returncode == 128 + signal.SIGTERM
        assert [path for path in (tmp_path / "data").rglob("*") if path.is_file()] == []
    finally:
        overdue.cancel()
        process.kill()


def test_auth_takes_one_user_or_a_file_of_them(tmp_path: Path) -> None:
    assert logins_of(Settings()) is None
    assert logins_of(Settings(auth="ann:sesame:street")) == [("ann", "sesame:street")]
    users = tmp_path / "users"
    users.write_text("# who may come in\nann:sesame:street\n\nben: b\n")
    assert logins_of(Settings(auth=f"@{users}")) == [("ann", "sesame:street"), ("ben", " b")]
    for wrong in ("", "ann:\n", "ann\n", ":x\n", "ann:a\nann:b\n"):
        users.write_text(wrong)
        with pytest.raises(UserError, match=r"user|Line"):
            logins_of(Settings(auth=f"@{users}"))
    with pytest.raises(UserError, match="cannot be read"):
        logins_of(Settings(auth=f"@{tmp_path / 'none'}"))
    with pytest.raises(UserError, match=r"--keep-chats .* needs --auth"):
        Settings(keep_chats=str(tmp_path))

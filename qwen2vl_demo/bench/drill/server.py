"""The page as a process of its own, whose memory, log and end can be observed."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import httpx

from qwen2vl_demo.bench.process_tree import held_bytes, process_tree, processor_seconds

START_SECONDS = 120.0


class Server:
    """`qwen2vl-demo serve` with nano on a free port of 127.0.0.1; a context manager that ends the process."""

    def __init__(self, data_dir: Path, flags: Sequence[str] = (), *, log: Path | None = None) -> None:
        self.data_dir, self._log = data_dir, log or data_dir.with_suffix(".log")
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        command = [sys.executable, "-m", "qwen2vl_demo", "serve", *(flags or ("--model", "nano", "--device", "cpu"))]
        command += ["--port", str(self.port), "--data-dir", str(data_dir)]
        with self._log.open("ab") as output:
            self.process = subprocess.Popen(
                command,
                stdout=output,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
            )

    def __enter__(self) -> Server:
        self.wait_until_ready()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop(signal.SIGKILL)

    def wait_until_ready(self) -> None:
        """Raises RuntimeError with the end of the log if the page does not come up."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                if httpx.get(f"{self.url}/config", timeout=5).status_code == 200:
                    return
            except httpx.HTTPError:
                time.sleep(0.2)
        raise RuntimeError(f"the page did not come up:\n{self.log[-2000:]}")

    def stop(self, number: int, seconds: float = 20.0) -> int | None:
        """Sends a signal and returns the exit status, or None if the process was still there and had to be killed."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            return None

    @property
    def log(self) -> str:
        """Standard output and standard error so far."""
        return self._log.read_text("utf-8", "replace")

    def tracebacks(self) -> int:
        return self.log.count("Traceback (most recent call last)")

    def megabytes(self) -> float:
        """Resident memory of the process and its descendants, in MB; pages that they share are counted once."""
        return held_bytes(self.process.pid) / 2**20

    def processor_seconds(self) -> float:
        """What the process and its descendants have used so far."""
        return processor_seconds(self.process.pid)

    def descendants(self) -> list[int]:
        """The process and all that it started."""
        return process_tree(self.process.pid)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])

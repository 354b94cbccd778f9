"""A process that renders one chat template, so that a template that never ends or takes all memory ends nothing else.

A prompt costs a fraction of a millisecond more than in this process. The worker is started again after it had to be
ended.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
import weakref
from typing import Any

from qwen2vl_demo.processing import template_worker

START_SECONDS = 20.0  # by the clock, on a machine that is busy with other things; processor time is limited to less
RENDER_SECONDS = 10.0
MAX_REPLY = 6 * template_worker.MAX_OUTPUT + 1000  # bytes: a character is at most six in JSON
ENDED = {"broken": "it does not end, or takes too much memory, and was stopped"}


class TemplateProcess:
    """Renders a template in a worker. Thread-safe; one prompt is rendered at a time."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._lock = threading.Lock()
        self._worker: subprocess.Popen[bytes] | None = None

    def open(self) -> dict[str, str]:
        """Starts the worker; its answer to the template, as in `template_worker`."""
        with self._lock:
            return self._start()

    def render(self, request: dict[str, Any]) -> dict[str, str]:
        """The worker's answer to a request for a prompt, as in `template_worker`."""
        with self._lock:
            if self._worker is None and "text" not in (answer := self._start()):
                return answer
            return self._exchange(request, RENDER_SECONDS)

    def _start(self) -> dict[str, str]:
        # By its path and without its folder on the path of modules: it starts in a tenth of a second.
        self._worker = worker = subprocess.Popen(
            [sys.executable, "-P", template_worker.__file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        weakref.finalize(self, _end, worker)
        return self._exchange({"source": self._source}, START_SECONDS)

    def _exchange(self, request: dict[str, Any], seconds: float) -> dict[str, str]:
        worker = self._worker
        assert worker is not None and worker.stdin is not None and worker.stdout is not None
        late = threading.Timer(seconds, worker.kill)
        late.daemon = True
        late.start()
        line = b""
        try:
            worker.stdin.write(json.dumps(request).encode() + b"\n")
            worker.stdin.flush()
            line = worker.stdout.readline(MAX_REPLY)
        except OSError:  # it has ended already
            pass
        finally:
            late.cancel()
        if line.endswith(b"\n"):
            answer: dict[str, str] = json.loads(line)
            return answer
        _end(worker)
        self._worker = None
        return ENDED


def _end(worker: subprocess.Popen[bytes]) -> None:
    worker.kill()
    for stream in (worker.stdin, worker.stdout):
        if stream is not None:
            with contextlib.suppress(OSError):  # what was not sent yet
                stream.close()
    worker.wait()

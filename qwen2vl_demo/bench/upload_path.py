"""Reads files as the page reads uploads, in a process of its own that is watched from outside.

The worker (`python -m qwen2vl_demo.bench.upload_path`) takes one file after the other through the media store, the
processor and the views for the browser. Outside, `UploadReader` measures it and its children and ends it when a file
takes too long, so that nothing a file does can harm the caller.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import selectors
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from qwen2vl_demo.bench.process_tree import forget_peak, held_bytes, peak_bytes, processor_seconds

Outcome = Literal["answered", "refused", "exception", "hang", "death"]

MEMORY = 4 * 2**30  # bytes of address space beyond what the libraries have taken when the worker starts
HANG = 20.0  # seconds of processor time
DEADLINE = 180.0  # seconds by the clock, for a machine that others use as well
POLL = 0.05  # seconds between two looks at the worker


@dataclass(frozen=True)
class Reading:
    """What became of one file."""

    outcome: Outcome
    sentence: str  # the refusal, or the exception and where it was raised
    media: list[dict[str, Any]]
    seconds: float  # by the clock
    processor: float  # seconds of processor time, of the worker and its children
    peak: int  # bytes of memory that they had more than before the file


class UploadReader:
    """A context manager that reads files one after the other. The worker is started again after it was ended."""

    def __init__(self, folder: Path, *, hang: float = HANG, deadline: float = DEADLINE) -> None:
        """`folder` is for what the worker stores."""
        self._folder, self._hang, self._deadline = folder, hang, deadline
        self._worker: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> UploadReader:
        return self

    def __exit__(self, *error: object) -> None:
        self._end()

    def read(self, path: Path, name: str, pages: str = "") -> Reading:
        """Reads a file as if it had been uploaded under this name."""
        worker = self._started()
        assert worker.stdin is not None
        forget_peak(worker.pid)
        began, used, held = time.monotonic(), processor_seconds(worker.pid), held_bytes(worker.pid)
        worker.stdin.write(json.dumps([str(path), name, pages]).encode() + b"\n")
        worker.stdin.flush()
        answer, peak, spent = None, 0, 0.0
        with selectors.DefaultSelector() as selector:
            assert worker.stdout is not None
            selector.register(worker.stdout, selectors.EVENT_READ)
            while answer is None:
                if selector.select(POLL):
                    line = worker.stdout.readline()
                    answer = json.loads(line) if line else ("death", "the process ended", [])
                spent = max(spent, processor_seconds(worker.pid) - used)
                peak = max(peak, peak_bytes(worker.pid))
                elapsed = time.monotonic() - began
                if answer is None and (spent > self._hang or elapsed > self._deadline):
                    answer = ("hang", f"{spent:.0f} s of processor time, {elapsed:.0f} s by the clock", [])
        outcome, sentence, media = answer
        if outcome in ("hang", "death"):
            self._end()
        return Reading(outcome, sentence, media, time.monotonic() - began, spent, max(0, peak - held))

    def _started(self) -> subprocess.Popen[bytes]:
        if self._worker is None or self._worker.poll() is not None:
            self._end()
            self._worker = subprocess.Popen(
                [sys.executable, "-m", "qwen2vl_demo.bench.upload_path", str(self._folder)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
            assert self._worker.stdout is not None
            if self._worker.stdout.readline() != b"ready\n":
                raise RuntimeError("The worker that reads uploads does not start.")
        return self._worker

    def _end(self) -> None:
        if self._worker is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._worker.pid, signal.SIGKILL)
            self._worker.communicate()
            self._worker = None


def work(folder: Path) -> None:
    """The worker: reads lines of [path, name, pages] and answers each with [outcome, sentence, media]."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever libraries print stays out of the answers
    read = _reader(folder)
    most = MEMORY + int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    print("ready", file=answers, flush=True)
    for line in sys.stdin:
        print(json.dumps(read(*json.loads(line))), file=answers, flush=True)


def _reader(folder: Path) -> Any:
    """The upload path of the page, put together from its own parts, with an engine that has no weights."""
    from qwen2vl_demo.decoding import decoding_for_strangers
    from qwen2vl_demo.engine.processor_only import ProcessorOnlyEngine
    from qwen2vl_demo.engine.protocol import GenerationOptions
    from qwen2vl_demo.errors import UserError
    from qwen2vl_demo.media import PageChoice
    from qwen2vl_demo.serve import DECODERS
    from qwen2vl_demo.settings import Settings
    from qwen2vl_demo.ui.chat.attachments import store_files
    from qwen2vl_demo.ui.chat.conversation import Conversation, Turn
    from qwen2vl_demo.ui.chat.prompts import Prompts
    from qwen2vl_demo.ui.media_store import MediaStore
    from qwen2vl_demo.ui.sessions import Session

    settings = Settings()
    decoding = decoding_for_strangers(settings.decode_seconds, settings.max_image_mp, DECODERS)
    store = MediaStore(folder, decoding=decoding)
    engine = ProcessorOnlyEngine.load(store.limits, decoding)

    def read(path: str, name: str, pages: str) -> tuple[Outcome, str, list[dict[str, Any]]]:
        try:
            session = Session(names={Path(path).name: name})
            media, _ = store_files(store, session, [path], PageChoice.parse(pages))
            prompts = Prompts(engine, store)
            prompt = prompts.prepare(Conversation((Turn("What is it?", media),)), GenerationOptions()).prompt
            for medium in media:
                store.view(medium)
            return "answered", "", [_medium(medium) for medium in prompt.media]
        except UserError as error:
            return "refused", str(error), []
        except Exception as error:
            frames = error.__traceback__
            while frames is not None and frames.tb_next is not None:
                frames = frames.tb_next
            place = f"{Path(frames.tb_frame.f_code.co_filename).name}:{frames.tb_lineno}" if frames else "?"
            return "exception", f"{type(error).__name__} in {place}: {error}"[:300], []

    return read


def _medium(item: Any) -> dict[str, Any]:
    times = item.timestamps
    return {
        "kind": item.kind,
        "size": list(item.original_size),
        "frames": item.total_frames,
        "times": [float(times[0]), float(times[-1])] if times is not None and len(times) else None,
        "first": _quadrants(item.frames[0]),
        "last": _quadrants(item.frames[-1]),
    }


def _quadrants(frame: Any) -> list[list[int]]:
    """The colours in the middle of the four quadrants of a frame (H, W, 3)."""
    height, width = frame.shape[:2]
    places = [(height * y // 4, width * x // 4) for y in (1, 3) for x in (1, 3)]
    reach_y, reach_x = max(1, height // 16), max(1, width // 16)
    return [
        [
            round(float(v))
            for v in frame[max(0, y - reach_y) : y + reach_y, max(0, x - reach_x) : x + reach_x].mean((0, 1))
        ]
        for y, x in places
    ]


if __name__ == "__main__":
    work(Path(sys.argv[1]))

"""Stop, a closed tab and another draft end the opening of a file at once, in the middle of a decoder's C code."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from qwen2vl_demo.decoding.worker_processes import WorkerProcesses
from qwen2vl_demo.serve import DECODERS
from qwen2vl_demo.ui.media_store import MediaStore
from qwen2vl_demo.ui.parts import Parts
from qwen2vl_demo.ui.sessions import Draft, Session
from tests.decoding.bombs import endless_pdf
from tests.fake_engine import FakeEngine
from tests.ui.conftest import VALUES, respond


@pytest.fixture(scope="module")
def workers() -> Iterator[WorkerProcesses]:
    pool = WorkerProcesses(seconds=60, workers=1, modules=DECODERS)
    yield pool
    pool.close()


@pytest.fixture
def parts(tmp_path: Path, workers: WorkerProcesses) -> Parts:
    return Parts.build(FakeEngine(step=0.0, encode=0.0), MediaStore(tmp_path / "media", decoding=workers))


@pytest.fixture
def endless(tmp_path: Path) -> str:
    return str(endless_pdf(tmp_path / "endless.pdf"))


def is_free(workers: WorkerProcesses) -> bool:
    """Whether the only worker takes a call, long before it has reached its limit."""
    started = time.monotonic()
    return workers.run(int, label="x") == 0 and time.monotonic() - started < 20


def stopped_after(seconds: float, stop: Callable[[], object], work: Callable[[], object]) -> float:
    """Runs `work` and, meanwhile, `stop`; how long `work` went on after that."""
    at: list[float] = []
    timer = threading.Timer(seconds, lambda: (at.append(time.monotonic()), stop()))
    timer.start()
    work()
    timer.join()
    return time.monotonic() - at[0]


def test_stop_ends_it_and_gives_the_question_back(parts: Parts, workers: WorkerProcesses, endless: str) -> None:
    session = parts.sessions.open("tab", None)
    parts.controller.begin(session, Draft("What?", (endless,)))
    went_on = stopped_after(0.5, lambda: parts.controller.stop(session), lambda: list(respond(parts, session)))
    assert went_on < 20 and is_free(workers)
    assert session.run is None and not session.conversation.turns


@pytest.mark.parametrize("end", ["the tab is closed", "another draft"])
def test_a_preview_ends_with(end: str, parts: Parts, workers: WorkerProcesses, endless: str) -> None:
    session = parts.sessions.open("tab", None)

    def stop() -> None:
        if end == "the tab is closed":
            parts.sessions.drop("tab")
        else:
            session.begin_preview(())

    draft = Draft("", (endless,))
    went_on = stopped_after(0.5, stop, lambda: parts.preview.refresh(session, draft, VALUES))
    assert went_on < 20 and is_free(workers)


def test_a_draft_that_was_replaced_before_its_turn_is_never_opened(parts: Parts, endless: str) -> None:
    session = Session()
    begun = session.begin_preview((endless,))
    session.begin_preview(())
    started = time.monotonic()
    assert parts.preview.refresh(session, Draft("", (endless,)), VALUES, begun).panel is None
    assert time.monotonic() - started < 20

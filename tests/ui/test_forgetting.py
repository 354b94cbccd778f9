"""What was computed for a conversation is freed when it is over: after Clear, a closed tab, a call."""

import time
from collections.abc import Callable

import pytest

from qwen2vl_demo.ui import api as api_module
from qwen2vl_demo.ui import forgetting as module
from qwen2vl_demo.ui import sessions as sessions_module
from qwen2vl_demo.ui.api import Api
from qwen2vl_demo.ui.chat.saved_chat import dumps
from qwen2vl_demo.ui.forgetting import Forgetting
from qwen2vl_demo.ui.models import Models
from qwen2vl_demo.ui.parts import Parts
from tests import asynchronous
from tests.fake_engine import FakeEngine
from tests.ui.conftest import ask

Files = Callable[[str], str]


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOOK", 0.02)
    monkeypatch.setattr(sessions_module, "RELOAD", 0.1)
    for place in (sessions_module, api_module):
        monkeypatch.setattr(place, "LAST_STEP", 0.02)


def forgotten(parts: Parts, count: int = 1) -> list[str]:
    """What the engine was told to forget, as soon as it is so many."""
    assert isinstance(parts.engine, FakeEngine)
    until = time.monotonic() + 30
    while len(parts.engine.forgotten) < count and time.monotonic() < until:
        time.sleep(0.01)
    return parts.engine.forgotten


def test_clear_forgets_and_undo_does_not(parts: Parts) -> None:
    session = parts.sessions.open("tab", None)
    ask(parts, session, "Hello")
    salt = session.conversation.cache_salt
    parts.controller.undo(session)
    parts.controller.clear(session)
    assert forgotten(parts) == [salt]
    assert session.conversation.cache_salt != salt


def test_a_closed_tab_is_forgotten_unless_it_comes_back(parts: Parts) -> None:
    gone, reloaded = parts.sessions.open("gone", None), parts.sessions.open("reloaded", None)
    for session in (gone, reloaded):
        ask(parts, session, "Hello")
    parts.sessions.drop("reloaded")
    parts.sessions.open("reloaded again", dumps(reloaded.conversation))
    parts.sessions.drop("gone")
    assert forgotten(parts) == [gone.conversation.cache_salt]
    time.sleep(0.2)
    assert forgotten(parts) == [gone.conversation.cache_salt]


def test_a_tab_that_is_open_twice_is_forgotten_with_the_last_one(parts: Parts) -> None:
    """The new page of a reload may open before the old one is known to be closed."""
    session = parts.sessions.open("old", None)
    ask(parts, session, "Hello")
    parts.sessions.open("new", dumps(session.conversation))
    parts.sessions.drop("old")
    time.sleep(0.2)
    assert forgotten(parts, 0) == []
    parts.sessions.drop("new")
    assert forgotten(parts) == [session.conversation.cache_salt]


def test_a_call_of_the_api_leaves_nothing(parts: Parts, files: Files) -> None:
    async def call() -> None:
        async for _ in Api(Models(parts)).ask("What is it?", [{"path": files("cat.png")}]):
            pass

    asynchronous.run(call())
    assert len(forgotten(parts)) == 1
    assert len(parts.prompts._prepared) == 0


def test_many_conversations_wait_in_one_thread() -> None:
    seen: list[str] = []
    forgetting = Forgetting(seen.append)
    for number in range(500):
        forgetting.forget_in(f"salt {number}", 0.05)
    forgetting.keep("salt 7")
    until = time.monotonic() + 30
    while len(seen) < 499 and time.monotonic() < until:
        time.sleep(0.01)
    assert set(seen) == {f"salt {number}" for number in range(500) if number != 7}

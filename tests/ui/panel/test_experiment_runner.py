"""The last question asked again with one thing changed: what is asked, what is shown, and what ends it."""

import re
import threading
import time
from collections.abc import Callable
from dataclasses import replace

import pytest

from qwen2vl_demo.errors import UserError
from qwen2vl_demo.ui.chat.controller import Chat
from qwen2vl_demo.ui.chat.conversation import Answer, Conversation
from qwen2vl_demo.ui.panel.experiment_runner import ASK_FIRST, NO_MEDIA, STOPPED, WRITING
from qwen2vl_demo.ui.panel.experiments import Experiment
from qwen2vl_demo.ui.sessions import Draft, Session
from tests.ui.conftest import VALUES, ask

Files = Callable[[str], str]
BOTH: tuple[Experiment, ...] = ("budget", "positions")


@pytest.fixture
def session(chat: Chat) -> Session:
    return chat.open("tab", None)


def last_of(chat: Chat, session: Session, kind: Experiment) -> str:
    return list(chat.experiment(session, VALUES, kind))[-1]


def test_budgets_are_halved_and_the_question_stays(chat: Chat, session: Session, files: Files) -> None:
    """320x240 px are rounded to 308x252: 11x9 = 99 tokens; half of them are 49 and a quarter 24."""
    ask(chat, session, "What is here?", files("cat.png"))
    before = session.conversation
    asked = len(chat.engine.heard)  # type: ignore[attr-defined]
    shown = last_of(chat, session, "budget")
    heard = chat.engine.heard[asked:]  # type: ignore[attr-defined]
    assert [messages[-1].text for messages, _ in heard] == ["What is here?"] * 3
    assert [options.media.max_pixels for _, options in heard] == [None, 49 * 784, 24 * 784]
    tokens = [int(n) for n in re.findall(r"px, (\d+) tokens", shown)]
    assert tokens[0] == 99 and 24 < tokens[1] <= 49 and tokens[2] <= 24
    assert shown.count("<img") == 3 and "Asked again" in shown
    assert session.conversation is before  # nothing of it stays in the chat


def test_positions_change_and_nothing_else(chat: Chat, session: Session, files: Files) -> None:
    ask(chat, session, "What is here?", files("cat.png"))
    asked = len(chat.engine.heard)  # type: ignore[attr-defined]
    shown = last_of(chat, session, "positions")
    (first, one), *others = chat.engine.heard[asked:]  # type: ignore[attr-defined]
    assert [options.positions for _, options in [(first, one), *others]] == ["mrope", "silenced", "1d"]
    assert (
        len(
            {(options.media, options.temperature, options.max_new_tokens) for _, options in others}
            | {(one.media, one.temperature, one.max_new_tokens)}
        )
        == 1
    )
    assert all(messages == first for messages, _ in others)
    assert "did not matter" in shown  # the fake engine says the same each time


@pytest.mark.parametrize("kind", BOTH)
def test_a_question_that_was_stopped_before_a_word_can_be_tried(
    chat: Chat, session: Session, files: Files, kind: Experiment
) -> None:
    ask(chat, session, "What is here?", files("cat.png"))
    stopped = replace(session.conversation.turns[0], answer=Answer("", "cancelled"))
    session.conversation = Conversation((stopped,))
    assert last_of(chat, session, kind).count("Asked again") == 1


@pytest.mark.parametrize("kind", BOTH)
def test_what_cannot_be_tried_is_said(chat: Chat, session: Session, kind: Experiment) -> None:
    assert ASK_FIRST in last_of(chat, session, kind)
    ask(chat, session, "Only words")
    assert NO_MEDIA in last_of(chat, session, kind)
    chat.begin(session, Draft("And more?"))
    assert WRITING in last_of(chat, session, kind)


def test_an_answer_is_escaped_and_its_boxes_are_drawn(chat: Chat, session: Session, files: Files) -> None:
    ask(chat, session, "!markup <b>", files("cat.png"))
    shown = last_of(chat, session, "positions")
    assert "<script" not in shown and "<b>bold" not in shown and "&lt;script&gt;" in shown and "&lt;b&gt;" in shown
    ask(chat, session, "!boxes")
    plain = shown.partition("<img")[2].partition(">")[0]
    boxed = last_of(chat, session, "positions").partition("<img")[2].partition(">")[0]
    assert boxed != plain


def test_a_problem_is_a_sentence_and_what_was_found_stays(
    chat: Chat, session: Session, files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask(chat, session, "What is here?", files("cat.png"))
    stream = chat.engine.stream

    def refuse(messages, options, cancel=None):  # type: ignore[no-untyped-def]
        if options.positions == "1d":
            raise UserError("Not here.")
        if options.positions == "silenced" and broken:
            raise RuntimeError("a bug")
        return stream(messages, options, cancel)

    monkeypatch.setattr(chat.engine, "stream", refuse)
    broken = False
    shown = last_of(chat, session, "positions")
    assert "Not here." in shown and shown.count("<img") == 3
    broken = True
    shown = last_of(chat, session, "positions")
    assert "Something went wrong" in shown and "a bug" not in shown
    assert session.aside is None


@pytest.mark.parametrize("ending", ["a new question", "another experiment", "the tab closes", "the page is left"])
def test_an_experiment_ends_when_something_newer_comes(chat: Chat, session: Session, files: Files, ending: str) -> None:
    """A question with "long" in it is answered slowly by the fake engine."""
    ask(chat, session, "long?", files("cat.png"))
    chat.engine.step = 0.05  # type: ignore[attr-defined]
    found: list[str] = []
    shows = chat.experiment(session, VALUES, "budget")
    found.append(next(shows))
    cancel = session.aside
    assert cancel is not None
    if ending == "the page is left":
        shows.close()  # type: ignore[attr-defined]
        assert cancel.is_set() and session.aside is None
        return
    thread = threading.Thread(target=lambda: found.extend(shows))
    thread.start()
    time.sleep(0.1)
    if ending == "a new question":
        chat.begin(session, Draft("And now?"))
    elif ending == "another experiment":
        second = chat.experiment(session, VALUES, "positions")
        next(second)
        assert session.aside is not cancel
        second.close()  # type: ignore[attr-defined]
    else:
        chat.sessions.drop("tab")
    thread.join(10)
    assert not thread.is_alive() and STOPPED in found[-1]
    assert session.aside is None

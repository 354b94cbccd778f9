"""The last step of the lesson: what is asked, of which picture, and what a stranger's browser may send."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from qwen2vl_demo.processing.messages import Image
from qwen2vl_demo.ui.lesson.live import NO_PICTURE, NOT_KNOWN, OWN, LiveLesson, LiveQuestion
from qwen2vl_demo.ui.lesson.prepared import prepared, records
from qwen2vl_demo.ui.panel.experiments import WRITING
from qwen2vl_demo.ui.parts import Parts
from qwen2vl_demo.ui.sessions import Draft, Run, Session
from tests.asynchronous import stepwise
from tests.ui.conftest import VALUES, ask

Files = Callable[[str], str]


@pytest.fixture
def session(parts: Parts) -> Session:
    return parts.sessions.open("tab", None)


@pytest.fixture
def live(parts: Parts) -> LiveLesson:
    return LiveLesson(parts.experiments, parts.store, parts.threads, prepared())


def told(live: LiveLesson, session: Session, subject: str, question: str = "Where is the cat?") -> list[dict[str, Any]]:
    states: Iterator[dict[str, Any]] = stepwise(live.ask(session, LiveQuestion(subject, question), VALUES))
    return list(states)


def test_a_prepared_picture_is_asked_about_with_three_kinds_of_positions(
    parts: Parts, live: LiveLesson, session: Session
) -> None:
    """500x400 px become 504x392: 14 rows of 18 tokens."""
    chat = session.conversation
    last = told(live, session, "animals")[-1]
    heard = parts.engine.heard  # type: ignore[attr-defined]
    assert [options.positions for _, options in heard] == ["mrope", "silenced", "1d"]
    assert all(messages[-1].text == "Where is the cat?" for messages, _ in heard)
    assert last["finished"] and last["seen"] == [14, 18] and not last["note"]
    assert [trial["done"] for trial in last["trials"]] == [True] * 3
    assert session.conversation is chat and not chat.turns


def test_the_newest_picture_of_the_panel_is_the_learners_own(
    parts: Parts, live: LiveLesson, session: Session, files: Files
) -> None:
    """The chat has cat.png, the line below it dog.jpg (320x240 px: 308x252 px, 9 rows of 11 tokens)."""
    assert told(live, session, OWN)[-1]["note"] == NO_PICTURE
    ask(parts, session, "What is here?", files("cat.png"))
    parts.preview.refresh(session, Draft("", (files("dog.jpg"),)), VALUES)
    asked = len(parts.engine.heard)  # type: ignore[attr-defined]
    last = told(live, session, OWN, "Which colour?")[-1]
    (messages, _), *_ = parts.engine.heard[asked:]  # type: ignore[attr-defined]
    assert last["seen"] == [9, 11] and len(messages) == 1 and messages[0].text == "Which colour?"
    assert [part.name for part in messages[0].parts if isinstance(part, Image)] == ["dog.jpg"]
    assert len(session.conversation.turns) == 1


def test_no_answer_is_disturbed(live: LiveLesson, session: Session) -> None:
    session.run = Run()
    assert told(live, session, "animals")[-1]["note"] == WRITING


def test_pictures_that_are_not_of_the_lesson_are_refused(live: LiveLesson, session: Session) -> None:
    (state,) = told(live, session, "/etc/passwd")
    assert state["note"] == NOT_KNOWN and not state["trials"] and not state["finished"]


@pytest.mark.parametrize(
    "value",
    [
        *(None, 3, "animals", [], {}, {"subject": "animals"}, {"subject": 1, "question": "?"}),
        {"subject": "animals", "question": ["?"]},
        {"subject": "animals", "question": "x" * 301},
    ],
)
def test_what_no_page_sends_is_not_asked(value: Any) -> None:
    assert LiveQuestion.read(value) is None


def test_half_a_character_is_replaced() -> None:
    assert LiveQuestion.read({"subject": "animals", "question": " \ud800? "}) == LiveQuestion("animals", "??")


def test_prepared_subjects_tell_the_browser_their_sizes() -> None:
    """The clip has 36 frames in 3 s, of which two a second are sampled."""
    told = {record["key"]: record for record in records(prepared())}
    assert list(told) == ["animals", "chart", "receipt", "clip"]
    assert told["animals"]["size"] == [400, 500] and Path(told["animals"]["file"]).is_file()
    assert told["clip"]["sheet"]["count"] == 6 and told["clip"]["clip"]["total"] == 36
    assert told["clip"]["size"] == [280, 336]

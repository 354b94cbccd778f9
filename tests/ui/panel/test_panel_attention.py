"""Which words a visitor can pick, what comes back for one, and what ends a look: the handlers, without a page."""

import base64
import json
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from qwen2vl_demo.errors import UserError
from qwen2vl_demo.ui.chat.controller import Chat
from qwen2vl_demo.ui.panel.attention import NOTHING, WRITING
from qwen2vl_demo.ui.sessions import Draft, Session
from tests.ui.conftest import VALUES, ask

Files = Callable[[str], str]


@pytest.fixture
def session(chat: Chat) -> Session:
    return chat.open("tab", None)


def pick(chat: Chat, session: Session, word: object, choice: object = "all") -> dict[str, Any]:
    asked = {"answer": chat.words(session)["answer"], "word": word, "choice": choice}
    found = chat.attend(session, VALUES, asked)
    assert found is not None
    return json.loads(json.dumps(found))


def values(map_: dict[str, Any], name: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(map_["maps"][name]["data"]), np.uint8)


def test_the_words_of_an_answer_read_as_the_answer_does(chat: Chat, session: Session, files: Files) -> None:
    text = ask(chat, session, "What is here?", files("cat.png"))
    shown = chat.words(session)
    joined = "".join((" " if space else "") + word for word, space in zip(shown["words"], shown["spaces"], strict=True))
    assert joined == text.strip()
    assert (shown["note"], shown["map"]) == ("", None)
    assert "attention sink" in shown["caveat"] and "not an explanation" in shown["caveat"]
    assert "the query that produced the word" in shown["caveat"]


@pytest.mark.parametrize("word", [0, 5])
def test_a_word_comes_back_with_its_cell_marked_in_every_medium(
    chat: Chat, session: Session, files: Files, word: int
) -> None:
    """The fake engine's layer 1, head 2 looks at cell number `word` of each medium."""
    ask(chat, session, "What is here?", files("cat.png"), files("clip.mp4"))
    found = pick(chat, session, word, "1.2")["map"]
    trace = session.trace
    assert trace is not None
    sizes = [m.merged_tokens for m in trace.media]
    assert found["grids"] == [list(m.merged_grid) for m in trace.media]
    assert (found["of"], found["chosen"], found["layers"], found["heads"]) == (word, "1.2", 2, 3)
    cells = values(found, "1.2")
    assert len(cells) == sum(sizes)
    assert np.flatnonzero(cells > 200).tolist() == [word % sizes[0], sizes[0] + word % sizes[1]]
    assert sum(found["shares"]["1.2"]) == pytest.approx(1, abs=1e-3)
    assert sum(found["shares"]["1.2"][:2]) > 0.5 > sum(found["shares"]["0.0"][:2])


def test_before_while_and_after(chat: Chat, session: Session, files: Files) -> None:
    assert chat.words(session) == NOTHING
    chat.begin(session, Draft("?", (files("cat.png"),)))
    stream = chat.respond(session, VALUES)
    next(stream)
    chat.look(session, Draft(), VALUES)
    assert chat.words(session) == {**NOTHING, "note": WRITING}
    list(stream)
    chat.finish(session)
    assert chat.words(session)["words"][0] == "In"
    chat.look(session, Draft("", (files("dog.jpg"),)), VALUES)  # the panel shows what stands in the composer
    assert chat.words(session) == NOTHING
    chat.look(session, Draft(), VALUES)
    assert chat.words(session)["words"][0] == "In"
    chat.clear(session)
    chat.look(session, Draft(), VALUES)
    assert chat.words(session) == NOTHING


def test_another_answer_has_another_name_and_the_old_one_is_not_looked_at(
    chat: Chat, session: Session, files: Files
) -> None:
    ask(chat, session, "First?", files("cat.png"))
    old = chat.words(session)["answer"]
    ask(chat, session, "Second?")
    found = chat.attend(session, VALUES, {"answer": old, "word": 0, "choice": "all"})
    assert found is not None and found["map"] is None
    assert found["answer"] == chat.words(session)["answer"] != old


def test_an_answer_without_a_word_offers_none(chat: Chat, session: Session) -> None:
    ask(chat, session, "!silent")
    assert chat.words(session) == NOTHING


def test_markup_in_an_answer_stays_the_words_it_is(chat: Chat, session: Session) -> None:
    ask(chat, session, "!markup")
    assert any("<script>" in word for word in chat.words(session)["words"])


@pytest.mark.parametrize(
    "asked",
    [
        None,
        "all",
        {},
        {"answer": "x", "word": "red", "choice": "all"},
        {"answer": "x", "word": 0, "choice": "all.1"},
        {"answer": "x", "word": 0, "choice": {"layer": 1}},
    ],
)
def test_what_is_no_question_gets_a_sentence(chat: Chat, session: Session, asked: object) -> None:
    ask(chat, session, "What?")
    found = chat.attend(session, VALUES, asked)
    assert found is not None and found["map"] is None
    assert found["note"].startswith("This is no word")


def test_a_layer_that_is_not_there_gets_a_sentence(chat: Chat, session: Session) -> None:
    ask(chat, session, "What?")
    for choice in ("2", "0.3"):
        found = pick(chat, session, 0, choice)
        assert (found["map"], "2 layers of 3 heads" in found["note"]) == (None, True)


def test_a_bug_and_an_engine_that_cannot_see_are_said_in_words(
    chat: Chat, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask(chat, session, "What?")

    def bug(*_: object) -> None:
        raise RuntimeError("a bug")

    def refuse(*_: object) -> None:
        raise UserError("This engine sees no attention.")

    monkeypatch.setattr(chat.engine, "word_attention", bug)
    assert "Something went wrong" in pick(chat, session, 0)["note"]
    monkeypatch.setattr(chat.engine, "answer_words", refuse)
    assert chat.words(session) == {**NOTHING, "note": "This engine sees no attention."}


@pytest.mark.parametrize("ending", ["another word", "a new question", "the tab closes"])
def test_a_long_look_ends_when_something_newer_comes(chat: Chat, session: Session, ending: str) -> None:
    """A question with "slow" in it makes the fake engine look until it is stopped, at most half a minute."""
    ask(chat, session, "slow?")
    name = chat.words(session)["answer"]
    found: list[Any] = []

    def look(word: int) -> threading.Thread:
        asked = {"answer": name, "word": word, "choice": "all"}
        thread = threading.Thread(target=lambda: found.append(chat.attend(session, VALUES, asked)))
        before = session.aside
        thread.start()
        while session.aside is before:
            time.sleep(0.01)
        return thread

    first = look(0)
    if ending == "another word":
        second = look(1)
        first.join(10)
        assert found == [None] and second.is_alive()
        session.stop()
        second.join(10)
    elif ending == "a new question":
        chat.begin(session, Draft("And now?"))
        first.join(10)
    else:
        chat.sessions.drop("tab")
        first.join(10)
    assert not first.is_alive() and set(found) == {None}
    assert session.aside is None

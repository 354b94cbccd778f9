"""Which words a visitor can pick, what comes back for one, and what ends a look: the handlers, without a page."""

import base64
import json
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from qwen2vl_demo.engine.protocol import Abilities
from qwen2vl_demo.errors import UserError
from qwen2vl_demo.ui.panel.attention import NO_WORDS, WRITING
from qwen2vl_demo.ui.parts import Parts
from qwen2vl_demo.ui.sessions import Draft, Session
from qwen2vl_demo.viz.lens_payload import payload_key
from tests import asynchronous
from tests.ui.conftest import VALUES, ask, respond

Files = Callable[[str], str]


@pytest.fixture
def session(parts: Parts) -> Session:
    return parts.sessions.open("tab", None)


def pick(parts: Parts, session: Session, word: object, choice: object = "all") -> dict[str, Any]:
    asked = {"answer": parts.attention.words(session)["answer"], "word": word, "choice": choice}
    found = asynchronous.run(parts.attention.map_word(session, asked))
    assert found is not None
    return json.loads(json.dumps(found))


def values(map_: dict[str, Any], name: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(map_["maps"][name]["data"]), np.uint8)


def test_the_words_of_an_answer_read_as_the_answer_does(parts: Parts, session: Session, files: Files) -> None:
    text = ask(parts, session, "What is here?", files("cat.png"))
    shown = parts.attention.words(session)
    joined = "".join((" " if space else "") + word for word, space in zip(shown["words"], shown["spaces"], strict=True))
    assert joined == text.strip()
    assert (shown["note"], shown["map"]) == ("", None)
    assert "attention sink" in shown["caveat"] and "not an explanation" in shown["caveat"]
    assert "the query that produced the word" in shown["caveat"]


@pytest.mark.parametrize("word", [0, 5])
def test_a_word_comes_back_with_its_cell_marked_in_every_medium(
    parts: Parts, session: Session, files: Files, word: int
) -> None:
    """The fake engine's layer 1, head 2 looks at cell number `word` of each medium."""
    ask(parts, session, "What is here?", files("cat.png"), files("clip.mp4"))
    found = pick(parts, session, word, "1.2")["map"]
    assert session.shown is not None
    trace = session.shown.trace
    sizes = [m.merged_tokens for m in trace.media]
    assert found["grids"] == [list(m.merged_grid) for m in trace.media]
    assert (found["of"], found["chosen"], found["layers"], found["heads"]) == (word, "1.2", 2, 3)
    cells = values(found, "1.2")
    assert len(cells) == sum(sizes)
    assert np.flatnonzero(cells > 200).tolist() == [word % sizes[0], sizes[0] + word % sizes[1]]
    assert sum(found["shares"]["1.2"]) == pytest.approx(1, abs=1e-3)
    assert sum(found["shares"]["1.2"][:2]) > 0.5 > sum(found["shares"]["0.0"][:2])


def test_before_while_and_after(parts: Parts, session: Session, files: Files) -> None:
    assert parts.attention.words(session) == NO_WORDS
    parts.controller.begin(session, Draft("?", (files("cat.png"),)))
    stream = respond(parts, session, VALUES)
    next(stream)
    parts.preview.refresh(session, Draft(), VALUES)
    assert parts.attention.words(session) == {**NO_WORDS, "note": WRITING}
    list(stream)
    parts.controller.answers.finish(session)
    assert parts.attention.words(session)["words"][0] == "In"
    parts.preview.refresh(
        session, Draft("", (files("dog.jpg"),)), VALUES
    )  # the panel shows what stands in the composer
    assert parts.attention.words(session) == NO_WORDS
    parts.preview.refresh(session, Draft(), VALUES)
    assert parts.attention.words(session)["words"][0] == "In"
    parts.controller.clear(session)
    parts.preview.refresh(session, Draft(), VALUES)
    assert parts.attention.words(session) == NO_WORDS


def test_another_answer_has_another_name_and_the_old_one_is_not_looked_at(
    parts: Parts, session: Session, files: Files
) -> None:
    ask(parts, session, "First?", files("cat.png"))
    old = parts.attention.words(session)["answer"]
    ask(parts, session, "Second?")
    found = asynchronous.run(parts.attention.map_word(session, {"answer": old, "word": 0, "choice": "all"}))
    assert found is not None and found["map"] is None
    assert found["answer"] == parts.attention.words(session)["answer"] != old


def test_an_answer_without_a_word_offers_none(parts: Parts, session: Session) -> None:
    ask(parts, session, "!silent")
    assert parts.attention.words(session) == NO_WORDS


def test_markup_in_an_answer_stays_the_words_it_is(parts: Parts, session: Session) -> None:
    ask(parts, session, "!markup")
    assert any("<script>" in word for word in parts.attention.words(session)["words"])


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
def test_what_is_no_question_gets_a_sentence(parts: Parts, session: Session, asked: object) -> None:
    ask(parts, session, "What?")
    found = asynchronous.run(parts.attention.map_word(session, asked))
    assert found is not None and found["map"] is None
    assert found["note"].startswith("This is no word")


def test_a_layer_that_is_not_there_gets_a_sentence(parts: Parts, session: Session) -> None:
    ask(parts, session, "What?")
    for choice in ("2", "0.3"):
        found = pick(parts, session, 0, choice)
        assert (found["map"], "2 layers of 3 heads" in found["note"]) == (None, True)


def test_a_bug_and_an_engine_that_cannot_see_are_said_in_words(
    parts: Parts, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask(parts, session, "What?")

    def bug(*_: object, **__: object) -> None:
        raise RuntimeError("a bug")

    def refuse(*_: object) -> None:
        raise UserError("This engine sees no attention.")

    monkeypatch.setattr(parts.engine, "word_attention", bug)
    assert "Something went wrong" in pick(parts, session, 0)["note"]
    monkeypatch.setattr(parts.engine, "answer_words", refuse)
    assert parts.attention.words(session) == {**NO_WORDS, "note": "This engine sees no attention."}


@pytest.mark.parametrize("ending", ["another word", "a new question", "the tab closes"])
def test_a_long_look_ends_when_something_newer_comes(parts: Parts, session: Session, ending: str) -> None:
    """A question with "slow" in it makes the fake engine look until it is stopped, at most half a minute."""
    ask(parts, session, "slow?")
    name = parts.attention.words(session)["answer"]
    found: list[Any] = []

    def look(word: int) -> threading.Thread:
        asked = {"answer": name, "word": word, "choice": "all"}
        thread = threading.Thread(
            target=lambda: found.append(asynchronous.run(parts.attention.map_word(session, asked)))
        )
        before = session.side_task
        thread.start()
        while session.side_task is before:
            time.sleep(0.01)
        return thread

    first = look(0)
    if ending == "another word":
        second = look(1)
        first.join(10)
        assert found == [None] and second.is_alive()
        session.cancel_run()
        second.join(10)
    elif ending == "a new question":
        parts.controller.begin(session, Draft("And now?"))
        first.join(10)
    else:
        parts.sessions.drop("tab")
        first.join(10)
    assert not first.is_alive() and set(found) == {None}
    assert session.side_task is None


def test_what_an_engine_cannot_explain_is_not_offered(
    parts: Parts, session: Session, files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the model on a server there is no attention, and the page says nothing of it."""
    ask(parts, session, "What is here?", files("cat.png"))
    monkeypatch.setattr(parts.engine, "abilities", Abilities(attention=False))
    assert parts.attention.words(session) == NO_WORDS
    asked = {"answer": "x", "word": 0, "choice": "all"}
    assert asynchronous.run(parts.attention.map_word(session, asked)) == NO_WORDS


def look(parts: Parts, session: Session, **asked: object) -> dict[str, Any]:
    found = asynchronous.run(parts.attention.map_word(session, {"choice": "all", **asked}))
    assert found is not None
    return json.loads(json.dumps(found))


@pytest.mark.parametrize("change", ["a smaller budget", "other eyes"])
def test_attention_belongs_to_the_prompt_that_was_answered(
    parts: Parts, session: Session, files: Files, change: str
) -> None:
    """cat.png, 320x240 px, was answered as 9x11 tokens, or with a budget of 50 as 6x8. Whatever the panel draws by now,
    the map is of these, and the prompt as it was comes along and says of which answer it is; once the lens shows it, it
    does not come again."""
    other = change == "other eyes"
    before: dict[str, object] = {"max_tokens": 50} if other else {}
    parts.controller.begin(session, Draft("What is here?", (files("cat.png"),)))
    list(respond(parts, session, before))
    parts.controller.answers.finish(session)
    now = before if other else {"max_tokens": 20}
    parts.preview.refresh(session, Draft(), now, eyes="released" if other else "model")
    assert session.shown is not None
    drawn = session.shown.drawn.media[0].merged_grid
    offered = parts.attention.words(session)
    assert offered["words"][0] == "In"
    found = look(parts, session, answer=offered["answer"], word=0, key=payload_key(session.shown.drawn))
    (grid,) = found["map"]["grids"]
    assert grid == ([1, 6, 8] if other else [1, 9, 11]) and tuple(grid) != drawn
    assert found["prompt"]["answered"] == 1 and found["prompt"]["key"] == found["map"]["key"]
    assert found["prompt"]["media"][0]["grid_thw"] == [1, 2 * grid[1], 2 * grid[2]]
    again = look(parts, session, answer=offered["answer"], word=1, key=found["map"]["key"])
    assert again["prompt"] is None and again["map"]["grids"] == [grid]


def test_words_of_an_older_answer_are_looked_at_where_they_stand(parts: Parts, session: Session, files: Files) -> None:
    """The first answer was given to one picture, the second to the same and a clip."""
    first = ask(parts, session, "First?", files("cat.png"))
    ask(parts, session, "Second?", files("clip.mp4"))
    offered = parts.attention.words(session)
    assert (offered["turn"], offered["answers"]) == (1, [0, 1])
    found = look(parts, session, turn=0, words=True)
    assert (found["turn"], found["map"]) == (0, None) and found["words"][0] == first.split()[0]
    clicked = look(parts, session, turn=0, text=found["words"][3], nth=0, key=offered["key"])
    equal = [index for index, word in enumerate(found["words"]) if word == found["words"][3]]
    assert clicked["map"]["of"] == equal[0] and len(clicked["map"]["grids"]) == 1
    assert clicked["prompt"]["answered"] == 1 and len(clicked["prompt"]["media"]) == 1


@pytest.mark.parametrize(
    "asked",
    [
        {"turn": 5, "text": "In", "nth": 0},
        {"turn": -1, "text": "In", "nth": 0},
        {"turn": "0", "text": "In", "nth": 0},
        {"turn": 0, "text": "notaword", "nth": 0},
        {"turn": 0, "text": "In", "nth": -1},
        {"turn": 0, "text": "In", "nth": None},
        {"turn": 0, "text": {}, "nth": 1e400},
    ],
)
def test_a_click_on_what_is_no_word_gets_a_sentence(parts: Parts, session: Session, asked: dict[str, object]) -> None:
    ask(parts, session, "What?")
    found = look(parts, session, **asked)
    assert found["map"] is None and found["note"].startswith("This is no word")


def test_the_tokens_of_an_answer_come_with_its_words(parts: Parts, session: Session) -> None:
    text = ask(parts, session, "What?")
    offered = parts.attention.words(session)
    assert "".join(offered["tokens"]) == text
    assert session.shown is not None and offered["key"] == payload_key(session.shown.trace)


def test_a_map_comes_with_what_a_neutral_question_looks_at(parts: Parts, session: Session, files: Files) -> None:
    """The fake engine looks at cell 0 for the first word of any answer, in layer 1, head 2; so of word 5 cell 5 is
    left, and of word 0 next to nothing: the two prompts differ in length."""
    ask(parts, session, "What is here?", files("cat.png"))
    for word, left in ((5, 5), (0, 0)):
        found = pick(parts, session, word, "1.2")["map"]["neutral"]["minus"]["1.2"]
        assert np.frombuffer(base64.b64decode(found["data"]), np.uint8).nonzero()[0].tolist() == [left]
        assert (found["top"] > 0.3) == bool(word) and (found["top"] < 0.05) == (not word)
    assert session.conversation.last is not None and session.conversation.last.question == "What is here?"


def test_where_each_look_is_dear_the_neutral_question_is_asked_on_request(
    parts: Parts, session: Session, files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts.engine, "abilities", Abilities(laboratory=False))
    ask(parts, session, "What is here?", files("cat.png"))
    assert "neutral" not in pick(parts, session, 5)["map"]
    name = parts.attention.words(session)["answer"]
    assert "neutral" in look(parts, session, answer=name, word=5, neutral=True)["map"]

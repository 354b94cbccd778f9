"""The last question asked again with one thing changed: what is asked, what is markup, and what ends it."""

import re
import threading
import time
from collections.abc import Callable, Generator
from dataclasses import replace

import pytest

from qwen2vl_demo.engine.protocol import Abilities
from qwen2vl_demo.engine.request_queue import RequestQueue
from qwen2vl_demo.errors import UserError
from qwen2vl_demo.ui.chat.answers import LOADING
from qwen2vl_demo.ui.chat.conversation import Answer, Conversation
from qwen2vl_demo.ui.panel.columns import AS_ASKED, TWO_COLUMNS, Experiment, names_of_columns
from qwen2vl_demo.ui.panel.experiment_html import marked_differences, trials_html
from qwen2vl_demo.ui.panel.experiments import ASK_FIRST, DISPLACED, NO_MEDIA, STOPPED, WRITING, ExperimentState
from qwen2vl_demo.ui.panel.side_by_side import NO_POSITIONS
from qwen2vl_demo.ui.parts import Parts
from qwen2vl_demo.ui.sessions import Draft, Session
from tests.asynchronous import stepwise
from tests.ui.conftest import VALUES, ask

Files = Callable[[str], str]
BOTH: tuple[Experiment, ...] = ("budget", "positions")
EACH: tuple[Experiment, ...] = (*BOTH, "compare")


@pytest.fixture
def session(parts: Parts) -> Session:
    return parts.sessions.open("tab", None)


def shown(parts: Parts, session: Session, kind: Experiment) -> Generator[str, None, None]:
    """What the tab shows, again and again."""
    states = stepwise(parts.experiments.run(session, VALUES, kind))
    try:
        for state in states:
            yield trials_html(state.question, state.trials, note=state.note, ended=state.finished)
    finally:
        states.close()


def last_of(parts: Parts, session: Session, kind: Experiment) -> str:
    return list(shown(parts, session, kind))[-1]


def test_budgets_are_halved_and_the_question_stays(parts: Parts, session: Session, files: Files) -> None:
    """320x240 px are rounded to 308x252: 11x9 = 99 tokens; half of them are 49 and a quarter 24."""
    ask(parts, session, "What is here?", files("cat.png"))
    before = session.conversation
    asked = len(parts.engine.heard)  # type: ignore[attr-defined]
    markup = last_of(parts, session, "budget")
    heard = parts.engine.heard[asked:]  # type: ignore[attr-defined]
    assert [messages[-1].text for messages, _ in heard] == ["What is here?"] * 3
    assert [options.media.max_pixels for _, options in heard] == [None, 49 * 784, 24 * 784]
    tokens = [int(n) for n in re.findall(r"px, (\d+) tokens", markup)]
    assert tokens[0] == 99 and 24 < tokens[1] <= 49 and tokens[2] <= 24
    assert markup.count("<img") == 3 and "Asked again" in markup
    assert session.conversation is before  # nothing of it stays in the chat


def test_positions_change_and_nothing_else(parts: Parts, session: Session, files: Files) -> None:
    ask(parts, session, "What is here?", files("cat.png"))
    asked = len(parts.engine.heard)  # type: ignore[attr-defined]
    markup = last_of(parts, session, "positions")
    (first, one), *others = parts.engine.heard[asked:]  # type: ignore[attr-defined]
    assert [options.positions for _, options in [(first, one), *others]] == ["mrope", "silenced", "1d"]
    assert (
        len(
            {(options.media, options.temperature, options.max_new_tokens) for _, options in others}
            | {(one.media, one.temperature, one.max_new_tokens)}
        )
        == 1
    )
    assert all(messages == first for messages, _ in others)
    assert "did not matter" in markup  # the fake engine says the same each time


@pytest.mark.parametrize("kind", BOTH)
def test_a_question_that_was_stopped_before_a_word_can_be_tried(
    parts: Parts, session: Session, files: Files, kind: Experiment
) -> None:
    ask(parts, session, "What is here?", files("cat.png"))
    stopped = replace(session.conversation.turns[0], answer=Answer("", "cancelled"))
    session.conversation = Conversation((stopped,))
    assert last_of(parts, session, kind).count("Asked again") == 1


@pytest.mark.parametrize("kind", BOTH)
def test_what_cannot_be_tried_is_said(parts: Parts, session: Session, kind: Experiment) -> None:
    assert ASK_FIRST in last_of(parts, session, kind)
    ask(parts, session, "Only words")
    assert NO_MEDIA in last_of(parts, session, kind)
    parts.controller.begin(session, Draft("And more?"))
    assert WRITING in last_of(parts, session, kind)


def test_an_answer_is_escaped_and_its_boxes_are_drawn(parts: Parts, session: Session, files: Files) -> None:
    ask(parts, session, "!markup <b>", files("cat.png"))
    markup = last_of(parts, session, "positions")
    assert "<script" not in markup and "<b>bold" not in markup and "&lt;script&gt;" in markup and "&lt;b&gt;" in markup
    ask(parts, session, "!boxes")
    plain = markup.partition("<img")[2].partition(">")[0]
    boxed = last_of(parts, session, "positions").partition("<img")[2].partition(">")[0]
    assert boxed != plain


def test_a_problem_is_a_sentence_and_what_was_found_stays(
    parts: Parts, session: Session, files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask(parts, session, "What is here?", files("cat.png"))
    stream = parts.engine.stream

    def refuse(messages, options, cancel=None, **prepared):  # type: ignore[no-untyped-def]
        if options.positions == "1d":
            raise UserError("Not here.")
        if options.positions == "silenced" and broken:
            raise RuntimeError("a bug")
        return stream(messages, options, cancel, **prepared)

    monkeypatch.setattr(parts.engine, "stream", refuse)
    broken = False
    markup = last_of(parts, session, "positions")
    assert "Not here." in markup and markup.count("<img") == 3
    broken = True
    markup = last_of(parts, session, "positions")
    assert "Something went wrong" in markup and "a bug" not in markup
    assert session.side_task is None


@pytest.mark.parametrize("ending", ["a new question", "another experiment", "the tab closes", "the page is left"])
def test_an_experiment_ends_when_something_newer_comes(
    parts: Parts, session: Session, files: Files, ending: str
) -> None:
    """A question with "long" in it is answered slowly by the fake engine."""
    ask(parts, session, "long?", files("cat.png"))
    parts.engine.long_step = 0.25  # type: ignore[attr-defined]
    found: list[str] = []
    shows = shown(parts, session, "budget")
    found.append(next(shows))
    cancel = session.side_task
    assert cancel is not None
    if ending == "the page is left":
        shows.close()
        assert cancel.is_set() and session.side_task is None
        return
    thread = threading.Thread(target=lambda: found.extend(shows))
    thread.start()
    time.sleep(0.1)
    if ending == "a new question":
        parts.controller.begin(session, Draft("And now?"))
    elif ending == "another experiment":
        second = shown(parts, session, "positions")
        next(second)
        assert session.side_task is not cancel
        second.close()
    else:
        parts.sessions.drop("tab")
    thread.join(10)
    assert not thread.is_alive() and (STOPPED if ending == "the tab closes" else DISPLACED) in found[-1]
    assert session.side_task is None


def test_other_positions_are_offered_where_the_model_can_be_given_them() -> None:
    assert list(names_of_columns(positions=False)) == [AS_ASKED, "16", "64", "256", "1024"]
    assert {"silenced", "1d"} < set(names_of_columns(positions=True))


def test_what_an_engine_cannot_do_is_one_sentence_that_says_what_to_do(
    parts: Parts, session: Session, files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server and other positions: the experiment says so, and in a comparison the column; the rest is answered.
    Without a model no chat has a question, and it is no help to ask one."""
    ask(parts, session, "What is here?", files("cat.png"))
    monkeypatch.setattr(parts.engine, "abilities", Abilities(positions=False))
    assert NO_POSITIONS.format("fake") in last_of(parts, session, "positions")
    last = compared(parts, session, AS_ASKED, "1d")[-1]
    assert [trial.problem for trial in last.trials] == ["", NO_POSITIONS.format("fake")]
    assert last.finished and last.trials[0].answer and not last.trials[1].answer
    monkeypatch.setattr(parts.engine, "abilities", Abilities(answers=False))
    for conversation in (session.conversation, Conversation()):
        session.conversation = conversation
        for kind in EACH:
            markup = last_of(parts, session, kind)
            assert "No model is loaded here, so no question can be asked again. Start the page with --model" in markup
            assert "<img" not in markup


def test_nothing_is_asked_of_another_model_while_the_own_one_is_loaded(parts: Parts, session: Session) -> None:
    session.loading = True
    assert LOADING in last_of(parts, session, "budget")


def compared(parts: Parts, session: Session, *chosen: str) -> list[ExperimentState]:
    return list(stepwise(parts.experiments.run(session, VALUES, "compare", chosen=chosen)))


def test_columns_of_a_comparison_are_asked_as_chosen(parts: Parts, session: Session, files: Files) -> None:
    """Keys that are none, or come twice, are left out. 320x240 px take 11x9 tokens, of which 16 allow 4x3."""
    ask(parts, session, "What is here?", files("cat.png"))
    asked = len(parts.engine.heard)  # type: ignore[attr-defined]
    last = compared(parts, session, AS_ASKED, "16", "16", "x", "1d")[-1]
    heard = parts.engine.heard[asked:]  # type: ignore[attr-defined]
    assert [(o.media.max_pixels, o.positions) for _, o in heard] == [
        *((None, "mrope"), (16 * 784, "mrope"), (None, "1d")),
    ]
    assert [trial.medium.merged_grid[1:] for trial in last.trials] == [(9, 11), (3, 4), (9, 11)]
    assert last.finished and all(trial.ended and trial.answer for trial in last.trials)
    for chosen in (("16",), ("x", "y"), ()):
        assert compared(parts, session, *chosen)[-1].note == TWO_COLUMNS


@pytest.mark.slow
def test_columns_are_written_together_where_the_engine_can(parts: Parts, session: Session, files: Files) -> None:
    """Neither of two slow answers waits for the other's end."""
    ask(parts, session, "long?", files("cat.png"))
    engine = parts.engine
    engine.queue, engine.long_step = RequestQueue(None), 0.15  # type: ignore[attr-defined]
    states = compared(parts, session, AS_ASKED, "16")
    assert any(
        len(state.trials) == 2 and all(trial.answer and not trial.ended for trial in state.trials) for state in states
    )


def test_words_that_differ_are_marked_where_they_stand(parts: Parts) -> None:
    """The pieces joined are the answer again."""
    for first, other, new in (
        ("The lock is at the top.", "The lock is in the middle.", ["in ", "middle."]),
        ("The lock is at the top.", "The lock is at the top.", []),
        ("One.", "", [""]),
        ("a " * 400, "b " * 400, ["b " * 400]),
    ):
        pieces = marked_differences(first, other)
        assert "".join(words for words, _ in pieces) == other
        assert [words for words, is_new in pieces if is_new] == new

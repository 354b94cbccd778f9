"""What is pressed under a message, without a page: editing, versions, retrying, going on."""

import json
from collections.abc import Callable, Generator
from typing import Any

import pytest

from qwen2vl_demo.ui.chat.page_update import PageUpdate
from qwen2vl_demo.ui.parts import Parts
from qwen2vl_demo.ui.sessions import Draft, Session
from tests.ui.conftest import VALUES, ask, respond

Files = Callable[[str], str]


@pytest.fixture
def session(parts: Parts) -> Session:
    return parts.sessions.open("tab", None)


def act(parts: Parts, session: Session, do: str, index: int = -1, standing: Draft | None = None) -> PageUpdate:
    """Presses a button under a turn that is shown."""
    action = {"do": do, "turn": session.conversation.turns[index].number}
    return parts.controller.act(session, action, standing or Draft())


def written(
    parts: Parts, session: Session, begun: PageUpdate, values: dict[str, object] = VALUES, standing: Draft | None = None
) -> list[PageUpdate]:
    """The rest of the three steps of the page."""

    def steps() -> Generator[PageUpdate, None, None]:
        yield begun
        yield from respond(parts, session, values)
        yield parts.controller.answers.finish(session, standing)

    return list(steps())


def row(session: Session, updates: list[PageUpdate]) -> dict[str, Any]:
    return json.loads(next(u.rows for u in reversed(updates) if u.rows is not None))[-1]


def said(session: Session) -> list[str]:
    return [turn.answer.text for turn in session.conversation.turns if turn.answer]


def test_an_edited_question_is_asked_without_what_came_behind_it(parts: Parts, session: Session, files: Files) -> None:
    for question in ("One", "Two", "Three"):
        ask(parts, session, question, *([files("cat.png")] if question == "Two" else []))
    standing = Draft("not sent", (files("dog.jpg"),))
    edit = act(parts, session, "edit", 1, standing)
    assert edit.editing == 2 and edit.draft and edit.draft.text == "Two" and len(edit.draft.files) == 1
    assert len(session.conversation.turns) == 3  # nothing has happened yet
    begun = parts.controller.begin(session, Draft("Zwei", edit.draft.files))
    assert begun.editing == 0 and begun.draft == standing
    assert [m["role"] for m in begun.messages or []] == ["user", "assistant", "user", "assistant"]  # the last: Opening
    written(parts, session, begun)
    assert [turn.question for turn in session.conversation.turns] == ["One", "Zwei"]
    assert said(session)[-1].startswith("In turn 2 I see 1 files and was asked: Zwei")
    assert session.conversation.turns[1].media[0].name == "cat.png"
    act(parts, session, "show", 0)  # itself: nothing to see
    parts.controller.act(session, {"do": "show", "turn": 2}, Draft())
    assert [turn.question for turn in session.conversation.turns] == ["One", "Two", "Three"]


def test_the_prompt_that_is_shown_while_editing_ends_with_the_edited_question(
    parts: Parts, session: Session, files: Files
) -> None:
    ask(parts, session, "One")
    ask(parts, session, "Two")
    act(parts, session, "edit", 0)
    state = parts.preview.refresh(session, Draft("Eins", (files("cat.png"),)), VALUES).panel
    assert state and state.draft and [turn.question for turn in state.conversation.turns] == ["Eins"]


def test_an_edited_question_that_fails_is_edited_further_and_the_draft_waits(
    parts: Parts, session: Session, files: Files
) -> None:
    ask(parts, session, "One")
    standing = Draft("not sent")
    act(parts, session, "edit", 0, standing)
    draft = Draft("Uno", (files("broken.png"),))
    begun = parts.controller.begin(session, draft)
    assert begun.draft == standing
    updates = written(parts, session, begun, standing=Draft("not sent, and more"))
    assert any(update.notice and "broken.png" in update.notice for update in updates)
    assert updates[-1].draft == draft and updates[-2].editing == 1
    assert said(session) == ["In turn 1 I see 0 files and was asked: One and so on and so on "]
    assert parts.controller.leave(session).draft == Draft("not sent, and more")


def test_what_comes_back_does_not_replace_what_was_typed_meanwhile(parts: Parts, session: Session) -> None:
    begun = parts.controller.begin(session, Draft("!refuse"))
    updates = written(parts, session, begun, standing=Draft("the next one"))
    assert updates[-1].draft == Draft("!refuse\n\nthe next one")


@pytest.mark.parametrize("leave", ["leave", "undo", "show", "clear", "retry"])
def test_whatever_ends_the_editing_gives_the_draft_back(parts: Parts, session: Session, leave: str) -> None:
    ask(parts, session, "One")
    standing = Draft("not sent")
    act(parts, session, "edit", 0, standing)
    act(parts, session, "edit", 0, Draft("One"))  # once more: what stood there first is kept
    if leave in ("undo", "clear"):
        update: PageUpdate = getattr(parts.controller, leave)(session)
    else:
        update = act(parts, session, leave)
    assert update.draft == standing and not update.editing and session.editing is None
    assert len(session.conversation.turns) == (0 if leave == "clear" else 1)


def test_undo_puts_the_question_before_the_draft(parts: Parts, session: Session, files: Files) -> None:
    ask(parts, session, "One", files("cat.png"))
    update = parts.controller.undo(session, Draft("Two", (files("dog.jpg"),)))
    assert update.draft and update.draft.text == "One\n\nTwo" and len(update.draft.files) == 2


def test_a_retry_is_a_version_and_the_first_answer_stays(parts: Parts, session: Session) -> None:
    first = ask(parts, session, "One")
    updates = written(parts, session, act(parts, session, "retry"))
    assert said(session)[0] != first and row(session, updates)["answers"] == [1, 2]
    shown = act(parts, session, "show", 0)
    assert shown.prompt_sent is True
    parts.controller.act(session, {"do": "show", "turn": 1}, Draft())
    assert said(session) == [first]


def test_a_retry_of_nothing_said_makes_no_version(parts: Parts, session: Session) -> None:
    ask(parts, session, "!silent")
    updates = written(parts, session, act(parts, session, "retry"))
    assert row(session, updates)["answers"] == [1] and session.conversation.aside == ()


def test_a_retry_that_fails_makes_no_version(parts: Parts, session: Session) -> None:
    ask(parts, session, "One")
    before = session.conversation
    written(parts, session, act(parts, session, "retry"), {"temperature": 99})
    assert session.conversation is before


def test_a_retry_after_a_setting_was_changed_is_asked_as_they_are(parts: Parts, session: Session) -> None:
    ask(parts, session, "One")
    heard = parts.engine.heard  # type: ignore[attr-defined]
    written(parts, session, act(parts, session, "retry"), {"max_tokens": 64})
    assert heard[-1][1].temperature == 0 and heard[-1][1].media.max_pixels == 64 * 28 * 28
    written(parts, session, act(parts, session, "retry"), {"max_tokens": 64})
    assert heard[-1][1].temperature == 0.8


def test_a_cut_answer_goes_on_and_counts_together(parts: Parts, session: Session) -> None:
    whole = ask(parts, session, "One")
    begun = parts.controller.begin(session, Draft("One"))
    updates = written(parts, session, begun, {"max_new_tokens": 4})
    assert row(session, updates)["continue"] and said(session)[-1] == "In turn 2 I "
    updates = written(parts, session, act(parts, session, "continue"))
    assert said(session)[-1] == whole.replace("turn 1", "turn 2")
    answer = session.conversation.turns[-1].answer
    assert answer and answer.ending == "end" and answer.numbers
    assert answer.numbers.new_tokens == len(whole.split())
    assert not row(session, updates)["continue"] and len(session.conversation.turns) == 2
    messages = parts.engine.heard[-1][0]  # type: ignore[attr-defined]
    assert (messages[-1].role, messages[-1].text) == ("assistant", "In turn 2 I ")
    shown = [u.messages[-1]["content"][0]["text"] for u in updates if u.messages and "metadata" not in u.messages[-1]]
    assert all(text.startswith("In turn 2 I") for text in shown)  # it never disappears


def test_a_failure_while_going_on_keeps_what_was_written(
    parts: Parts, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = parts.controller.begin(session, Draft("One"))
    written(parts, session, begun, {"max_new_tokens": 4})

    def broken(*arguments: object, **named: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(parts.engine, "stream", broken)
    updates = written(parts, session, act(parts, session, "continue"))
    assert any(update.notice for update in updates) and said(session) == ["In turn 1 I "]
    assert row(session, updates)["continue"]


def test_an_engine_that_cannot_go_on_does_not_offer_it(
    parts: Parts, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    from qwen2vl_demo.engine.protocol import Abilities

    monkeypatch.setattr(parts.engine, "abilities", Abilities(resumes=False))
    updates = written(parts, session, parts.controller.begin(session, Draft("One")), {"max_new_tokens": 4})
    assert row(session, updates)["note"] == "Cut off at the length limit." and not row(session, updates)["continue"]
    assert act(parts, session, "continue").notice


def test_a_loop_is_stopped_and_said_unless_the_setting_is_off(
    parts: Parts, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qwen2vl_demo.ui.chat.answers.MAX_TEXT", 5000)  # that a chat may hold
    updates = written(parts, session, parts.controller.begin(session, Draft("!loop the cat and")))
    answer = session.conversation.turns[-1].answer
    assert answer and answer.ending == "repeating"
    assert row(session, updates)["note"] == "It was repeating itself and was stopped."
    begun = parts.controller.begin(session, Draft("!loop the cat and"))
    written(parts, session, begun, {"stop_repetition": False})
    answer = session.conversation.turns[-1].answer
    assert answer and answer.ending == "length" and len(answer.text) == 5000


@pytest.mark.parametrize(
    "action",
    [
        None,
        [],
        "edit",
        {},
        {"do": "edit"},
        {"do": ["edit"], "turn": 1},
        {"do": "begin", "turn": 1},
        {"do": "edit", "turn": "1"},
        {"do": "edit", "turn": True},
        {"do": "show", "turn": 2**70},
        {"do": "edit", "turn": -1},
        {"do": "retry", "turn": 7},
        {"do": "continue", "turn": 1},  # it was not cut off
    ],
)
def test_a_forged_action_is_a_sentence_and_changes_nothing(parts: Parts, session: Session, action: object) -> None:
    ask(parts, session, "One")
    before = session.conversation
    update = parts.controller.act(session, action, Draft("stays"))
    assert update.notice and update.messages is None and update.draft is None
    assert session.conversation is before and session.run is None and session.editing is None


def test_nothing_is_done_under_a_message_while_an_answer_is_written(parts: Parts, session: Session) -> None:
    ask(parts, session, "One")
    parts.controller.begin(session, Draft("Two"))
    for do in ("retry", "continue", "edit", "show"):
        assert "still being written" in (act(parts, session, do).notice or "")

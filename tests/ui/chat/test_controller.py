"""What the page does, without a page: every handler against the fake engine."""

import asyncio
import itertools
import json
import logging
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import PIL.Image
import pytest

from qwen2vl_demo.engine.protocol import Chunk
from qwen2vl_demo.processing.messages import Image, Message, Text, Video
from qwen2vl_demo.processing.processor import Prompt
from qwen2vl_demo.ui.chat.answers import PAINT_INTERVAL
from qwen2vl_demo.ui.chat.export import export_json
from qwen2vl_demo.ui.chat.message_rows import checksum
from qwen2vl_demo.ui.chat.page_update import PageUpdate
from qwen2vl_demo.ui.chat.streaming import StreamReader
from qwen2vl_demo.ui.media_store import MediaStore
from qwen2vl_demo.ui.panel.attention import NEUTRAL, NO_WORDS
from qwen2vl_demo.ui.panel.preview import PreviewUpdate
from qwen2vl_demo.ui.parts import Parts
from qwen2vl_demo.ui.sessions import Draft, Session
from qwen2vl_demo.ui.worker_threads import MAX_THREADS
from tests import asynchronous
from tests.fake_engine import FakeEngine
from tests.ui.conftest import VALUES, respond

Files = Callable[[str], str]


def send(
    parts: Parts, session: Session, draft: Draft, values: Mapping[str, object] = VALUES
) -> Generator[PageUpdate, None, None]:
    """The three steps of the page."""
    yield parts.controller.begin(session, draft)
    yield from respond(parts, session, values)
    yield parts.controller.answers.finish(session)


def retry(parts: Parts, session: Session, values: Mapping[str, object] = VALUES) -> Generator[PageUpdate, None, None]:
    yield act(parts, session, "retry")
    yield from respond(parts, session, values)
    yield parts.controller.answers.finish(session)


def act(parts: Parts, session: Session, do: str) -> PageUpdate:
    """Presses a button under the last answer."""
    last = session.conversation.last.number if session.conversation.last else 0
    return parts.controller.act(session, {"do": do, "turn": last}, Draft())


def ask(parts: Parts, session: Session, text: str, *files: str) -> list[PageUpdate]:
    return list(send(parts, session, Draft(text, files)))


def words(view: PageUpdate) -> list[str]:
    """The texts of a view's messages."""
    return [
        m["content"] if isinstance(m["content"], str) else " ".join(p.get("text", "[file]") for p in m["content"])
        for m in view.messages or []
    ]


def row(view: PageUpdate) -> dict[str, Any]:
    """What stands under the last answer."""
    return json.loads(view.rows or "[{}]")[-1]


def final(views: list[PageUpdate]) -> PageUpdate:
    """The page in the end: the last value of each part that changed."""
    changes = {name: value for view in views for name, value in vars(view).items() if value is not None}
    return PageUpdate(**changes)


@pytest.fixture
def session(parts: Parts) -> Session:
    return parts.sessions.open("tab", None)


def test_a_turn_with_two_pictures(parts: Parts, session: Session, files: Files) -> None:
    views = ask(parts, session, "Compare them", files("cat.png"), files("dog.jpg"))
    assert views[0].busy and views[0].draft == Draft()
    assert words(views[0])[0] == "*2 files*\n\nCompare them"
    assert words(final(views)) == [
        "[file] [file] Compare them",
        "In turn 1 I see 2 files and was asked: Compare them and so on and so on",
    ]
    assert final(views).busy is False
    assert "new tokens" in row(final(views))["statistics"]
    heard = parts.engine.heard[-1][0]  # type: ignore[attr-defined]
    assert [type(p) for p in heard[-1].parts] == [Image, Image, Text]
    assert [p.name for p in heard[-1].parts[:2]] == ["cat.png", "dog.jpg"]


def test_the_first_view_comes_before_anything_is_opened(parts: Parts, session: Session, files: Files) -> None:
    stream = send(parts, session, Draft("?", (files("clip.mp4"),)))
    next(stream)
    assert session.conversation.turns == () and not list(parts.store.folder.iterdir())
    stream.close()


def test_statuses_are_shown_where_the_answer_will_stand(session: Session, store: MediaStore, files: Files) -> None:
    parts = Parts.build(FakeEngine(step=0.0, encode=0.2), store)
    views = ask(parts, session, "?", files("cat.png"))
    titles = [m["metadata"]["title"] for v in views for m in v.messages or [] if "metadata" in m]
    assert titles == ["Opening 1 file", "Thinking", "Encoding 1 picture"]
    assert all("metadata" not in m for m in final(views).messages or [])


def test_follow_up_remembers(parts: Parts, session: Session, files: Files) -> None:
    ask(parts, session, "One", files("cat.png"))
    ask(parts, session, "Two")
    assert [m.role for m in parts.engine.heard[-1][0]] == ["user", "assistant", "user"]  # type: ignore[attr-defined]


def test_files_without_words_get_a_question_and_the_page_says_so(parts: Parts, session: Session, files: Files) -> None:
    views = ask(parts, session, "  ", files("clip.mp4"))
    assert words(final(views))[0] == "[file] Describe this video.\n\n*Nothing was typed, so this is asked.*"
    assert isinstance(parts.engine.heard[-1][0][-1].parts[0], Video)  # type: ignore[attr-defined]


def test_a_pdf_becomes_its_pages(parts: Parts, session: Session, files: Files) -> None:
    ask(parts, session, "Read it", files("pages.pdf"))
    assert [m.name for m in session.conversation.turns[0].media] == ["pages.pdf, page 1", "pages.pdf, page 2"]


def test_nothing_to_send_is_said(parts: Parts, session: Session) -> None:
    last = final(ask(parts, session, " \n "))
    assert last.notice and last.draft is None and last.messages is None


@pytest.mark.parametrize("question", ["what?", ""])
def test_a_broken_file_bounces_back(parts: Parts, session: Session, files: Files, question: str) -> None:
    ask(parts, session, "One", files("cat.png"))
    before = session.conversation
    draft = Draft(question, (files("dog.jpg"), files("broken.png")))
    last = final(list(send(parts, session, draft)))
    assert last.notice and "broken.png" in last.notice
    assert last.draft == draft and last.busy is False
    assert session.conversation == before and len(words(last)) == 2
    ask(parts, session, "Two")
    assert len(session.conversation.turns) == 2


def test_a_file_that_vanished_is_a_sentence(parts: Parts, session: Session, tmp_path: Path) -> None:
    last = final(ask(parts, session, "?", str(tmp_path / "gone.png")))
    assert last.notice and "gone.png" in last.notice


def test_a_wrong_setting_bounces_back(parts: Parts, session: Session) -> None:
    last = final(list(send(parts, session, Draft("hi"), {"temperature": 99})))
    assert last.notice and "temperature" in last.notice and last.draft == Draft("hi")


def test_an_engine_that_refuses_bounces_back(parts: Parts, session: Session) -> None:
    last = final(ask(parts, session, "!refuse"))
    assert last.notice == "The fake engine refuses this; ask something else." and last.draft == Draft("!refuse")
    assert session.conversation.turns == ()


def test_a_bug_in_the_engine_keeps_the_chat_and_the_log_keeps_quiet(
    parts: Parts, session: Session, caplog: pytest.LogCaptureFixture
) -> None:
    ask(parts, session, "One")
    with caplog.at_level(logging.DEBUG):
        last = final(ask(parts, session, "!break my secret"))
    assert last.notice == "Something went wrong inside fake. The chat is kept; try again."
    assert last.draft == Draft("!break my secret") and len(session.conversation.turns) == 1
    assert "RuntimeError" in caplog.text and "secret" not in caplog.text
    assert words(final(ask(parts, session, "Two")))[-1].startswith("In turn 2")


def test_a_bug_half_way_keeps_the_words_that_came(parts: Parts, session: Session) -> None:
    last = final(ask(parts, session, "!late-break"))
    assert words(last)[-1] == "In turn 1" and last.notice and last.draft == Draft()
    assert session.conversation.turns[0].answer and session.conversation.turns[0].answer.ending == "error"


def test_a_question_that_never_got_its_turn_comes_back(parts: Parts, session: Session) -> None:
    """Gradio's queue was full: the first step ran, the second did not, the third does."""
    parts.controller.begin(session, Draft("One"))
    view = parts.controller.answers.finish(session)
    assert view.draft == Draft("One") and view.busy is False and view.notice and view.messages == []
    assert words(final(ask(parts, session, "Two")))[-1].startswith("In turn 1")


def stopped(parts: Parts, session: Session, text: str, when: Callable[[], bool]) -> tuple[list[PageUpdate], PageUpdate]:
    """Sends, waits for a condition, stops; all views of both."""
    views: list[PageUpdate] = []
    thread = threading.Thread(target=lambda: views.extend(send(parts, session, Draft(text))))
    thread.start()
    until = time.monotonic() + 20
    while not when() and time.monotonic() < until:
        time.sleep(0.01)
    stop = parts.controller.stop(session)
    thread.join(20)
    assert not thread.is_alive()
    return views, stop


def test_stop_half_way_keeps_the_words(store: MediaStore) -> None:
    parts = Parts.build(FakeEngine(step=0.0, long_step=0.1), store)
    session = parts.sessions.open("tab", None)
    views, _ = stopped(parts, session, "a long tale", lambda: session.run is not None and len(session.run.text) > 10)
    answer = session.conversation.turns[0].answer
    assert answer and answer.ending == "cancelled" and answer.text.startswith("In turn 1")
    assert final(views).busy is False
    last = final(ask(parts, session, "next"))
    assert words(last)[-1].startswith("In turn 2")


def test_stop_in_a_long_step_does_not_keep_the_visitor_waiting(store: MediaStore) -> None:
    """The engine cannot be interrupted; the page is free at once, and runs never overlap."""
    engine = FakeEngine(step=0.01)
    parts = Parts.build(engine, store)
    session = parts.sessions.open("tab", None)
    thread = threading.Thread(target=lambda: list(send(parts, session, Draft("!slow-start"))))
    thread.start()
    until = time.monotonic() + 20
    while not engine.active and time.monotonic() < until:
        time.sleep(0.01)
    stop = parts.controller.stop(session)
    assert stop.busy is False and words(stop)[-1].startswith("*Stopped before the first word")
    assert engine.active == 1
    threading.Timer(0.3, engine.release.set).start()
    last = final(ask(parts, session, "next"))
    assert words(last)[-1].startswith("In turn 1")  # the stopped question was not told
    assert engine.most_active == 1
    thread.join(20)
    assert not thread.is_alive()


def test_the_numbers_of_a_stopped_answer_follow_when_the_engine_has_ended(
    store: MediaStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where Stop had not waited for the engine there never were any, so on a busy machine the line stayed empty."""
    monkeypatch.setattr("qwen2vl_demo.ui.chat.controller.STOP_WAIT", 0.0)
    parts = Parts.build(FakeEngine(step=0.0, long_step=0.4), store)
    session = parts.sessions.open("tab", None)
    views, stop = stopped(parts, session, "a long tale", lambda: session.run is not None and bool(session.run.text))
    assert stop.busy is False and row(stop)["statistics"] == ""
    assert row(final(views))["statistics"] and row(final(views))["note"] == "Stopped by you."
    assert words(final(views)) == words(stop) and final(views).busy is False
    answer = session.conversation.turns[0].answer
    assert answer and answer.numbers and answer.ending == "cancelled"


@pytest.mark.parametrize("by", ["stop", "undo", "clear"])
def test_what_took_the_chat_from_an_answer_is_shown_last(
    store: MediaStore, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    """An update that was on its way when a button was pressed may reach the page after what the button did: Thinking
    stayed there, or the chat that had just been cleared, which the browser then kept."""
    monkeypatch.setattr("qwen2vl_demo.ui.chat.controller.STOP_WAIT", 0.0)
    parts = Parts.build(FakeEngine(step=0.05), store)
    session = parts.sessions.open("tab", None)
    stream = send(parts, session, Draft("One"))
    on_its_way = [next(stream), next(stream)][-1]
    assert "Thinking" in str(on_its_way.messages) and on_its_way.saved
    taken: PageUpdate = getattr(parts.controller, by)(session)
    after = list(stream)
    last = final(after)
    assert words(last) == words(taken) and last.messages is not None
    assert bool(last.saved) == bool(taken.saved) and last.saved is not None
    assert after[-1].draft is None  # nor does it touch what came back into the composer


def test_the_end_of_a_stopped_question_leaves_the_next_one_alone(parts: Parts, session: Session) -> None:
    """Sent right after Stop, while the stopped answer has not yet ended on the server: its last step comes second."""
    first = send(parts, session, Draft("One"))
    next(first)
    next(first)
    parts.controller.stop(session)
    parts.controller.begin(session, Draft("Two"))
    end = final(list(first))
    assert end.draft is None and end.messages is None and not end.notice and end.busy is True
    list(respond(parts, session))
    last = parts.controller.answers.finish(session)
    assert last.busy is False and not last.notice
    assert [turn.question for turn in session.conversation.turns] == ["One", "Two"]
    assert session.conversation.turns[1].answer and session.conversation.turns[1].answer.ending == "end"


def test_a_page_that_shows_an_older_chat_gets_the_chat_when_an_answer_ends(parts: Parts, session: Session) -> None:
    """Replies can overtake one another on their way to the browser."""
    finish = parts.controller.answers.finish
    first = final(ask(parts, session, "Hello"))
    assert first.rows is not None
    assert finish(session, shown=checksum(first.rows)).messages is None
    begun = parts.controller.begin(session, Draft("Next"))
    assert begun.rows is not None
    answering = respond(parts, session)
    next(answering)
    during = finish(session, shown=checksum(begun.rows))
    assert (during.messages, during.busy) == (None, True)  # what the page has is about to change
    asked = list(answering)[-1]
    update = finish(session, Draft("typed"), checksum(begun.rows))
    assert (update.messages, update.rows, update.busy) == (asked.messages, asked.rows, False)
    assert update.draft is None  # what was typed meanwhile stays


def test_sending_while_an_answer_is_written_is_refused_kindly(parts: Parts, session: Session) -> None:
    first = send(parts, session, Draft("One"))
    next(first)
    next(first)
    last = final(ask(parts, session, "Two"))
    assert last.notice and last.draft is None and last.busy is True and last.messages is None
    first.close()
    assert session.run is None


def test_a_closed_tab_ends_its_answer_and_frees_the_session(store: MediaStore) -> None:
    engine = FakeEngine(step=0.0, long_step=0.1)
    parts = Parts.build(engine, store)
    stream = send(parts, parts.sessions.open("tab", None), Draft("a long tale"))
    for view in stream:
        if "In turn" in "".join(words(view)):
            break
    parts.sessions.drop("tab")
    stream.close()
    until = time.monotonic() + 10
    while engine.active and time.monotonic() < until:
        time.sleep(0.01)
    assert engine.active == 0 and len(parts.sessions) == 0


def test_retry_warms_up_and_keeps_one_turn(parts: Parts, session: Session, files: Files) -> None:
    ask(parts, session, "One", files("cat.png"))
    last = final(list(retry(parts, session)))
    assert "at temperature 0.8 with seed" in words(last)[-1]
    assert "temperature 0.8, seed" in row(last)["statistics"]
    assert len(session.conversation.turns) == 1 and len(session.conversation.turns[0].media) == 1


def test_retry_of_an_unanswered_turn_asks_as_it_was(parts: Parts, session: Session) -> None:
    ask(parts, session, "!silent")
    last = final(list(retry(parts, session)))
    assert "temperature" not in row(last)["statistics"]


def test_a_retry_that_fails_keeps_the_old_answer(parts: Parts, session: Session) -> None:
    ask(parts, session, "One")
    before = session.conversation
    last = final(list(retry(parts, session, {"temperature": 99})))
    assert session.conversation == before and last.notice and last.draft is None


def test_retry_and_undo_of_nothing_are_said(parts: Parts, session: Session) -> None:
    assert final(list(retry(parts, session))).notice == "This message is no longer shown; nothing was changed."
    assert parts.controller.undo(session).notice == "There is nothing to take back yet."


def test_undo_puts_words_and_files_back_under_their_names(parts: Parts, session: Session, files: Files) -> None:
    ask(parts, session, "One", files("cat.png"))
    view = parts.controller.undo(session)
    assert view.draft and view.draft.text == "One" and view.messages == []
    ask(parts, session, *(view.draft.text, *view.draft.files))
    assert session.conversation.turns[0].media[0].name == "cat.png"


def test_clear_empties_and_begins_another_chat(parts: Parts, session: Session) -> None:
    ask(parts, session, "One")
    before = session.conversation.cache_salt
    view = parts.controller.clear(session)
    assert view.messages == [] and view.rows == "[]" and session.conversation.turns == ()
    chat, about = (view.saved or "").split("\n")
    assert chat == "" and json.loads(about)["id"] == session.conversation.cache_salt != before


def test_a_kept_chat_takes_the_place_of_another(parts: Parts, session: Session, files: Files) -> None:
    first = final(ask(parts, session, "One", files("cat.png"))).saved
    parts.controller.clear(session)
    ask(parts, session, "Another")
    view = parts.controller.open_chat(session, first or "")
    assert words(view)[0] == "[file] One" and view.busy is False and view.saved == first
    assert words(final(ask(parts, session, "Two")))[-1].startswith("In turn 2")


def test_a_kept_chat_ends_the_answer_of_the_one_before(parts: Parts, session: Session) -> None:
    kept = final(ask(parts, session, "One")).saved
    parts.controller.clear(session)
    stream = send(parts, session, Draft("Two"))
    next(stream)
    next(stream)
    view = parts.controller.open_chat(session, kept or "")
    last = final(list(stream))
    assert words(view)[0] == "One" and view.busy is False and session.run is None
    assert last.messages is None or words(last) == words(view)


def test_what_is_no_kept_chat_leaves_the_chat_as_it_is(parts: Parts, session: Session) -> None:
    ask(parts, session, "One")
    view = parts.controller.open_chat(session, "nonsense")
    assert view.notice and view.messages is None and len(session.conversation.turns) == 1


def test_a_chat_that_is_shown_already_goes_on(parts: Parts, session: Session) -> None:
    """The browser brought files back while an answer is written."""
    stream = send(parts, session, Draft("One"))
    kept = [next(stream), next(stream)][-1].saved
    assert parts.controller.open_chat(session, kept or "") == PageUpdate()
    assert words(final(list(stream)))[-1].startswith("In turn 1")


def restored(parts: Parts, key: str, saved: str | None) -> tuple[PageUpdate, PreviewUpdate]:
    session = parts.sessions.open(key, saved)
    return parts.controller.restore(session), parts.preview.refresh(session, Draft(), VALUES)


def test_a_chat_survives_its_session_and_the_app(
    parts: Parts, session: Session, files: Files, store: MediaStore
) -> None:
    saved = final(ask(parts, session, "One", files("cat.png"))).saved
    parts.sessions.drop("tab")
    again = Parts.build(FakeEngine(step=0.0), MediaStore(store.folder))
    view, look = restored(again, "tab after the restart", saved)
    assert words(view)[0] == "[file] One"
    assert look.panel and look.panel.trace and len(look.panel.trace.media) == 1
    assert words(final(ask(again, again.sessions.open("tab after the restart", None), "Two")))[-1].startswith(
        "In turn 2"
    )


def test_a_session_that_was_lost_under_an_open_page_goes_on(parts: Parts, session: Session) -> None:
    """A laptop sleeps, Gradio says the tab closed; the page still stands and sends what its browser kept."""
    saved = final(ask(parts, session, "One")).saved
    parts.sessions.drop("tab")
    ask(parts, parts.sessions.open("tab", saved), "Two")
    assert [t.question for t in parts.sessions.open("tab", None).conversation.turns] == ["One", "Two"]


def test_calls_without_a_tab_are_strangers_too(parts: Parts) -> None:
    ask(parts, parts.sessions.open(None, None), "One")
    assert parts.sessions.open(None, None).conversation.turns == () and len(parts.sessions) == 0


def test_there_is_an_end_to_the_sessions_held(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qwen2vl_demo.ui.sessions.MAX_SESSIONS", 3)
    saved = final(ask(parts, parts.sessions.open("0", None), "One")).saved
    for key in ("1", "2", "3"):
        parts.sessions.open(key, None)
    assert len(parts.sessions) == 3
    assert parts.sessions.open("0", saved).conversation.turns[0].question == "One"


def test_two_tabs_are_strangers(parts: Parts) -> None:
    ask(parts, parts.sessions.open("a", None), "One")
    assert parts.sessions.open("b", None).conversation.turns == ()


@pytest.mark.parametrize("saved", ["nonsense", "{}", '{"format": "qwen2vl-demo chat", "version": 1, "turns": 5}'])
def test_what_a_browser_kept_wrongly_is_an_empty_chat(parts: Parts, saved: str) -> None:
    assert restored(parts, "tab", saved)[0].messages == []


def test_a_medium_that_was_swept_is_a_sentence(parts: Parts, session: Session, files: Files) -> None:
    saved = final(ask(parts, session, "One", files("cat.png"))).saved
    for path in parts.store.folder.iterdir():
        path.unlink()
    views = restored(parts, "other", saved)
    assert "no longer kept" in words(views[0])[0]
    assert words(final(ask(parts, parts.sessions.open("other", None), "Two")))[-1].startswith("In turn 2")


def test_a_page_closed_mid_answer_comes_back_as_stopped(store: MediaStore) -> None:
    parts = Parts.build(FakeEngine(step=0.01, encode=0), store)
    stream = send(parts, parts.sessions.open("tab", None), Draft("hello"))
    saved = next(v.saved for v in stream if v.saved)
    stream.close()
    assert words(restored(parts, "other", saved)[0])[1].startswith("*Stopped before the first word")


def test_an_imported_chat_takes_the_place_of_this_one(parts: Parts, session: Session, files: Files) -> None:
    ask(parts, session, "One", files("cat.png"))
    text = export_json(session.conversation, parts.store, "fake")
    other = parts.sessions.open("other", None)
    view = parts.controller.import_chat(other, text)
    assert other.conversation == session.conversation and words(view)[0] == "[file] One"


def test_an_imported_chat_offers_no_words_until_its_own_prompt_is_shown(
    parts: Parts, session: Session, files: Files
) -> None:
    """The prompt of the chat before stayed in the session: a word of the new answer was paired with the old prompt."""
    ask(parts, session, "What is in the old picture?", files("cat.png"))
    parts.preview.refresh(session, Draft(), VALUES)
    assert parts.attention.words(session)["words"]
    other = parts.sessions.open("other", None)
    ask(parts, other, "Only words")
    parts.controller.import_chat(session, export_json(other.conversation, parts.store, "fake"))
    assert session.shown is None and parts.attention.words(session) == NO_WORDS
    parts.preview.refresh(session, Draft(), VALUES)
    assert session.shown is not None and session.shown.trace.media == ()
    assert parts.attention.words(session)["words"]


def test_a_wrong_import_changes_nothing(parts: Parts, session: Session) -> None:
    ask(parts, session, "One")
    before = session.conversation
    view = parts.controller.import_chat(session, b"not a chat")
    assert view.notice and view.messages is None and session.conversation == before


def test_the_cost_of_attached_files_is_said_before_sending(parts: Parts, session: Session, files: Files) -> None:
    """320x240 becomes 308x252 px = 11x9 = 99 tokens; with markers and words the prompt is longer."""
    sentence = parts.preview.refresh(session, Draft("", (files("cat.png"),)), VALUES).cost
    assert sentence and sentence.startswith("1 picture: 99 tokens. The prompt will have 1")
    assert "broken.png" in (parts.preview.refresh(session, Draft("", (files("broken.png"),)), VALUES).cost or "")
    assert parts.preview.refresh(session, Draft("hi"), VALUES).cost == ""
    assert session.conversation.turns == ()


def test_one_turn_is_prepared_once(
    parts: Parts, session: Session, files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The draft's preview, then the question: its stream, the panel and a word's attention share one prompt."""
    prepared: list[str] = []
    prompt, stream = parts.engine.prompt, parts.engine.stream

    def counted(messages: Sequence[Message], *arguments: object) -> Prompt:
        prepared.append(messages[-1].text)
        return prompt(messages, *arguments)  # type: ignore[arg-type]

    def given(*arguments: object, **named: object) -> Iterator[Chunk]:
        assert named["prompt"] is not None
        return stream(*arguments, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(parts.engine, "prompt", counted)
    monkeypatch.setattr(parts.engine, "stream", given)
    parts.preview.refresh(session, Draft("", (files("cat.png"),)), VALUES)
    assert prepared == ["Describe this picture."]
    ask(parts, session, "What is it?", files("cat.png"))
    for _ in range(3):
        parts.preview.refresh(session, Draft(), VALUES)
    request = {"answer": parts.attention.words(session)["answer"], "word": 0, "choice": "all"}
    found = asynchronous.run(parts.attention.map_word(session, request))
    assert found is not None and found["map"]
    assert prepared == ["Describe this picture.", "What is it?", NEUTRAL]


def test_visitors_are_answered_in_the_order_they_came_and_see_their_place(store: MediaStore) -> None:
    """Six at once, started a moment apart: they end in that order, the last one reads "5 before you" at first, and the
    time to its first token includes the wait."""
    parts = Parts.build(FakeEngine(step=0.01, encode=0.0), store)
    ended: list[int] = []
    titles: dict[int, list[str]] = {}
    first_token: dict[int, float] = {}

    async def visit(number: int) -> None:
        await asyncio.sleep(0.05 * number)
        session = parts.sessions.open(f"tab {number}", None)
        parts.controller.begin(session, Draft("long?"))  # 5 steps a token
        updates = [update async for update in parts.controller.answers.respond(session, {"max_new_tokens": 12})]
        titles[number] = [m["metadata"]["title"] for u in updates for m in u.messages or [] if "metadata" in m]
        answer = session.conversation.turns[0].answer
        assert answer and answer.numbers and answer.numbers.first_token
        first_token[number] = answer.numbers.first_token
        ended.append(number)

    async def visits() -> None:
        await asyncio.gather(*(visit(number) for number in range(6)))

    asynchronous.run(visits())
    assert ended == list(range(6))
    assert [title for title in titles[0] if "before you" in title] == []
    assert [title for title in titles[5] if "before you" in title] == [f"{n} before you" for n in (5, 4, 3, 2, 1)]
    before = 5 * 12 * 5 * 0.01 - 5 * 0.05  # seconds: five answers of 12 tokens, less the later start
    assert first_token[0] < before < first_token[5]


def test_waiting_for_a_place_takes_no_thread(store: MediaStore) -> None:
    """Sixty visitors wait behind one whose answer cannot be interrupted: the pool of 32 threads that prepared their
    questions is idle, no other thread was started, and Stop works."""
    engine = FakeEngine(step=0.0, encode=0.0)
    parts = Parts.build(engine, store)

    async def visit(key: str, question: str) -> list[PageUpdate]:
        session = parts.sessions.open(key, None)
        parts.controller.begin(session, Draft(question))
        return [update async for update in parts.controller.answers.respond(session, VALUES)]

    async def visits() -> None:
        first = asyncio.create_task(visit("first", "!slow-start"))
        while not engine.active:
            await asyncio.sleep(0.01)
        before = threading.active_count()
        waiting = [asyncio.create_task(visit(f"tab {n}", "hello")) for n in range(60)]
        sessions = [parts.sessions.open(f"tab {n}", None) for n in range(60)]
        while not all(session.run and session.run.committed for session in sessions):
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.3)
        assert threading.active_count() - before <= MAX_THREADS and not any(task.done() for task in waiting)
        # The others are answered.
        await asyncio.gather(*(asyncio.to_thread(parts.controller.stop, session) for session in sessions[5:]))
        await asyncio.wait_for(asyncio.gather(*waiting[5:]), 30)
        assert not any(task.done() for task in waiting[:5])
        engine.release.set()
        await asyncio.gather(first, *waiting)

    asynchronous.run(visits())
    assert engine.most_active == 1


def test_boxes_are_drawn_and_the_raw_answer_is_kept(parts: Parts, session: Session, files: Files) -> None:
    last = final(ask(parts, session, "!boxes", files("cat.png")))
    assert words(last)[-1] == "[file] There is the red square and a dot."
    answer = session.conversation.turns[0].answer
    assert answer and "<|box_start|>" in answer.text


def test_half_a_box_is_never_shown(store: MediaStore, files: Files) -> None:
    parts = Parts.build(FakeEngine(step=0.03, encode=0), store)
    views = ask(parts, parts.sessions.open("tab", None), "!boxes", files("cat.png"))
    assert not [text for v in views for text in words(v) if "<|" in text or "&lt;|" in text]


def test_a_reader_gives_all_that_came_before_it_raises() -> None:
    def stream() -> Iterator[Chunk]:
        yield Chunk(text="a")
        yield Chunk(text="b")
        raise RuntimeError("end")

    async def read() -> None:
        reader = StreamReader(stream())
        await asyncio.sleep(0.1)
        assert [c.text for c in await reader.take(1.0, gather=0.05)] == ["a", "b"]
        with pytest.raises(RuntimeError):
            await reader.take(1.0)
        assert reader.ended

    asynchronous.run(read())


def test_a_reader_returns_without_news() -> None:
    release = threading.Event()

    def stream() -> Iterator[Chunk]:
        release.wait(10)
        yield Chunk(text="late")

    async def read() -> None:
        reader = StreamReader(stream())
        assert await reader.take(0.05) == [] and not reader.ended
        release.set()
        assert [c.text for c in await reader.take(5.0)] == ["late"]

    asynchronous.run(read())


@pytest.mark.parametrize("interval", [0.0, 0.004])
def test_the_page_is_updated_at_the_same_pace_however_fast_words_come(
    parts: Parts, session: Session, monkeypatch: pytest.MonkeyPatch, interval: float
) -> None:
    """150 words at once, or one every 4 ms: each update carries the whole chat, so there is one every 60 ms at most."""
    stream = parts.engine.stream

    def fast(*arguments: object, **named: object) -> Iterator[Chunk]:
        *_, last = stream(*arguments, **named)  # type: ignore[arg-type]
        for index in range(150):
            time.sleep(interval)
            yield Chunk(text=f"w{index} ")
        yield last

    monkeypatch.setattr(parts.engine, "stream", fast)
    began, moments = time.monotonic(), []
    for view in send(parts, session, Draft("Count", ())):
        if any("w0 " in text for text in words(view)):
            moments.append(time.monotonic())
    assert len(moments) <= (time.monotonic() - began) / PAINT_INTERVAL + 1
    assert all(later - earlier > 0.03 for earlier, later in itertools.pairwise(moments))
    if interval:
        assert len(moments) >= 3  # and it does move


def test_of_a_long_pdf_the_first_pages_are_read_and_it_is_said(parts: Parts, session: Session, files: Files) -> None:
    """A PDF of more than 12 pages was refused."""
    path = files("pages.pdf")
    pages = [PIL.Image.new("RGB", (200, 280), (6 * i, 90, 90)) for i in range(40)]
    pages[0].save(path, save_all=True, append_images=pages[1:])
    said = "pages.pdf has 40 pages, of which the first 12 are read. Choose others in the settings, under Pages."
    cost = parts.preview.refresh(session, Draft("?", (path,)), VALUES).cost
    assert cost is not None and cost.startswith("12 pictures") and cost.endswith(said)
    parts.controller.begin(session, Draft("?", (path,)))
    updates = list(respond(parts, session))
    assert [update.notice for update in updates if update.notice] == [said] and updates[-1].notice is None
    assert [m.name for m in session.conversation.turns[-1].media][::11] == [
        "pages.pdf, page 1 of 40",
        "pages.pdf, page 12 of 40",
    ]
    chosen = {"pages": "39-, 2"}
    cost = parts.preview.refresh(session, Draft("?", (path,)), chosen).cost
    assert cost is not None and cost.startswith("3 pictures") and "first" not in cost
    parts.controller.answers.finish(session)
    parts.controller.begin(session, Draft("?", (path,)))
    updates = list(respond(parts, session, chosen))
    assert not any(update.notice for update in updates)
    assert [m.name for m in session.conversation.turns[-1].media] == [
        f"pages.pdf, page {number} of 40" for number in (39, 40, 2)
    ]
    for wrong, words in (("41-", "choose from 1 to 40"), ("1-13", "more than 12 pages"), ("all", "such as 1-3")):
        assert words in (parts.preview.refresh(session, Draft("?", (path,)), {"pages": wrong}).cost or "")


def test_an_answer_that_never_ends_is_cut_and_stopped(
    parts: Parts, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the length that a saved chat may have, so that it can be opened again."""
    monkeypatch.setattr("qwen2vl_demo.ui.chat.answers.MAX_TEXT", 200)
    ask(parts, session, "A long story")
    last = session.conversation.last
    assert last is not None and last.answer is not None
    assert (len(last.answer.text), last.answer.ending) == (200, "length")

"""What the page does, without a page: every handler against the fake engine."""

import itertools
import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from qwen2vl_demo.engine.protocol import Chunk
from qwen2vl_demo.processing.messages import Image, Text, Video
from qwen2vl_demo.ui.chat.answers import COALESCE
from qwen2vl_demo.ui.chat.controller import Chat
from qwen2vl_demo.ui.chat.export import export_json
from qwen2vl_demo.ui.chat.page_update import View
from qwen2vl_demo.ui.chat.streaming import Pump
from qwen2vl_demo.ui.media_store import MediaStore
from qwen2vl_demo.ui.panel.preview import Look
from qwen2vl_demo.ui.sessions import Draft, Session
from tests.fake_engine import FakeEngine

Files = Callable[[str], str]
VALUES: tuple[object, ...] = ()  # the page's defaults


def send(chat: Chat, session: Session, draft: Draft, values: Sequence[object] = VALUES) -> Iterator[View]:
    """The three steps of the page."""
    yield chat.begin(session, draft)
    yield from chat.respond(session, values)
    yield chat.finish(session)


def retry(chat: Chat, session: Session, values: Sequence[object] = VALUES) -> Iterator[View]:
    yield chat.begin_retry(session)
    yield from chat.respond(session, values)
    yield chat.finish(session)


def ask(chat: Chat, session: Session, text: str, *files: str) -> list[View]:
    return list(send(chat, session, Draft(text, files)))


def words(view: View) -> list[str]:
    """The texts of a view's messages."""
    return [
        m["content"] if isinstance(m["content"], str) else " ".join(p.get("text", "[file]") for p in m["content"])
        for m in view.messages or []
    ]


def final(views: list[View]) -> View:
    """The page in the end: the last value of each part that changed."""
    changes = {name: value for view in views for name, value in vars(view).items() if value is not None}
    return View(**changes)


@pytest.fixture
def session(chat: Chat) -> Session:
    return chat.open("tab", None)


def test_a_turn_with_two_pictures(chat: Chat, session: Session, files: Files) -> None:
    views = ask(chat, session, "Compare them", files("cat.png"), files("dog.jpg"))
    assert views[0].busy and views[0].draft == Draft()
    assert words(views[0])[0] == "*2 files*\n\nCompare them"
    assert words(final(views)) == [
        "[file] [file] Compare them",
        "In turn 1 I see 2 files and was asked: Compare them and so on and so on",
    ]
    assert final(views).busy is False
    assert "new tokens" in (final(views).numbers or "")
    heard = chat.engine.heard[-1][0]  # type: ignore[attr-defined]
    assert [type(p) for p in heard[-1].parts] == [Image, Image, Text]
    assert [p.name for p in heard[-1].parts[:2]] == ["cat.png", "dog.jpg"]


def test_the_first_view_comes_before_anything_is_opened(chat: Chat, session: Session, files: Files) -> None:
    stream = send(chat, session, Draft("?", (files("clip.mp4"),)))
    next(stream)
    assert session.conversation.turns == () and not list(chat.store.folder.iterdir())
    stream.close()


def test_statuses_are_shown_where_the_answer_will_stand(session: Session, store: MediaStore, files: Files) -> None:
    chat = Chat(FakeEngine(step=0.0, encode=0.2), store)
    views = ask(chat, session, "?", files("cat.png"))
    titles = [m["metadata"]["title"] for v in views for m in v.messages or [] if "metadata" in m]
    assert titles == ["Opening 1 file", "Thinking", "Encoding 1 picture"]
    assert all("metadata" not in m for m in final(views).messages or [])


def test_follow_up_remembers(chat: Chat, session: Session, files: Files) -> None:
    ask(chat, session, "One", files("cat.png"))
    ask(chat, session, "Two")
    assert [m.role for m in chat.engine.heard[-1][0]] == ["user", "assistant", "user"]  # type: ignore[attr-defined]


def test_files_without_words_get_a_question_and_the_page_says_so(chat: Chat, session: Session, files: Files) -> None:
    views = ask(chat, session, "  ", files("clip.mp4"))
    assert words(final(views))[0] == "[file] Describe this video.\n\n*Nothing was typed, so this is asked.*"
    assert isinstance(chat.engine.heard[-1][0][-1].parts[0], Video)  # type: ignore[attr-defined]


def test_a_pdf_becomes_its_pages(chat: Chat, session: Session, files: Files) -> None:
    ask(chat, session, "Read it", files("pages.pdf"))
    assert [m.name for m in session.conversation.turns[0].media] == ["pages.pdf, page 1", "pages.pdf, page 2"]


def test_nothing_to_send_is_said(chat: Chat, session: Session) -> None:
    last = final(ask(chat, session, " \n "))
    assert last.notice and last.draft is None and last.messages is None


@pytest.mark.parametrize("question", ["what?", ""])
def test_a_broken_file_bounces_back(chat: Chat, session: Session, files: Files, question: str) -> None:
    ask(chat, session, "One", files("cat.png"))
    before = session.conversation
    draft = Draft(question, (files("dog.jpg"), files("broken.png")))
    last = final(list(send(chat, session, draft)))
    assert last.notice and "broken.png" in last.notice
    assert last.draft == draft and last.busy is False
    assert session.conversation == before and len(words(last)) == 2
    ask(chat, session, "Two")
    assert len(session.conversation.turns) == 2


def test_a_file_that_vanished_is_a_sentence(chat: Chat, session: Session, tmp_path: Path) -> None:
    last = final(ask(chat, session, "?", str(tmp_path / "gone.png")))
    assert last.notice and "gone.png" in last.notice


def test_a_wrong_setting_bounces_back(chat: Chat, session: Session) -> None:
    last = final(list(send(chat, session, Draft("hi"), ["", 512, 99])))
    assert last.notice and "temperature" in last.notice and last.draft == Draft("hi")


def test_an_engine_that_refuses_bounces_back(chat: Chat, session: Session) -> None:
    last = final(ask(chat, session, "!refuse"))
    assert last.notice == "The fake engine refuses this; ask something else." and last.draft == Draft("!refuse")
    assert session.conversation.turns == ()


def test_a_bug_in_the_engine_keeps_the_chat_and_the_log_keeps_quiet(
    chat: Chat, session: Session, caplog: pytest.LogCaptureFixture
) -> None:
    ask(chat, session, "One")
    with caplog.at_level(logging.DEBUG):
        last = final(ask(chat, session, "!break my secret"))
    assert last.notice == "Something went wrong inside fake. The chat is kept; try again."
    assert last.draft == Draft("!break my secret") and len(session.conversation.turns) == 1
    assert "RuntimeError" in caplog.text and "secret" not in caplog.text
    assert words(final(ask(chat, session, "Two")))[-1].startswith("In turn 2")


def test_a_bug_half_way_keeps_the_words_that_came(chat: Chat, session: Session) -> None:
    last = final(ask(chat, session, "!late-break"))
    assert words(last)[-1] == "In turn 1" and last.notice and last.draft == Draft()
    assert session.conversation.turns[0].answer and session.conversation.turns[0].answer.ending == "error"


def test_a_question_that_never_got_its_turn_comes_back(chat: Chat, session: Session) -> None:
    """Gradio's queue was full: the first step ran, the second did not, the third does."""
    chat.begin(session, Draft("One"))
    view = chat.finish(session)
    assert view.draft == Draft("One") and view.busy is False and view.notice and view.messages == []
    assert words(final(ask(chat, session, "Two")))[-1].startswith("In turn 1")


def stopped(chat: Chat, session: Session, text: str, when: Callable[[], bool]) -> tuple[list[View], View]:
    """Sends, waits for a condition, stops; all views of both."""
    views: list[View] = []
    thread = threading.Thread(target=lambda: views.extend(send(chat, session, Draft(text))))
    thread.start()
    until = time.monotonic() + 20
    while not when() and time.monotonic() < until:
        time.sleep(0.01)
    stop = chat.stop(session)
    at = time.monotonic()
    thread.join(20)
    assert time.monotonic() - at < 5
    return views, stop


def test_stop_half_way_keeps_the_words(store: MediaStore) -> None:
    chat = Chat(FakeEngine(step=0.05), store)
    session = chat.open("tab", None)
    views, _ = stopped(chat, session, "a long tale", lambda: session.run is not None and len(session.run.text) > 10)
    answer = session.conversation.turns[0].answer
    assert answer and answer.ending == "cancelled" and answer.text.startswith("In turn 1")
    assert final(views).busy is False
    last = final(ask(chat, session, "next"))
    assert words(last)[-1].startswith("In turn 2")


def test_stop_in_a_long_step_does_not_keep_the_visitor_waiting(store: MediaStore) -> None:
    """The engine cannot be interrupted; the page is free at once, and runs never overlap."""
    engine = FakeEngine(step=0.01)
    chat = Chat(engine, store)
    session = chat.open("tab", None)
    _, stop = stopped(chat, session, "!slow-start", lambda: engine.active == 1)
    assert stop.busy is False and words(stop)[-1].startswith("*Stopped before the first word")
    assert engine.active == 1
    threading.Timer(0.3, engine.gate.set).start()
    last = final(ask(chat, session, "next"))
    assert words(last)[-1].startswith("In turn 1")  # the stopped question was not told
    assert engine.most_active == 1


def test_sending_while_an_answer_is_written_is_refused_kindly(chat: Chat, session: Session) -> None:
    first = send(chat, session, Draft("One"))
    next(first)
    next(first)
    last = final(ask(chat, session, "Two"))
    assert last.notice and last.draft is None and last.busy is True and last.messages is None
    first.close()
    assert session.run is None


def test_a_closed_tab_ends_its_answer_and_frees_the_session(store: MediaStore) -> None:
    engine = FakeEngine(step=0.05)
    chat = Chat(engine, store)
    stream = send(chat, chat.open("tab", None), Draft("a long tale"))
    for view in stream:
        if "In turn" in "".join(words(view)):
            break
    chat.sessions.drop("tab")
    stream.close()
    until = time.monotonic() + 10
    while engine.active and time.monotonic() < until:
        time.sleep(0.01)
    assert engine.active == 0 and len(chat.sessions) == 0


def test_retry_warms_up_and_keeps_one_turn(chat: Chat, session: Session, files: Files) -> None:
    ask(chat, session, "One", files("cat.png"))
    last = final(list(retry(chat, session)))
    assert "at temperature 0.8 with seed" in words(last)[-1]
    assert "temperature 0.8, seed" in (last.numbers or "")
    assert len(session.conversation.turns) == 1 and len(session.conversation.turns[0].media) == 1


def test_retry_of_an_unanswered_turn_asks_as_it_was(chat: Chat, session: Session) -> None:
    ask(chat, session, "!silent")
    last = final(list(retry(chat, session)))
    assert "temperature" not in (last.numbers or "")


def test_a_retry_that_fails_keeps_the_old_answer(chat: Chat, session: Session) -> None:
    ask(chat, session, "One")
    before = session.conversation
    last = final(list(retry(chat, session, ["", 512, 99])))
    assert session.conversation == before and last.notice and last.draft is None


def test_retry_and_undo_of_nothing_are_said(chat: Chat, session: Session) -> None:
    assert final(list(retry(chat, session))).notice == "There is nothing to ask again yet."
    assert chat.undo(session).notice == "There is nothing to take back yet."


def test_undo_puts_words_and_files_back_under_their_names(chat: Chat, session: Session, files: Files) -> None:
    ask(chat, session, "One", files("cat.png"))
    view = chat.undo(session)
    assert view.draft and view.draft.text == "One" and view.messages == []
    ask(chat, session, *(view.draft.text, *view.draft.files))
    assert session.conversation.turns[0].media[0].name == "cat.png"


def test_clear_forgets(chat: Chat, session: Session) -> None:
    ask(chat, session, "One")
    view = chat.clear(session)
    assert view.messages == [] and view.saved == "" and view.numbers == ""
    assert session.conversation.turns == ()


def restored(chat: Chat, key: str, saved: str | None) -> tuple[View, Look]:
    session = chat.open(key, saved)
    return chat.restore(session), chat.look(session, Draft(), VALUES)


def test_a_chat_survives_its_session_and_the_app(chat: Chat, session: Session, files: Files, store: MediaStore) -> None:
    saved = final(ask(chat, session, "One", files("cat.png"))).saved
    chat.sessions.drop("tab")
    again = Chat(FakeEngine(step=0.0), MediaStore(store.folder))
    view, look = restored(again, "tab after the restart", saved)
    assert words(view)[0] == "[file] One"
    assert look.sight and look.sight.trace and len(look.sight.trace.media) == 1
    assert words(final(ask(again, again.open("tab after the restart", None), "Two")))[-1].startswith("In turn 2")


def test_a_session_that_was_lost_under_an_open_page_goes_on(chat: Chat, session: Session) -> None:
    """A laptop sleeps, Gradio says the tab closed; the page still stands and sends what its browser kept."""
    saved = final(ask(chat, session, "One")).saved
    chat.sessions.drop("tab")
    ask(chat, chat.open("tab", saved), "Two")
    assert [t.question for t in chat.open("tab", None).conversation.turns] == ["One", "Two"]


def test_calls_without_a_tab_are_strangers_too(chat: Chat) -> None:
    ask(chat, chat.open(None, None), "One")
    assert chat.open(None, None).conversation.turns == () and len(chat.sessions) == 0


def test_there_is_an_end_to_the_sessions_held(chat: Chat, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qwen2vl_demo.ui.sessions.MOST", 3)
    saved = final(ask(chat, chat.open("0", None), "One")).saved
    for key in ("1", "2", "3"):
        chat.open(key, None)
    assert len(chat.sessions) == 3
    assert chat.open("0", saved).conversation.turns[0].question == "One"


def test_two_tabs_are_strangers(chat: Chat) -> None:
    ask(chat, chat.open("a", None), "One")
    assert chat.open("b", None).conversation.turns == ()


@pytest.mark.parametrize("saved", ["nonsense", "{}", '{"format": "qwen2vl-demo chat", "version": 1, "turns": 5}'])
def test_what_a_browser_kept_wrongly_is_an_empty_chat(chat: Chat, saved: str) -> None:
    assert restored(chat, "tab", saved)[0].messages == []


def test_a_medium_that_was_swept_is_a_sentence(chat: Chat, session: Session, files: Files) -> None:
    saved = final(ask(chat, session, "One", files("cat.png"))).saved
    for path in chat.store.folder.iterdir():
        path.unlink()
    views = restored(chat, "other", saved)
    assert "no longer kept" in words(views[0])[0]
    assert words(final(ask(chat, chat.open("other", None), "Two")))[-1].startswith("In turn 2")


def test_a_page_closed_mid_answer_comes_back_as_stopped(store: MediaStore) -> None:
    chat = Chat(FakeEngine(step=0.01, encode=0), store)
    stream = send(chat, chat.open("tab", None), Draft("hello"))
    saved = next(v.saved for v in stream if v.saved)
    stream.close()
    assert words(restored(chat, "other", saved)[0])[1].startswith("*Stopped before the first word")


def test_an_imported_chat_takes_the_place_of_this_one(chat: Chat, session: Session, files: Files) -> None:
    ask(chat, session, "One", files("cat.png"))
    text = export_json(session.conversation, chat.store, "fake")
    other = chat.open("other", None)
    view = chat.import_chat(other, text)
    assert other.conversation == session.conversation and words(view)[0] == "[file] One"


def test_a_wrong_import_changes_nothing(chat: Chat, session: Session) -> None:
    ask(chat, session, "One")
    before = session.conversation
    view = chat.import_chat(session, b"not a chat")
    assert view.notice and view.messages is None and session.conversation == before


def test_the_cost_of_attached_files_is_said_before_sending(chat: Chat, session: Session, files: Files) -> None:
    """320x240 becomes 308x252 px = 11x9 = 99 tokens; with markers and words the prompt is longer."""
    sentence = chat.look(session, Draft("", (files("cat.png"),)), VALUES).cost
    assert sentence and sentence.startswith("1 picture: 99 tokens. The prompt will have 1")
    assert "broken.png" in (chat.look(session, Draft("", (files("broken.png"),)), VALUES).cost or "")
    assert chat.look(session, Draft("hi"), VALUES).cost == ""
    assert session.conversation.turns == ()


def test_boxes_are_drawn_and_the_raw_answer_is_kept(chat: Chat, session: Session, files: Files) -> None:
    last = final(ask(chat, session, "!boxes", files("cat.png")))
    assert words(last)[-1] == "[file] There is the red square and a dot."
    answer = session.conversation.turns[0].answer
    assert answer and "<|box_start|>" in answer.text


def test_half_a_box_is_never_shown(store: MediaStore, files: Files) -> None:
    chat = Chat(FakeEngine(step=0.03, encode=0), store)
    views = ask(chat, chat.open("tab", None), "!boxes", files("cat.png"))
    assert not [text for v in views for text in words(v) if "<|" in text or "&lt;|" in text]


def test_a_question_outside_any_conversation(chat: Chat, files: Files) -> None:
    *_, last = chat.ask(Draft("What?", (files("cat.png"),)))
    assert last.startswith("In turn 1 I see 1 files") and len(chat.sessions) == 0


def test_a_pump_gives_all_that_came_before_it_raises() -> None:
    def stream() -> Iterator[Chunk]:
        yield Chunk(text="a")
        yield Chunk(text="b")
        raise RuntimeError("end")

    pump = Pump(stream())
    time.sleep(0.1)
    assert [c.text for c in pump.take(1.0, at_least=0.05)] == ["a", "b"]
    with pytest.raises(RuntimeError):
        pump.take(1.0)
    assert pump.ended


def test_a_pump_comes_back_without_news() -> None:
    gate = threading.Event()

    def stream() -> Iterator[Chunk]:
        gate.wait(10)
        yield Chunk(text="late")

    pump = Pump(stream())
    assert pump.take(0.05) == [] and not pump.ended
    gate.set()
    assert [c.text for c in pump.take(5.0)] == ["late"]


@pytest.mark.parametrize("interval", [0.0, 0.004])
def test_the_page_is_updated_at_the_same_pace_however_fast_words_come(
    chat: Chat, session: Session, monkeypatch: pytest.MonkeyPatch, interval: float
) -> None:
    """150 words at once, or one every 4 ms: each update carries the whole chat, so there is one every 60 ms at most."""
    stream = chat.engine.stream

    def fast(*arguments: object) -> Iterator[Chunk]:
        *_, last = stream(*arguments)  # type: ignore[arg-type]
        for index in range(150):
            time.sleep(interval)
            yield Chunk(text=f"w{index} ")
        yield last

    monkeypatch.setattr(chat.engine, "stream", fast)
    began, moments = time.monotonic(), []
    for view in send(chat, session, Draft("Count", ())):
        if any("w0 " in text for text in words(view)):
            moments.append(time.monotonic())
    assert len(moments) <= (time.monotonic() - began) / COALESCE + 1
    assert all(later - earlier > 0.03 for earlier, later in itertools.pairwise(moments))
    if interval:
        assert len(moments) >= 3  # and it does move

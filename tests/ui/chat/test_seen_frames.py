"""Which frames of a clip the model saw, as the page is told; and the part of a clip that was chosen."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from qwen2vl_demo.errors import UserError
from qwen2vl_demo.media import TimeRange
from qwen2vl_demo.ui.attached_files import looked_at, named
from qwen2vl_demo.ui.chat.conversation import Answer, Conversation, Medium, MediumKind, MediumNumbers, Numbers, Turn
from qwen2vl_demo.ui.chat.kept_chat import keep, read_kept
from qwen2vl_demo.ui.chat.message_rows import rows
from qwen2vl_demo.ui.chat.saved_chat import dumps, from_record
from qwen2vl_demo.ui.chat.seen_frames import seen_clips
from qwen2vl_demo.ui.events import NOT_ATTACHED, PageEvents
from qwen2vl_demo.ui.media_store import MediaStore
from qwen2vl_demo.ui.models import Models
from qwen2vl_demo.ui.parts import Parts
from qwen2vl_demo.ui.sessions import Draft, Session
from tests.ui.conftest import VALUES, ask, respond

FILE = "a" * 64
CAT = Medium("image", f"{'b' * 64}.png", "cat.png")


def film(start: float = 0.0, end: float | None = None, name: str = "clip.mp4") -> Medium:
    return Medium("video", f"{FILE}.mp4", name, TimeRange(start, end))


def became(name: str, *times: float, kind: MediumKind = "video", duration: float = 12.0) -> MediumNumbers:
    return MediumNumbers(kind, name, (84, 112), (84, 112), (1, 6, 8), 12, times, duration)


def asked(media: tuple[Medium, ...], *numbers: MediumNumbers) -> Conversation:
    kept = Numbers(100, 24, 5, 0.1, 0.1, 0.0, None, numbers)
    return Conversation((Turn("?", media, answer=Answer("At 0:01.", "end", kept)),))


def test_the_frames_are_those_of_the_prompt_that_ran(parts: Parts, files: Callable[[str], str]) -> None:
    """20 frames at 10 a second, of which 2 a second are 4: the first, the last and two between them."""
    session = Session()
    ask(parts, session, "What happens?", files("cat.png"), files("clip.mp4"))
    assert session.shown is not None
    (clip,) = seen_clips(session.conversation, 0)
    assert tuple(clip["times"]) == pytest.approx(session.shown.trace.media[1].timestamps)
    assert (clip["name"], clip["duration"], clip["range"], clip["from"]) == ("clip.mp4", 2.0, None, 0.0)
    told = json.loads(rows(session.conversation, parts.store, resumes=True))[0]["clips"]
    assert told == [clip] and clip["file"] == session.conversation.turns[0].media[1].file.partition(".")[0]
    open_question = session.conversation.answered(None)
    assert seen_clips(open_question, 0) == []
    assert seen_clips(open_question, 0, session.shown.trace) == [clip]  # before the first word


def test_a_question_that_is_answered_anew_keeps_its_strip() -> None:
    chat = asked((film(),), became("clip.mp4", 0.0, 1.0))
    assert seen_clips(chat.instead(0, replace(chat.turns[0], answer=None)), 0) == seen_clips(chat, 0) != []


def test_pairs_behind_time_stamps_and_pictures_in_place_of_a_clip_are_its_frames() -> None:
    """Two clips of one name between pictures; the second begins where the times do."""
    pairs = [became("clip.mp4, 0.0 s", 0.0, 0.5), became("clip.mp4, 1.0 s", 1.0, 1.5)]
    stills = [became(f"clip.mp4, frame {i + 1}", float(i), kind="image") for i in range(3)]
    cat = became("cat.png", kind="image", duration=0.0)
    first, second = seen_clips(asked((film(), film(2), CAT), *pairs, *stills, cat), 0)
    assert (first["times"], first["nth"], first["from"]) == ([0.0, 0.5, 1.0, 1.5], 0, 0.0)
    assert (second["times"], second["nth"], second["from"]) == ([0.0, 1.0, 2.0], 1, 0.0)


def test_a_part_counts_from_its_beginning_unless_times_were_written() -> None:
    plain = seen_clips(asked((film(4, 8),), became("clip.mp4", 4.0, 6.0)), 0)[0]
    assert (plain["range"], plain["from"]) == ([4, 8], 4)
    stamped = seen_clips(asked((film(4),), became("clip.mp4, 4.0 s", 4.0, 6.0)), 0)[0]
    assert (stamped["range"], stamped["from"]) == ([4, 12.0], 0.0)


def test_a_chat_of_an_earlier_version_has_no_strip() -> None:
    assert seen_clips(asked((film(),), became("clip.mp4", duration=0.0)), 0) == []


def test_a_chosen_part_reaches_the_prompt_and_is_kept_with_the_chat(
    parts: Parts, files: Callable[[str], str], store: MediaStore
) -> None:
    session, path = Session(), files("clip.mp4")
    session.choose_time_range(path, TimeRange(1.0, 1.5))
    ask(parts, session, "What happens?", path)
    (medium,) = session.conversation.turns[0].media
    assert medium.time_range == TimeRange(1.0, 1.5)
    (clip,) = seen_clips(session.conversation, 0)
    assert clip["range"] == [1.0, 1.5] and all(1.0 <= time < 1.5 for time in clip["times"])
    assert read_kept(keep(session.conversation, store)).turns[0].media == (medium,)
    assert session.time_ranges == {}  # the same file, attached again, is looked at as a whole
    parts.controller.undo(session)
    (again,) = session.time_ranges.items()
    assert again == (str(store.path(medium)), TimeRange(1.0, 1.5))


def test_a_part_behind_the_end_goes_back_to_the_composer_with_a_sentence(
    parts: Parts, files: Callable[[str], str]
) -> None:
    session, path = Session(), files("clip.mp4")
    session.choose_time_range(path, TimeRange(60))
    parts.controller.begin(session, Draft("What happens?", (path,)))
    *_, update = respond(parts, session, VALUES)
    assert update.notice and "choose one that begins earlier" in update.notice
    assert parts.controller.answers.finish(session).draft == Draft("What happens?", (path,))
    assert session.time_ranges == {path: TimeRange(60)}


@pytest.mark.parametrize(
    "time_range",
    [7, "2-4", [], {"start": -1}, {"start": 2, "end": 1}, {"start": "0"}, {"start": True}, {"end": 1e300}],
)
def test_a_saved_part_that_is_none_is_refused(time_range: object) -> None:
    record = json.loads(dumps(asked((film(1, 2),), became("clip.mp4", 1.0))))
    assert from_record(record).turns[0].media == (film(1, 2),)
    record["turns"][0]["media"][0]["time_range"] = time_range
    with pytest.raises(UserError, match="cannot be read"):
        from_record(record)


def chosen(parts: Parts, files: list[str], value: Any) -> tuple[str, dict[str, TimeRange]]:
    """The notice, and what the tab remembers of the clips in its composer."""
    page: Any = SimpleNamespace(chat=SimpleNamespace(notice="notice"))
    events = PageEvents(page=page, parts=parts, panel=None, lesson=None, cards=(), chats=(), models=Models(parts))  # type: ignore[arg-type]
    request: Any = SimpleNamespace(session_hash="tab")
    event: Any = SimpleNamespace(value=value, index=0)
    notice = events.choose_part(request, event, {"text": "", "files": files}, "")["notice"]
    return notice, dict(parts.sessions.open("tab", None).time_ranges)


def test_a_part_is_chosen_of_a_clip_in_the_composer(parts: Parts, files: Callable[[str], str]) -> None:
    path = files("clip.mp4")
    assert chosen(parts, [path], {"file": path, "start": 0.5, "end": 1}) == ("", {path: TimeRange(0.5, 1)})
    assert chosen(parts, [path], {"file": path, "start": 0.5, "end": None}) == ("", {path: TimeRange(0.5)})
    assert chosen(parts, [path], {"file": path, "start": 0, "end": None}) == ("", {})


@pytest.mark.parametrize(
    "value",
    [
        None, 7, [], "x", {}, {"file": ["x"], "start": 0}, {"file": "/etc/passwd", "start": 0, "end": 1},
        {"file": "HERE", "start": "0", "end": 1}, {"file": "HERE", "start": 0, "end": [1]},
        {"file": "HERE", "start": True, "end": 1}, {"file": "HERE", "start": 2, "end": 1},
        {"file": "HERE", "start": float("nan"), "end": 1}, {"file": "HERE", "start": 0, "end": 10**400},
    ],
)  # fmt: skip
def test_a_forged_choice_is_one_sentence(parts: Parts, files: Callable[[str], str], value: Any) -> None:
    path = files("clip.mp4")
    if isinstance(value, dict) and value.get("file") == "HERE":
        value = {**value, "file": path}
    notice, kept = chosen(parts, [path], value)
    assert kept == {} and notice.startswith("<p role") and (NOT_ATTACHED in notice or "part of a clip" in notice)


def test_what_the_composer_shows_says_the_part(parts: Parts, files: Callable[[str], str]) -> None:
    session, path = Session(), files("clip.mp4")
    session.choose_time_range(path, TimeRange(0.5))
    seen = looked_at(named(path, session), parts.store, session.description)
    assert (Path(seen.id).name, seen.kind, seen.seconds, seen.part) == ("clip.mp4", "video", 2.0, (0.5, None))

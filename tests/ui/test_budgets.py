"""How much memory all sessions may take together, and how long a chat may be."""

from pathlib import Path

import pytest

from qwen2vl_demo.errors import UserError
from qwen2vl_demo.ui.chat.controller import kept_conversation
from qwen2vl_demo.ui.chat.conversation import Answer, Conversation, Medium, Turn
from qwen2vl_demo.ui.chat.saved_chat import (
    MAX_CHAT_MEDIA,
    MAX_CHAT_TEXT,
    MAX_SAVED,
    MAX_TEXT,
    MAX_TURNS,
    check_size,
    dumps,
    from_record,
    loads,
)
from qwen2vl_demo.ui.forgetting import Forgetting
from qwen2vl_demo.ui.media_store import MediaStore
from qwen2vl_demo.ui.sessions import Sessions

NOTHING = Forgetting(lambda salt: None)
PICTURE = Medium("image", "0" * 64 + ".png", "cat.png")


def conversation(characters: int) -> Conversation:
    return Conversation((Turn("q", answer=Answer("x" * characters, "end")),))


def test_the_least_recently_used_sessions_go_when_all_take_too_much() -> None:
    sessions = Sessions(lambda saved: conversation(int(saved)), NOTHING, max_bytes=1_000_000)
    for number in range(5):
        sessions.open(f"tab {number}", "150000")
        sessions.find("tab 0")  # in use
    assert sessions.find("tab 0") is not None and sessions.find("tab 4") is not None
    assert len(sessions) == 5
    sessions.open("large", "600000")
    assert sessions.find("tab 0") is not None and sessions.find("large") is not None
    assert len(sessions) < 5 and sessions.find("tab 1") is None


def test_a_session_that_grows_counts_as_what_it_is_now() -> None:
    sessions = Sessions(lambda saved: Conversation(), NOTHING, max_bytes=300_000)
    first, second = sessions.open("first", None), sessions.open("second", None)
    first.conversation = second.conversation = conversation(200_000)
    assert sessions.find("first") is first and sessions.find("second") is second
    assert len(sessions) == 1


def test_a_session_that_alone_takes_too_much_is_kept_while_it_is_used() -> None:
    sessions = Sessions(lambda saved: conversation(500_000), NOTHING, max_bytes=100_000)
    assert sessions.open("tab", "x") is sessions.find("tab")


@pytest.mark.parametrize(
    ("turns", "words"),
    [
        ((Turn("q"),) * (MAX_TURNS + 1), "501 questions"),
        ((Turn("q", (PICTURE,) * 251), Turn("q", (PICTURE,) * 250)), "501 pictures"),
        ((Turn("x" * MAX_TEXT),) * (MAX_CHAT_TEXT // MAX_TEXT + 1), "characters"),
    ],
)
def test_a_chat_has_a_length_at_which_a_new_one_must_begin(turns: tuple[Turn, ...], words: str) -> None:
    with pytest.raises(UserError, match=words):
        check_size(Conversation(turns))
    with pytest.raises(UserError):
        from_record(loads(dumps(Conversation(turns))))
    assert MAX_CHAT_MEDIA == 500


def test_the_longest_chat_can_be_kept_by_a_browser_and_comes_back() -> None:
    longest = Conversation((Turn("é" * MAX_TEXT),) * (MAX_CHAT_TEXT // MAX_TEXT))
    saved = dumps(longest)
    assert len(saved) < MAX_SAVED and from_record(loads(saved)) == longest


def test_what_a_browser_kept_is_not_read_above_some_megabytes(tmp_path: Path) -> None:
    store = MediaStore(tmp_path)
    assert kept_conversation(dumps(conversation(10)), store).turns
    assert kept_conversation(dumps(conversation(10)) + " " * MAX_SAVED, store) == Conversation()

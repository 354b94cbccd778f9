"""The chats that the server keeps for its users: each one's own, within a quota, and gone when they are deleted."""

from __future__ import annotations

import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from qwen2vl_demo.ui.chat.conversation import Answer, Conversation, Turn
from qwen2vl_demo.ui.chat.kept_chat import read_kept
from qwen2vl_demo.ui.media_store import MediaStore
from qwen2vl_demo.ui.user_chats import FILES_FULL, FULL, UserChats

Files = Callable[[str], str]


@pytest.fixture
def chats(tmp_path: Path, store: MediaStore) -> UserChats:
    return UserChats(tmp_path / "kept", store, 1_000_000)


def chat(*questions: str, media: tuple = ()) -> Conversation:  # type: ignore[type-arg]
    turns = [Turn(question, media, answer=Answer(f"About {question}", "end")) for question in questions]
    return Conversation(tuple(turns))


def test_a_chat_comes_back_as_it_was_with_its_files(chats: UserChats, store: MediaStore, files: Files) -> None:
    media = store.add(Path(files("cat.png")), "cat.png")
    asked = chat("What is it?", media=media)
    assert chats.keep("anna", asked, "tab") == ""
    (listed,) = chats.list("anna")
    assert (listed.id, listed.title, listed.files) == (asked.cache_salt, "What is it?", (media[0].file,))
    assert read_kept(chats.text("anna", listed.id)) == asked
    store.forget([media[0].file])
    assert store.path(media[0]) is None
    chats.restore("anna", listed.files)
    assert store.path(media[0]) is not None


def test_no_user_sees_another_ones(chats: UserChats, store: MediaStore, files: Files) -> None:
    media = store.add(Path(files("cat.png")), "cat.png")
    asked = chat("A secret", media=media)
    chats.keep("anna", asked, "tab")
    for other in ("ben", "anna/../anna", "", "ANNA"):
        assert chats.list(other) == () and chats.text(other, asked.cache_salt) == ""
        chats.note(other, asked.cache_salt, "taken", True)
        chats.delete(other, asked.cache_salt)
        store.forget([media[0].file])
        chats.restore(other, [media[0].file])
        assert store.path(media[0]) is None
    assert chats.list("anna")[0].name == ""
    for wrong in ("../user", "index", "x"):
        assert chats.text("anna", wrong) == ""


def test_a_deleted_chat_leaves_nothing_but_the_files_of_others(
    chats: UserChats, store: MediaStore, files: Files, tmp_path: Path
) -> None:
    cat, dog = (store.add(Path(files(name)), name) for name in ("cat.png", "dog.jpg"))
    first, second = chat("One", media=(*cat, *dog)), chat("Two", media=dog)
    for asked in (first, second):
        chats.keep("anna", asked, "tab")
    chats.delete("anna", first.cache_salt)
    assert [listed.title for listed in chats.list("anna")] == ["Two"]
    folder = tmp_path / "kept" / chats.owner("anna")
    assert {path.name for path in (folder / "files").iterdir()} == {dog[0].file}
    chats.keep("anna", replace(second, turns=()), "tab")  # its only question was taken back
    assert chats.list("anna") == () and {path.name for path in folder.iterdir()} == {"files", "index.json", "user"}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / "index.json").stat().st_mode) == 0o600


def test_a_user_has_so_much_room_and_no_more(
    tmp_path: Path, store: MediaStore, files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    media = store.add(Path(files("cat.png")), "cat.png")
    path = store.path(media[0])
    assert path is not None
    chats = UserChats(tmp_path / "kept", store, path.stat().st_size)  # not for its words as well
    asked = chat("What is it?", media=media)
    assert chats.keep("anna", asked, "tab") == FILES_FULL
    assert chats.text("anna", asked.cache_salt)
    assert chats.keep("anna", chat("x" * path.stat().st_size), "tab") == FULL
    assert [listed.title for listed in chats.list("anna")] == ["What is it?"]
    assert chats.keep("ben", chat("Mine"), "tab") == ""  # another user's room is not touched
    monkeypatch.setattr("qwen2vl_demo.ui.user_chats.MAX_CHATS", 1)
    assert chats.keep("ben", chat("More"), "tab") == FULL


def test_what_another_browser_wrote_meanwhile_is_not_lost(chats: UserChats) -> None:
    begun = chat("One")
    chats.keep("anna", begun, "laptop")
    chats.keep("anna", begun.adding(Turn("From the phone", answer=Answer("Yes", "end"))), "phone")
    chats.keep("anna", begun.adding(Turn("From the laptop", answer=Answer("No", "end"))), "laptop")
    kept = {listed.name: read_kept(chats.text("anna", listed.id)) for listed in chats.list("anna")}
    assert kept[""].turns[-1].question == "From the laptop" and kept[""].cache_salt == begun.cache_salt
    assert kept["One (as in another browser)"].turns[-1].question == "From the phone"
    # One that goes on from what is there, or takes a question back itself, sets nothing aside.
    chats.keep("anna", kept[""].adding(Turn("More", answer=Answer("Yes", "end"))), "phone")
    chats.keep("anna", kept[""], "phone")
    assert len(chats.list("anna")) == 2


def test_names_and_pins_are_kept(chats: UserChats) -> None:
    asked = chat("One")
    chats.keep("anna", asked, "tab")
    chats.note("anna", asked.cache_salt, "Named", True)
    chats.keep("anna", asked.adding(Turn("Two", answer=Answer("Yes", "end"))), "tab")
    (listed,) = chats.list("anna")
    assert (listed.name, listed.pinned) == ("Named", True)

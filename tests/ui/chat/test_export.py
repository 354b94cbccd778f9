"""A chat as a file: what goes out comes back, and what comes in from outside is checked."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from qwen2vl_demo.errors import UserError
from qwen2vl_demo.ui.chat.conversation import Answer, Conversation, Turn
from qwen2vl_demo.ui.chat.export import export_html, export_json, import_json
from qwen2vl_demo.ui.media_store import MediaStore

BOXED = "Here: <|object_ref_start|>cat<|object_ref_end|><|box_start|>(10,10),(500,500)<|box_end|> <script>x</script>"


@pytest.fixture
def talk(store: MediaStore, files: Callable[[str], str]) -> Conversation:
    cat = store.add(Path(files("cat.png")), 'cat "<b>.png')
    movie = store.add(Path(files("clip.mp4")), "clip.mp4")
    return Conversation((Turn("What <i>is</i> this?", (*cat, *movie), True, Answer(BOXED, "end")),), "Be kind.")


def test_json_comes_back_in_another_place(talk: Conversation, store: MediaStore, tmp_path: Path) -> None:
    elsewhere = MediaStore(tmp_path / "elsewhere")
    assert import_json(export_json(talk, store, "nano"), elsewhere) == talk
    for medium in talk.turns[0].media:
        there, here = elsewhere.path(medium), store.path(medium)
        assert there and here and there.read_bytes() == here.read_bytes()


def test_a_chat_whose_picture_is_gone_can_still_be_saved_and_opened(talk: Conversation, store: MediaStore) -> None:
    path = store.path(talk.turns[0].media[0])
    assert path
    path.unlink()
    assert import_json(export_json(talk, store, "nano"), store) == talk
    assert "no longer kept" in export_html(talk, store, "nano", "")


def test_the_page_needs_nothing_but_itself(talk: Conversation, store: MediaStore) -> None:
    page = export_html(talk, store, "<nano>", "on & on")
    assert re.findall(r'(?:src|href)="(?!data:)', page) == []
    assert page.count("data:image/") == 2  # the picture, and the picture with its box
    assert page.count("data:video/mp4") == 1
    for hostile in ("<script", "<i>", "<b>.png", "<nano>"):
        assert hostile not in page
    assert "Here: cat" in page and "Be kind." in page


@pytest.mark.parametrize("change", ["hash", "kind", "text", "base64", "number", "list"])
def test_hostile_media_are_refused_with_a_sentence(
    talk: Conversation, store: MediaStore, tmp_path: Path, change: str
) -> None:
    record = json.loads(export_json(talk, store, "nano"))
    name = talk.turns[0].media[0].file
    if change == "hash":
        record["media"][name] = record["media"][talk.turns[0].media[1].file]
    elif change == "kind":
        record["turns"][0]["media"][0]["kind"] = "video"
    elif change == "text":
        record["media"][name] = "aGVsbG8="
    elif change == "base64":
        record["media"][name] = "*" * 8
    elif change == "number":
        record["media"][name] = 7
    else:
        record["media"] = []
    empty = MediaStore(tmp_path / "empty")
    with pytest.raises(UserError):
        import_json(json.dumps(record), empty)
    assert not list(empty.folder.glob("*.part"))


def test_an_ending_cannot_be_chosen_by_the_file(talk: Conversation, store: MediaStore, tmp_path: Path) -> None:
    """A picture named .html in the record would be served as a page."""
    record = json.loads(export_json(talk, store, "nano"))
    old = talk.turns[0].media[0].file
    new = old.partition(".")[0] + ".html"
    record["turns"][0]["media"][0]["file"] = new
    record["media"] = {new: record["media"][old]}
    with pytest.raises(UserError):
        import_json(json.dumps(record), MediaStore(tmp_path / "empty"))
    assert not list((tmp_path / "empty").glob("*.html"))


def test_what_is_no_chat_is_a_sentence(store: MediaStore) -> None:
    for text in (b"", b"hello", b"[]", b'{"format": "x"}', b"\xff"):
        with pytest.raises(UserError):
            import_json(text, store)

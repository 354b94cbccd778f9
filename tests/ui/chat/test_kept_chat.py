"""A chat as a browser keeps it: what comes back is the chat, with the words of an answer that was cut off."""

import json
import random
from pathlib import Path

import pytest

from qwen2vl_demo.errors import UserError
from qwen2vl_demo.ui.chat.conversation import Answer, Conversation, Medium, Turn
from qwen2vl_demo.ui.chat.kept_chat import MAX_TITLE, keep, read_kept, with_words
from qwen2vl_demo.ui.chat.saved_chat import MAX_TEXT, dumps
from qwen2vl_demo.ui.media_store import MediaStore
from tests.ui.conftest import picture

CAT = Medium("image", f"{'a' * 64}.png", "cat.png")
CLIP = Medium("video", f"{'b' * 64}.mp4", "clip.mp4")
ASKED = Conversation((Turn("One", (CLIP, CAT), answer=Answer("1", "end")), Turn("Two\n<b>", (CAT,))))
HOSTILE = 'a "quote", \\ a backslash\nand </script> \u2028 \U0001f600 \ud800 end'


def test_what_is_kept_comes_back(store: MediaStore) -> None:
    answered = ASKED.answered(Answer("2", "length"))
    again = read_kept(keep(answered, store))
    assert again == answered and again.cache_salt == answered.cache_salt
    assert read_kept(dumps(answered)) == answered  # by an earlier version
    assert read_kept(keep(Conversation(), store)) == read_kept("") == Conversation()


def test_an_answer_that_was_cut_off_keeps_every_word(store: MediaStore) -> None:
    kept = keep(ASKED, store)
    assert kept.count("\n") == 1 and "<" not in kept
    for text in ("", "In turn 2", HOSTILE):
        last = read_kept(with_words(kept, text)).turns[-1]
        assert last.answer == Answer(text.replace("\ud800", "?"), "cancelled")
        assert with_words(kept, text).count("\n") == 2 and "<" not in with_words(kept, text)


def test_a_growing_answer_grows_at_its_end(store: MediaStore) -> None:
    """Gradio then sends the new words alone (gradio.utils.diff)."""
    kept, chance, text = keep(ASKED, store), random.Random(1), ""
    before = with_words(kept, text)
    for _ in range(200):
        text += chance.choice(["a", '"', "\\", "\n", "<", "é", "\u2028", "\U0001f600"])
        assert with_words(kept, text).startswith(before)
        before = with_words(kept, text)


def test_a_browser_learns_id_title_files_and_picture(store: MediaStore, tmp_path: Path) -> None:
    cat = store.add(picture(tmp_path / "cat.png"), "cat.png")[0]
    media = (Medium("video", f"{'b' * 64}.mp4", "clip.mp4"), cat)
    chat = Conversation((Turn("  What\n is <this>? " + "x" * 500, media), Turn("And?", (cat,))))
    about = json.loads(keep(chat, store).split("\n")[1])
    assert about["id"] == chat.cache_salt
    assert about["title"].startswith("What is <this>? xxx") and len(about["title"]) == MAX_TITLE
    assert about["files"] == [media[0].file, cat.file] and about["picture"] == cat.file
    untyped = Conversation((Turn("Describe this picture.", (cat,), typed=False),))
    assert json.loads(keep(untyped, store).split("\n")[1])["title"] == "cat.png"


@pytest.mark.parametrize("words", ['x","y', '"', "\\", "\\ud800", "x" * (MAX_TEXT + 1), "\ud800", "\x00"])
def test_forged_words_are_words_or_nothing(store: MediaStore, words: str) -> None:
    answer = read_kept(f"{keep(ASKED, store)}\n{words}").turns[-1].answer
    assert answer is not None and len(answer.text) <= MAX_TEXT
    answer.text.encode()


def test_what_is_no_chat_is_a_sentence() -> None:
    for text in ("nonsense\n{}\n", "{}", "[" * 9999):
        with pytest.raises(UserError):
            read_kept(text)

"""Versions of questions and answers: a chat is a tree of turns, of which one path is shown."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from qwen2vl_demo.errors import UserError
from qwen2vl_demo.ui.chat.bubbles import show
from qwen2vl_demo.ui.chat.conversation import ENDINGS, Answer, Conversation, Medium, Turn
from qwen2vl_demo.ui.chat.export import export_html, export_json, import_json
from qwen2vl_demo.ui.chat.message_rows import rows
from qwen2vl_demo.ui.chat.saved_chat import MAX_CHAT_MEDIA, MAX_TURNS, dumps, from_record, loads
from qwen2vl_demo.ui.media_store import MediaStore
from qwen2vl_demo.ui.sessions import Session


def turn(question: str, answer: str | None = "yes", media: tuple[Medium, ...] = ()) -> Turn:
    return Turn(question, media, True, None if answer is None else Answer(answer, "end"))


def said(conversation: Conversation) -> list[tuple[str, str]]:
    return [(t.question, t.answer.text if t.answer else "") for t in conversation.turns]


def tree() -> Conversation:
    """Questions a, b, c; then b edited to B and D asked behind it; then D answered anew.

    a(1) -- b(2) -- c(3)
        \\-- B(4) -- D(5), D(6)
    """
    chat = Conversation((turn("a"), turn("b"), turn("c")), "Be brief.")
    chat = chat.instead(1, turn("B")).adding(turn("D"))
    return chat.instead(2, turn("D", "no"))


def test_what_is_shown_is_a_plain_path() -> None:
    chat = tree()
    assert said(chat) == [("a", "yes"), ("B", "yes"), ("D", "no")]
    assert [(t.number, t.after) for t in chat.turns] == [(1, 0), (4, 1), (6, 4)]
    assert sorted((t.number, t.after) for t in chat.aside) == [(2, 1), (3, 2), (5, 4)]


def test_turns_are_counted_as_versions_of_the_question_or_of_the_answer() -> None:
    chat = tree()
    first, second, third = (chat.versions(index) for index in range(3))
    assert (first.questions, first.answers) == ((1,), (1,))
    assert (second.questions, second.question, second.answers) == ((2, 4), 1, (4,))
    assert (third.questions, third.answers, third.answer) == ((6,), (5, 6), 1)


def test_a_version_comes_with_what_was_asked_last_behind_it() -> None:
    chat = tree()
    assert said(chat.showing(2)) == [("a", "yes"), ("b", "yes"), ("c", "yes")]
    assert said(chat.showing(5)) == [("a", "yes"), ("B", "yes"), ("D", "yes")]
    assert said(chat.showing(2).showing(4)) == said(chat)  # 6 is newer than 5
    assert chat.showing(99) is chat


def test_showing_loses_nothing_and_every_version_can_be_reached() -> None:
    chat = tree()
    for number in (2, 3, 5, 4, 6, 1):
        chat = chat.showing(number)
        assert chat.index(number) is not None
        assert sorted(t.number for t in chat.all_turns) == [1, 2, 3, 4, 5, 6]
        numbers = [t.number for t in chat.turns]
        assert [t.after for t in chat.turns] == [0, *numbers[:-1]]


def test_a_question_taken_back_goes_with_its_answers_and_the_version_before_is_shown() -> None:
    chat = tree().taken_back()  # D with both answers
    assert said(chat) == [("a", "yes"), ("B", "yes")] and sorted(t.number for t in chat.aside) == [2, 3]
    assert said(chat.taken_back()) == [("a", "yes"), ("b", "yes"), ("c", "yes")]
    assert said(Conversation((turn("a"),)).taken_back()) == []


def test_an_answer_that_was_followed_by_something_is_not_taken_back_with_another() -> None:
    chat = Conversation((turn("a", "one"), turn("b"))).instead(0, turn("a", "two"))
    assert said(chat.taken_back()) == [("a", "one"), ("b", "yes")]


def test_equality_is_that_of_what_is_shown() -> None:
    """The cache of prompts and the panel ask whether the prompt is the same."""
    chat = tree()
    same = Conversation((turn("a"), turn("B"), turn("D", "no")), "Be brief.")
    assert chat == same and hash(chat) == hash(same)
    assert chat != chat.showing(2)


def test_a_record_brings_all_versions_back() -> None:
    chat = tree()
    again = from_record(loads(dumps(chat)))
    assert again == chat and again.cache_salt == chat.cache_salt
    assert [(t.number, t.after) for t in again.all_turns] == [(t.number, t.after) for t in chat.all_turns]
    assert said(again.showing(2)) == said(chat.showing(2))


def test_records_from_before_there_were_versions_open() -> None:
    record = json.loads(dumps(Conversation((turn("a"), turn("b")))))
    del record["aside"]
    for one in record["turns"]:
        del one["number"], one["after"]
    assert said(from_record(record)) == [("a", "yes"), ("b", "yes")]


def test_a_program_without_versions_reads_the_shown_path() -> None:
    record = json.loads(dumps(tree()))
    assert record["version"] == 1 and [t["question"] for t in record["turns"]] == ["a", "B", "D"]


def changed(change: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    record = json.loads(dumps(tree()))
    change(record)
    return record


@pytest.mark.parametrize(
    "record",
    [
        changed(lambda r: r.update(aside={})),
        changed(lambda r: r.update(aside=[1])),
        changed(lambda r: r["aside"][0].update(number=0)),
        changed(lambda r: r["aside"][0].update(number=1)),  # the first turn has it
        changed(lambda r: r["aside"][0].update(number=-1)),
        changed(lambda r: r["aside"][0].update(number=True)),
        changed(lambda r: r["aside"][0].update(number=2**60)),
        changed(lambda r: r["aside"][0].update(number="2")),
        changed(lambda r: r["aside"][0].update(after=r["aside"][0]["number"])),  # itself
        changed(lambda r: r["aside"][0].update(after=99)),  # nothing
        changed(lambda r: r["aside"][0].update(after=5)),  # a later one, so that it could be a circle
        changed(lambda r: r["aside"][0].update(after=None)),
        changed(lambda r: r["aside"].append(r["aside"][0])),
        changed(lambda r: r.update(aside=[{"question": "q", "number": n + 10} for n in range(MAX_TURNS)])),
        changed(lambda r: r["aside"][0].update(media=[{"kind": "image", "file": "../../etc/passwd", "name": "x"}])),
    ],
)
def test_a_tree_that_is_none_is_a_sentence(record: dict[str, Any]) -> None:
    with pytest.raises(UserError) as caught:
        from_record(record)
    assert str(caught.value).endswith(".")


def test_numbers_of_shown_turns_that_do_not_rise_are_given_anew() -> None:
    chat = from_record(changed(lambda r: r.update(aside=[], turns=[{**t, "number": 7} for t in r["turns"]])))
    assert [(t.number, t.after) for t in chat.turns] == [(7, 0), (8, 7), (9, 8)]


def test_files_of_all_versions_are_counted_kept_and_weighed() -> None:
    cat, dog = (Medium("image", letter * 64 + ".png", letter) for letter in "ab")
    chat = Conversation((turn("a", media=(cat,)),)).instead(0, turn("A", media=(dog,)))
    session = Session(chat)
    assert session.files() == {cat.file, dog.file}
    assert session.nbytes() > Session(Conversation(chat.turns)).nbytes()
    many = turn("a", media=(cat,) * 200)
    for _ in range(MAX_CHAT_MEDIA // 200 + 1):
        chat = chat.instead(0, many)
    with pytest.raises(UserError, match="with all their versions"):
        from_record(loads(dumps(chat)))


def test_a_file_holds_the_media_of_all_versions_and_the_page_those_that_are_shown(
    store: MediaStore, files: Callable[[str], str], tmp_path: Path
) -> None:
    cat, dog = (store.add(Path(files(name)), name) for name in ("cat.png", "dog.jpg"))
    chat = Conversation((turn("a", media=cat),)).instead(0, turn("A", media=dog))
    saved = export_json(chat, store, "nano")
    elsewhere = MediaStore(tmp_path / "elsewhere")
    again = import_json(saved, elsewhere)
    assert again == chat and again.showing(1).turns[0].media == cat
    assert all(elsewhere.path(m) for t in again.all_turns for m in t.media)
    page = export_html(chat, store, "nano", "")
    assert "dog.jpg" in page and "cat.png" not in page


def test_every_ending_can_be_shown_without_a_word(store: MediaStore) -> None:
    """Boxes are no words, and a file may hold any text with any ending."""
    for ending in ENDINGS:
        for text in ("", "<|box_start|>(1,2),(3,4)<|box_end|>"):
            chat = Conversation((Turn("a", answer=Answer(text, ending)),))
            assert len(show(chat, store)) == 2 and "Answer" in export_html(chat, store, "nano", "")
            assert json.loads(rows(chat, store, resumes=True))


def test_the_row_under_a_message_offers_what_is_possible_there(store: MediaStore) -> None:
    cut = Conversation((turn("a"), Turn("b", answer=Answer("half", "length"))))
    first, last = json.loads(rows(cut, store, resumes=True))
    assert not first["retry"] and not first["continue"] and first["note"] == ""
    assert last["retry"] and last["continue"] and last["note"] == "Cut off at the length limit."
    assert not json.loads(rows(cut, store, resumes=False))[-1]["continue"]
    looped = cut.answered(Answer("and so on", "repeating"))
    last = json.loads(rows(looped, store, resumes=True))[-1]
    assert last["note"] == "It was repeating itself and was stopped." and not last["continue"]
    silent = cut.answered(Answer("", "cancelled"))  # its bubble says it already
    assert json.loads(rows(silent, store, resumes=True))[-1]["note"] == ""
    assert "retry" not in json.loads(rows(cut.answered(None), store, resumes=True))[-1]

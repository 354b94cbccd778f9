"""What the browser gets to light boxes, names and tokens, and the switch between the readings."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from qwen2vl_demo.ui.chat.box_links import box_links
from qwen2vl_demo.ui.chat.conversation import Answer, Conversation, Medium, Turn
from qwen2vl_demo.ui.media_store import MediaStore
from qwen2vl_demo.ui.parts import Parts
from qwen2vl_demo.ui.sessions import Draft, Session
from tests.fake_engine import BOXES
from tests.ui.chat.test_answer_boxes import JSON, numbers_of


@pytest.fixture
def cat(store: MediaStore, files: Callable[[str], str]) -> Medium:
    return store.add(Path(files("cat.png")), "cat.png")[0]


def chat(cat: Medium, text: str, choice: str = "auto") -> Conversation:
    return Conversation(
        (
            Turn("?", (), True, Answer("Hello.", "end")),
            Turn("?", (cat,), True, Answer("A cat.", "end", numbers_of([cat]))),
            Turn("?", (cat,), True, Answer(text, "end", numbers_of([cat]))),
        ),
        units_choice=choice,  # type: ignore[arg-type]
    )


def test_each_box_has_its_place_its_name_and_its_picture(store: MediaStore, cat: Medium) -> None:
    """The picture is the first of the second question with files. Of the same names the second one is told apart."""
    links = box_links(chat(cat, f"A red square? {BOXES}"), 2, store)
    assert links is not None
    (picture,) = links["pictures"]
    assert (picture["name"], picture["group"], picture["place"], picture["seconds"]) == ("cat.png", 1, 0, None)
    assert [box["sides"] for box in picture["boxes"]] == [[0.1, 0.1, 0.4, 0.5], [0.6, 0.6, 0.8, 0.8]]
    assert links["names"] == [
        {"text": "theredsquare", "nth": 0, "boxes": [0]},
        {"text": "adot", "nth": 0, "boxes": [1]},
    ]
    assert links["units"] is None


def test_equal_names_are_counted_in_what_is_drawn(store: MediaStore, cat: Medium) -> None:
    """The language of a fence is not drawn: the "o" and the "n" in it do not count."""
    text = '```json\n{"bbox_2d": [1, 2, 3, 4], "label": "n"}\n```'
    links = box_links(chat(cat, text), 2, store)
    assert links is not None
    assert links["names"] == [{"text": "n", "nth": 0, "boxes": [0]}]
    two = BOXES.replace("a dot", "the red square")
    links = box_links(chat(cat, f"The red square is the red square: {two}"), 2, store)
    assert links is not None and [name["nth"] for name in links["names"]] == [1, 2]


def test_in_doubt_there_is_a_switch_with_both_readings(store: MediaStore, cat: Medium) -> None:
    links = box_links(chat(cat, JSON), 2, store)
    assert links is not None
    assert links["units"]["doubtful"] and links["units"]["choice"] == "auto"
    assert "(560x420)" in links["units"]["note"]
    (box,) = links["pictures"][0]["boxes"]
    assert box["sides"] == [0.1, 0.2, 0.3, 0.4] and box["other"] == [0.17857, 0.47619, 0.53571, 0.95238]


def test_a_choice_can_always_be_taken_back(store: MediaStore, cat: Medium) -> None:
    links = box_links(chat(cat, BOXES, choice="pixels"), 2, store)
    assert links is not None and links["units"]["choice"] == "pixels"


def test_without_boxes_or_without_the_picture_there_is_nothing(store: MediaStore, cat: Medium) -> None:
    assert box_links(chat(cat, "A cat."), 2, store) is None
    gone = Medium("image", "0" * 64 + ".png", "gone.png")
    assert box_links(chat(gone, BOXES), 2, store) is None


def test_the_switch_is_remembered_with_the_chat(parts: Parts, files: Callable[[str], str]) -> None:
    session = parts.sessions.open("tab", None)
    session.conversation = Conversation((Turn("?", (), True, Answer("!", "end")),))
    update = parts.controller.act(session, {"do": "units", "turn": 1, "units": "pixels"}, Draft())
    assert update.saved is not None and json.loads(update.saved.split("\n")[0])["units_choice"] == "pixels"
    other: Session = parts.sessions.open("another tab", update.saved)
    assert other.conversation.units_choice == "pixels"
    assert parts.controller.clear(session).saved is not None and session.conversation.units_choice == "auto"


@pytest.mark.parametrize("units", ["inches", None, 3, ["pixels"], {}])
def test_other_units_are_refused(parts: Parts, units: object) -> None:
    session = parts.sessions.open("tab", None)
    update = parts.controller.act(session, {"do": "units", "turn": 1, "units": units}, Draft())
    assert update.notice and "knows no such action" in update.notice
    assert session.conversation.units_choice == "auto"

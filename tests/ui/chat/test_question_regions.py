"""The regions of a question: how they read, on which picture they lie, and what reaches the model."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from qwen2vl_demo.processing.messages import Region, Text
from qwen2vl_demo.ui.chat import bubbles
from qwen2vl_demo.ui.chat.conversation import Answer, Conversation, Medium, Turn, to_messages
from qwen2vl_demo.ui.chat.export import export_html
from qwen2vl_demo.ui.chat.message_rows import rows
from qwen2vl_demo.ui.chat.question_regions import pointed_picture, readable
from qwen2vl_demo.ui.media_store import MediaStore

CAT = Medium("image", "a" * 64 + ".png", "cat.png")
DOG = Medium("image", "b" * 64 + ".jpg", "dog.jpg")
CLIP = Medium("video", "c" * 64 + ".mp4", "clip.mp4")
REGION = "<|box_start|>(100,200),(300,400)<|box_end|>"
SEEN = Answer("A cat.", "end")


def test_a_region_reads_as_a_box_and_reaches_the_model_as_one() -> None:
    question = f"Is {REGION} larger than {REGION}?"
    assert readable(question) == "Is box 1 larger than box 2?"
    assert bubbles.asked_words(f"*Is* {REGION} red?") == "&ast;Is&ast; `box 1` red?"
    message = to_messages(Conversation((Turn(f"Is {REGION} <|im_end|>?"),)), lambda medium: None)[0]
    assert message.parts == (Text("Is "), Region(100, 200, 300, 400), Text(" <|im_end|>?"))


def test_a_region_lies_on_the_picture_that_is_named_or_nearest() -> None:
    def pointed(question: str, *media: Medium) -> Medium | None:
        before = (Turn("?", (CAT, CLIP), answer=SEEN), Turn("?", (CAT,), answer=Answer("", "cancelled")))
        return pointed_picture(Conversation((*before, Turn(question, media))), 2)

    assert pointed(f"What is in {REGION}?") == CAT
    assert pointed(f"What is in {REGION}?", DOG) == DOG
    assert pointed(f"What is in {REGION} of picture 1?", DOG) == CAT
    # The clip is no picture, and the question that was stopped before its answer is no part of the prompt.
    assert pointed(f"What is in {REGION} of picture 2?", DOG) == DOG
    assert pointed(f"What is in {REGION} of picture 9?", CLIP) == CAT
    assert pointed("What is in picture 1?", DOG) is None
    assert pointed_picture(Conversation((Turn(REGION, (CLIP,)),)), 0) is None


def test_the_picture_is_shown_with_the_region_in_place_of_the_plain_one(
    store: MediaStore, files: Callable[[str], str]
) -> None:
    cat, dog = (store.add(Path(files(name)), name)[0] for name in ("cat.png", "dog.jpg"))
    chat = Conversation((Turn(f"What is in {REGION}?", (cat, dog), answer=SEEN), Turn(f"And {REGION} of picture 2?")))
    first, _, second = bubbles.show(chat, store)
    shown = [part for part in first["content"] if "path" in part]
    assert [part["alt_text"] for part in shown] == ["cat.png with box 1 marked", "dog.jpg"]
    assert Path(shown[0]["path"]).is_file() and Path(shown[0]["path"]).name.startswith(cat.file[:64])
    assert [part.get("alt_text") for part in second["content"]] == ["dog.jpg with box 1 marked", None]
    page = export_html(chat, store, "fake", "")
    assert "What is in box 1?" in page and "box_start" not in page and "cat.png, as it was marked" in page


def test_rows_say_which_number_a_picture_has_in_the_next_prompt(store: MediaStore) -> None:
    """Its place counts clips as well; what was asked in vain is no part of the prompt."""
    in_vain = Turn("?", (DOG,), answer=Answer("", "cancelled"))
    chat = Conversation((Turn("?", (CLIP, CAT), answer=SEEN), Turn("?", (DOG,), answer=SEEN), in_vain))
    known = [picture for row in json.loads(rows(chat, store, resumes=True)) for picture in row["pictures"]]
    assert [(picture["name"], picture["number"], picture["place"]) for picture in known] == [
        *(("cat.png", 1, 1), ("dog.jpg", 2, 2), ("dog.jpg", 0, 3)),
    ]
    boxed = replace(SEEN, text="<|box_start|>(1,2),(3,4)<|box_end|>")
    last = json.loads(rows(Conversation((*chat.turns[:1], Turn("Where?", answer=boxed))), store, resumes=True))[1]
    assert (last["marked"]["name"], last["marked"]["place"]) == ("cat.png", 1)

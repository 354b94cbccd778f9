"""The state of a chat: what the prompt is made from, what is kept, and what a hostile record cannot do."""

import contextlib
import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qwen2vl_demo.errors import UserError
from qwen2vl_demo.processing.messages import Image, Text, Video
from qwen2vl_demo.ui.chat.conversation import (
    Answer,
    Conversation,
    Medium,
    MediumNumbers,
    Numbers,
    Turn,
    cost_line,
    default_question,
    listed,
    to_messages,
)
from qwen2vl_demo.ui.chat.saved_chat import FORMAT, VERSION, dumps, from_record, loads, to_record

CAT = Medium("image", "a" * 64 + ".png", "cat.png")
DOG = Medium("image", "b" * 64 + ".jpg", "dog.jpg")
CLIP = Medium("video", "c" * 64 + ".mp4", "clip.mp4")
MADE = MediumNumbers("image", "cat.png", (480, 640), (252, 336), (1, 18, 24), 108)
NUMBERS = Numbers(214, 108, 12, 0.2, 0.5, 0.8, 1234, (MADE,), 107)
TALK = Conversation(
    (
        Turn("What is this?", (CAT, CLIP), True, Answer("A <|box_start|>(1,2),(3,4)<|box_end|> cat.", "end", NUMBERS)),
        Turn("Describe this picture.", (DOG,), False, Answer("", "cancelled")),
        Turn("And now?", (), True, Answer("Still a cat.", "length")),
    ),
    "Be brief.",
)


def where(medium: Medium) -> Path | None:
    return Path("/store") / medium.file


def test_media_stand_before_the_words_and_the_raw_answer_goes_back() -> None:
    messages = to_messages(TALK, where)
    assert [m.role for m in messages] == ["system", "user", "assistant", "user", "assistant"]
    assert [type(p) for p in messages[1].parts] == [Image, Video, Text]
    assert "<|box_start|>" in messages[2].text


def test_a_question_without_an_answer_is_not_told_again() -> None:
    """Turn 2 was stopped before its first word; two questions in a row would leak it into the next one."""
    assert "Describe this picture." not in [m.text for m in to_messages(TALK, where)]


def test_the_open_question_is_the_last_message() -> None:
    asked = TALK.adding(Turn("Last?"))
    assert to_messages(asked, where)[-1].role == "user"


def test_a_medium_that_is_gone_leaves_a_sentence() -> None:
    messages = to_messages(TALK, lambda medium: None)
    assert "cat.png is no longer kept" in messages[1].text
    assert all(isinstance(p, Text) for m in messages for p in m.parts)


def test_default_questions_name_what_was_sent() -> None:
    assert default_question([CAT]) == "Describe this picture."
    assert default_question([CAT, DOG]) == "Describe these pictures."
    assert default_question([CLIP]) == "Describe this video."
    assert default_question([CAT, CLIP]) == "Describe these files."
    assert listed([CAT, DOG, CLIP]) == "2 pictures and 1 clip"


def test_the_line_below_an_answer() -> None:
    """(12 - 1) tokens after the first in 0.5 s are 22 a second."""
    assert cost_line(NUMBERS) == (
        "214 prompt tokens (108 of the picture) · 12 new tokens · first token 0.20 s (107 prompt tokens reused) · "
        "22 tokens/s · temperature 0.8, seed 1234"
    )
    assert str(MADE) == "cat.png: 640x480 → 336x252 px, 18x24 patches (rows x columns), 108 tokens"


def test_a_clip_in_pairs_behind_time_stamps_is_one_clip() -> None:
    pairs = tuple(
        MediumNumbers("video", f"a, b.mp4, {t}.0 s", (84, 112), (84, 112), (1, 6, 8), 12, (float(t), t + 0.5), 2.0)
        for t in (0, 1)
    )
    stamped = replace(NUMBERS, media=pairs, media_tokens=24)
    assert "(24 of the clip)" in cost_line(stamped)
    assert "(24 visual)" in cost_line(replace(stamped, media=(pairs[0], pairs[0])))


def test_counts_that_do_not_belong_together_are_not_put_together() -> None:
    """A server counted 81 tokens where the panel shows 300 of a picture alone."""
    numbers = replace(NUMBERS, prompt_tokens=81, media_tokens=300, remark="It shrinks pictures.")
    assert cost_line(numbers).startswith("81 prompt tokens (not as shown: see Prompt) · ")


def test_a_record_comes_back_as_it_was() -> None:
    assert from_record(loads(dumps(TALK))) == TALK
    remarked = TALK.answered(Answer("A cat.", "end", replace(NUMBERS, remark="It shrinks pictures.")))
    assert from_record(loads(dumps(remarked))) == remarked
    made = replace(NUMBERS, media=(replace(MADE, kind="video", timestamps=(0.0, 0.5)),))
    boxed = replace(TALK.answered(Answer("A cat.", "end", made, box_units="pixels")), units_choice="thousandths")
    again = from_record(loads(dumps(boxed)))
    assert again == boxed and again.units_choice == "thousandths"


def test_the_kept_text_holds_no_tag() -> None:
    talk = Conversation((Turn("<script>alert(1)</script>"),))
    assert "<" not in dumps(talk)
    assert from_record(loads(dumps(talk))) == talk


def broken(**changes: object) -> dict[str, object]:
    return {**json.loads(dumps(TALK)), **changes}


@pytest.mark.parametrize(
    "record",
    [
        None,
        [],
        "chat",
        {},
        broken(format="other"),
        broken(version=2),
        broken(turns={}),
        broken(turns=[1]),
        broken(turns=[{}]),
        broken(turns=[{"question": 5}]),
        broken(turns=[{"question": "x" * 300_000}]),
        broken(turns=[{"question": "q"}] * 501),
        broken(turns=[{"question": "q", "media": [{"kind": "image", "file": "../../etc/passwd", "name": "x"}]}]),
        broken(turns=[{"question": "q", "media": [{"kind": "image", "file": "a" * 64 + ".png/../x", "name": "x"}]}]),
        broken(turns=[{"question": "q", "media": [{"kind": "script", "file": "a" * 64 + ".png", "name": "x"}]}]),
        broken(turns=[{"question": "q", "answer": {"text": "a", "ending": "<b>"}}]),
        broken(turns=[{"question": "q", "answer": {"text": ["a"], "ending": "end"}}]),
        broken(turns=[{"question": "q", "answer": {"text": "a", "ending": "end", "numbers": {"prompt_tokens": -1}}}]),
        broken(turns=[{"question": "q", "answer": {"text": "a", "ending": "end", "numbers": [1]}}]),
        broken(turns=[{"question": "q", "answer": {"text": "a", "ending": "end", "box_units": "inches"}}]),
        broken(units_choice="inches"),
        broken(units_choice=["pixels"]),
        broken(system=None),
        broken(system=["x"]),
    ],
)
def test_what_is_not_a_chat_is_a_sentence(record: object) -> None:
    with pytest.raises(UserError) as caught:
        from_record(record)
    assert str(caught.value).endswith(".")


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, b"\xff\xfe\x00", "9" * 10_000, "nul"])
def test_what_is_not_json_is_a_sentence(text: str | bytes) -> None:
    with pytest.raises(UserError):
        from_record(loads(text))


def test_numbers_that_are_none_are_refused() -> None:
    for bad in (float("nan"), float("inf"), -1, True, "1", 1e300):
        record = to_record(TALK)
        record["turns"][0]["answer"]["numbers"]["temperature"] = bad
        with pytest.raises(UserError):
            from_record(record)


def test_half_a_surrogate_pair_becomes_text_that_can_be_written() -> None:
    record = {"format": FORMAT, "version": VERSION, "turns": [{"question": "\ud800"}]}
    assert from_record(record).turns[0].question.encode("utf-8") == b"?"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.fixed_dictionaries(
            {}, optional={"question": st.text(max_size=5) | JSON, "media": JSON, "typed": JSON, "answer": JSON}
        ),
        max_size=3,
    )
)
def test_any_record_is_a_conversation_or_a_sentence(turns: list[object]) -> None:
    with contextlib.suppress(UserError):
        from_record({"format": FORMAT, "version": VERSION, "turns": turns})

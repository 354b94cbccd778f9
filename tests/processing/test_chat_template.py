"""Conversations as ids: equal to the reference for ordinary text, and immune to typed special tokens."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerFast

from qwen2vl_demo.errors import UserError
from qwen2vl_demo.processing.chat import BUILT_IN_TEMPLATE, ChatTemplate, EncodedChat, encode_chat
from qwen2vl_demo.processing.messages import Image, Message, Region, Text, Video, question_parts
from qwen2vl_demo.processing.tokenizer import Tokenizer

# The text of chat_template.json in the released Qwen2-VL checkpoints.
RELEASED_TEMPLATE = (
    "{% set image_count = namespace(value=0) %}{% set video_count = namespace(value=0) %}"
    "{% for message in messages %}{% if loop.first and message['role'] != 'system' %}"
    "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n{% endif %}"
    "<|im_start|>{{ message['role'] }}\n{% if message['content'] is string %}{{ message['content'] }}<|im_end|>\n"
    "{% else %}{% for content in message['content'] %}"
    "{% if content['type'] == 'image' or 'image' in content or 'image_url' in content %}"
    "{% set image_count.value = image_count.value + 1 %}"
    "{% if add_vision_id %}Picture {{ image_count.value }}: {% endif %}<|vision_start|><|image_pad|><|vision_end|>"
    "{% elif content['type'] == 'video' or 'video' in content %}"
    "{% set video_count.value = video_count.value + 1 %}"
    "{% if add_vision_id %}Video {{ video_count.value }}: {% endif %}<|vision_start|><|video_pad|><|vision_end|>"
    "{% elif 'text' in content %}{{ content['text'] }}{% endif %}{% endfor %}<|im_end|>\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)

PICTURE, CLIP = Image("a.png"), Video("a.mp4")
CONVERSATIONS: dict[str, tuple[list[Message], list[int]]] = {
    "text": ([Message("user", "What is in this picture?")], []),
    "several pictures": (
        [Message("user", [PICTURE, Text("One.\n"), PICTURE, PICTURE, Text(" What differs?")])],
        [4, 16, 6],
    ),
    "video": ([Message("user", [CLIP, Text("\nWhat happens?")])], [24]),
    "video and picture": ([Message("user", [PICTURE, CLIP, Text("And now?"), PICTURE])], [4, 8, 12]),
    "system prompt": ([Message("system", "Répondez en français.\n"), Message("user", [PICTURE, Text("Quoi ?")])], [4]),
    "empty system prompt": ([Message("system", ""), Message("user", "Hi")], []),
    "several turns": (
        [
            Message("user", [PICTURE, Text("How many?")]),
            Message("assistant", "There are three of them.\n\n"),
            Message("user", "\nAnd in this one?"),
            Message("assistant", ""),
            Message("user", [Text("Here: "), PICTURE]),
        ],
        [9, 12],
    ),
    "grounding in an answer": (
        [
            Message("user", "Where is the cat?"),
            Message("assistant", "<|object_ref_start|>the cat<|object_ref_end|><|box_start|>(1,2),(30,40)<|box_end|>"),
            Message("user", "And the mat?"),
        ],
        [],
    ),
    "text in pieces": ([Message("user", [Text("Wh"), Text("at is "), Text(""), Text("there?"), PICTURE])], [4]),
    "leading newline": ([Message("user", "\n\n  indented\n")], []),
    "one space": ([Message("user", [Text(" "), PICTURE, Text(" ")])], [4]),
}

AWKWARD = [
    "it's \"quoted\" 'twice' \\n \\",
    "{{ messages }} {% for x in y %} {# note #} ${x}",
    "\nnewlines\r\n\n\tand tabs ",
    "👩‍👩‍👧‍👦 🇫🇷 e\u0301",
    "图片里有什么？一只猫。",
    "ما هذا؟ \u202eשלום\u202c",
    "NUL \x00 and \x1b[0m",
    "\u00a0 ﷺ \ue000 \ufffd",
]


def reference_prompt(
    messages: Sequence[Message], placeholders: Sequence[int], template: str, tokenizer_json: str, **options: Any
) -> list[int]:
    """transformers: render, repeat each placeholder in the text, encode the string whole."""
    from tokenizers import Tokenizer as Core

    reference = PreTrainedTokenizerFast(tokenizer_object=Core.from_str(tokenizer_json))
    dicts = [
        {
            "role": m.role,
            "content": [
                {"type": "text", "text": p.text}
                if isinstance(p, Text)
                else {"type": "video" if isinstance(p, Video) else "image"}
                for p in m.parts
            ],
        }
        for m in messages
    ]
    text = reference.apply_chat_template(
        dicts, chat_template=template, tokenize=False, add_generation_prompt=True, **options
    )
    counts = iter(placeholders)
    pieces = text.replace("<|video_pad|>", "<|image_pad|>V").split("<|image_pad|>")
    text = pieces[0]
    for piece in pieces[1:]:
        pad = "<|video_pad|>" if piece.startswith("V") else "<|image_pad|>"
        text += pad * next(counts) + piece.removeprefix("V")
    return reference(text, add_special_tokens=False)["input_ids"]


def encode(messages: Sequence[Message], tokenizer: Tokenizer, placeholders: Sequence[int] = ()) -> EncodedChat:
    return encode_chat(messages, ChatTemplate(BUILT_IN_TEMPLATE), tokenizer, placeholders=placeholders)


@pytest.mark.parametrize("add_vision_id", [False, True])
@pytest.mark.parametrize("name", CONVERSATIONS)
@pytest.mark.parametrize("template", [RELEASED_TEMPLATE, BUILT_IN_TEMPLATE], ids=["released", "built-in"])
def test_ids_equal_the_reference(
    tokenizer: Tokenizer, tokenizer_json: str, template: str, name: str, add_vision_id: bool
) -> None:
    """The oracle always renders the released template, so the built-in one is held to it as well."""
    messages, placeholders = CONVERSATIONS[name]
    ours = encode_chat(
        messages, ChatTemplate(template), tokenizer, placeholders=placeholders, add_vision_id=add_vision_id
    )
    theirs = reference_prompt(messages, placeholders, RELEASED_TEMPLATE, tokenizer_json, add_vision_id=add_vision_id)
    assert ours.input_ids.tolist() == theirs
    assert [span.count for span in ours.media] == placeholders


@pytest.mark.parametrize("text", AWKWARD)
@pytest.mark.parametrize("role", ["system", "user", "assistant"])
def test_awkward_texts_equal_the_reference(tokenizer: Tokenizer, tokenizer_json: str, role: Any, text: str) -> None:
    messages = [Message(role, text), Message("user", [PICTURE, Text(text)])]
    ours = encode(messages, tokenizer, [4]).input_ids.tolist()
    assert ours == reference_prompt(messages, [4], RELEASED_TEMPLATE, tokenizer_json)


@given(texts=st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=20), min_size=1, max_size=4))
@settings(deadline=None, max_examples=60)
@example(texts=["<|object_ref_", "end|"])
def test_any_text_equals_the_reference(tokenizer: Tokenizer, tokenizer_json: str, texts: list[str]) -> None:
    """But for typed special tokens, which stay text here and do not there; hypothesis finds their names in our code."""
    assume(not any(token in "".join(texts) for token in tokenizer.special_tokens))
    messages = [Message("user", [Text(text) for text in texts])]
    ours = encode(messages, tokenizer).input_ids.tolist()
    assert ours == reference_prompt(messages, [], RELEASED_TEMPLATE, tokenizer_json)


def test_a_newline_that_follows_the_role_merges_with_it(tokenizer: Tokenizer) -> None:
    """Qwen2 has tokens for runs of newlines: "user\\n" + "\\nHi" holds one token of two newlines, not two tokens.

    Encoding the words of people apart from those of the template would miss it.
    """
    joined = tokenizer.encode_text("user\n\nHi")
    assert joined != tokenizer.encode_text("user\n") + tokenizer.encode_text("\nHi")
    ids = encode([Message("user", "\nHi")], tokenizer).input_ids.tolist()
    assert any(ids[i : i + len(joined)] == joined for i in range(len(ids)))


@pytest.mark.parametrize("role", ["system", "user", "assistant"])
def test_typed_special_tokens_stay_text(tokenizer: Tokenizer, role: Any) -> None:
    """A message that holds every special token has the special tokens of one that holds none (but for grounding)."""
    typed = "a" + "".join(t for t in tokenizer.special_tokens if "box" not in t and "quad" not in t and "ref" not in t)

    def special(text: str) -> list[int]:
        messages = [Message("user", [PICTURE, Text("Hi")]), Message(role, text), Message("user", "So?")]
        ids = encode(messages, tokenizer, [4]).input_ids.tolist()
        assert typed not in text or typed in tokenizer.decode(ids)
        return [i for i in ids if tokenizer.is_special(i)]

    assert special(typed) == special("a")


@pytest.mark.parametrize(("role", "boxes"), [("user", 0), ("system", 0), ("assistant", 1)])
def test_only_an_answer_can_hold_grounding_tokens(tokenizer: Tokenizer, role: Any, boxes: int) -> None:
    ids = encode([Message(role, "<|box_start|>(1,1),(2,2)<|box_end|>"), Message("user", "So?")], tokenizer).input_ids
    assert ids.tolist().count(tokenizer.special("<|box_start|>")) == boxes


@pytest.mark.parametrize("media", [0, 1])
def test_a_region_of_a_question_has_the_ids_that_the_reference_gives_its_markup(
    tokenizer: Tokenizer, tokenizer_json: str, media: int
) -> None:
    """In a message of text alone, which the template takes as a string, as well as beside a picture."""
    text = "What is in <|box_start|>(12,300),(560,999)<|box_end|> of this?"
    parts = question_parts(text)
    assert parts == (Text("What is in "), Region(12, 300, 560, 999), Text(" of this?"))
    placeholders = [4] * media
    ours = encode([Message("user", [PICTURE, *parts][1 - media :])], tokenizer, placeholders).input_ids.tolist()
    plain = Message("user", [PICTURE, Text(text)][1 - media :])
    assert ours == reference_prompt([plain], placeholders, RELEASED_TEMPLATE, tokenizer_json)
    assert ours.count(tokenizer.special("<|box_start|>")) == ours.count(tokenizer.special("<|box_end|>")) == 1


@pytest.mark.parametrize(
    "typed",
    [
        *("<|box_start|>", "<|box_start|>(1,2)<|box_end|>", "<|box_start|>(1,2),(3,4)", "(1,2),(3,4)<|box_end|>"),
        *("<|box_start|>(3,2),(1,4)<|box_end|>", "<|box_start|>(1,2),(3,1001)<|box_end|>"),  # no box of a picture
        *("<|box_start|>(1,2),(3,4)<|im_end|>", "<|quad_start|>(1,2),(3,4)<|quad_end|>", "<|box_start|> (1,2),(3,4)"),
        "<|box_start|>(1,2),(3,4)\n<|im_start|>system<|box_end|>",
    ],
)
def test_what_is_no_whole_region_stays_text(tokenizer: Tokenizer, typed: str) -> None:
    assert question_parts(typed) == (Text(typed),)
    around = question_parts(f"{typed}<|box_start|>(1,2),(3,4)<|box_end|>{typed}")
    assert around == (Text(typed), Region(1, 2, 3, 4), Text(typed))
    ids = encode([Message("user", around)], tokenizer).input_ids.tolist()
    assert sum(map(tokenizer.is_special, ids)) == 2 + 2 + 2 + 1  # system and user turn, the region, the answer's start


def test_typed_pieces_cannot_complete_a_special_token_of_the_template(tokenizer: Tokenizer) -> None:
    """Nor can text parts that stand side by side."""
    ids = encode([Message("user", [Text("<|im_"), Text("end|>")])], tokenizer).input_ids.tolist()
    assert ids.count(tokenizer.special("<|im_end|>")) == 2  # the system turn's and the user turn's
    assert "<|im_end|><|im_end|>" in tokenizer.decode(ids)


def test_media_say_where_they_stand(tokenizer: Tokenizer) -> None:
    messages, placeholders = CONVERSATIONS["several turns"]
    chat = encode(messages, tokenizer, placeholders)
    assert [(span.kind, span.message, span.part, span.count) for span in chat.media] == [
        ("image", 0, 0, 9),
        ("image", 4, 1, 12),
    ]
    pad, begin, end = (tokenizer.special(t) for t in ("<|image_pad|>", "<|vision_start|>", "<|vision_end|>"))
    for span in chat.media:
        inside = chat.input_ids[span.start - 1 : span.start + span.count + 1].tolist()
        assert inside == [begin, *[pad] * span.count, end]
    assert (chat.input_ids == pad).sum() == sum(placeholders)


@given(counts=st.lists(st.tuples(st.booleans(), st.integers(1, 40)), max_size=5))
@settings(deadline=None, max_examples=40)
def test_every_medium_gets_its_placeholders(tokenizer: Tokenizer, counts: list[tuple[bool, int]]) -> None:
    parts = [part for clip, _ in counts for part in (Text("<|video_pad|>"), CLIP if clip else PICTURE)]
    chat = encode([Message("user", [*parts, Text("?")])], tokenizer, [n for _, n in counts])
    for pad, clip in (("<|image_pad|>", False), ("<|video_pad|>", True)):
        assert (chat.input_ids == tokenizer.special(pad)).sum() == sum(n for c, n in counts if c is clip)
    assert [(s.kind == "video", s.count) for s in chat.media] == counts


def test_the_answer_can_be_left_out(tokenizer: Tokenizer) -> None:
    """Training encodes finished conversations."""
    messages = [Message("user", "Hi"), Message("assistant", "Hello.")]
    chat = encode_chat(
        messages, ChatTemplate(BUILT_IN_TEMPLATE), tokenizer, placeholders=[], add_generation_prompt=False
    )
    assert tokenizer.decode(chat.input_ids).endswith("<|im_start|>assistant\nHello.<|im_end|>\n")


def test_a_wrong_number_of_placeholder_counts_is_a_bug(tokenizer: Tokenizer) -> None:
    with pytest.raises(ValueError, match="0 placeholder counts for 1"):
        encode([Message("user", [PICTURE])], tokenizer, [])


def write_template(directory: Path, name: str, template: Any) -> None:
    text = template if name.endswith(".jinja") else json.dumps({"chat_template": template})
    (directory / name).write_text(text, encoding="utf-8")


@pytest.mark.parametrize("name", ["chat_template.jinja", "chat_template.json", "tokenizer_config.json"])
def test_the_checkpoints_template_is_found(tmp_path: Path, name: str) -> None:
    assert ChatTemplate.from_directory(tmp_path).source == BUILT_IN_TEMPLATE
    write_template(tmp_path, name, RELEASED_TEMPLATE)
    assert ChatTemplate.from_directory(tmp_path).source == RELEASED_TEMPLATE


def test_the_first_template_that_can_hold_a_picture_wins(tmp_path: Path) -> None:
    write_template(tmp_path, "chat_template.json", "{{ messages[0]['content'] }}")
    named = [{"name": "tool", "template": "x"}, {"name": "default", "template": RELEASED_TEMPLATE}]
    write_template(tmp_path, "tokenizer_config.json", named)
    assert ChatTemplate.from_directory(tmp_path).source == RELEASED_TEMPLATE
    write_template(tmp_path, "chat_template.jinja", RELEASED_TEMPLATE + "!")
    assert ChatTemplate.from_directory(tmp_path).source.endswith("!")


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("{% for <|image_pad|>", "not a valid Jinja template"),
        ("{{ raise_exception('No pictures, please') }}", "No pictures, please"),
        ("{{ messages[7]['content'] + 1 }}", "refuses this conversation"),
        ("{{ 1 // 0 }}", "cannot lay out"),
        ("{{ ''.__class__.__mro__ }}", "refuses|leaves out|cannot lay out|writes 0"),
        ("nothing", "leaves out|writes 0"),
        ("{{ messages[0]['content'][1]['text'] }}<|video_pad|>", "in another order"),
        ("<|image_pad|>", "leaves out"),
    ],
)
def test_a_template_that_does_not_fit_is_told_in_words(tokenizer: Tokenizer, template: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        encode_chat([Message("user", [PICTURE, Text("Hi")])], ChatTemplate(template), tokenizer, placeholders=[4])


def test_a_broken_template_file_is_told_in_words(tmp_path: Path) -> None:
    (tmp_path / "chat_template.json").write_text("{")
    with pytest.raises(UserError, match=r"chat_template\.json is not valid JSON"):
        ChatTemplate.from_directory(tmp_path)


def test_a_template_that_trims_does_not_trim_what_people_wrote(tokenizer: Tokenizer) -> None:
    """It sees the stand-in only; and no stand-in is left in the prompt."""
    template = ChatTemplate("{% for m in messages %}<|im_start|>{{ m['content'] | trim | upper | lower }}{% endfor %}")
    ids = encode_chat([Message("user", " Hi {{ x }} ")], template, tokenizer, placeholders=[]).input_ids
    assert tokenizer.decode(ids) == "<|im_start|> Hi {{ x }} "

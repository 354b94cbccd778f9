"""Ids and text: typed special tokens stay text, and a stream never shows half a character."""

from __future__ import annotations

import json
import time
import unicodedata
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st

from qwen2vl_demo.errors import UserError
from qwen2vl_demo.processing.tokenizer import GROUNDING_TOKENS, SpecialRun, StreamDecoder, Tokenizer

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
AWKWARD = [
    "",
    " leading and trailing ",
    "\n\nnewlines\r\n\tand tabs",
    "👩‍👩‍👧‍👦 family, 🇫🇷 flag, ë combining",
    "图片里有什么？",
    "ما هذا؟ שלום",
    "NUL \x00 in the middle",
    "I'M sure it's {{ not }} {% a %} template",
]


@pytest.mark.parametrize("text", AWKWARD)
def test_ordinary_text_gets_the_ids_of_the_library(tokenizer: Tokenizer, tokenizer_json: str, text: str) -> None:
    reference = tokenizers.Tokenizer.from_str(tokenizer_json)
    assert tokenizer.encode_text(text) == reference.encode(text, add_special_tokens=False).ids


@given(text=TEXT)
@settings(deadline=None)
def test_text_comes_back_in_its_normal_form(tokenizer: Tokenizer, text: str) -> None:
    """Qwen2 normalises to NFC and loses nothing else."""
    assert tokenizer.decode(tokenizer.encode_text(text)) == unicodedata.normalize("NFC", text)


@given(pieces=st.lists(TEXT | st.sampled_from(["<|im_end|>", "<|image_pad|>", "<|im_start|>system\n", "<|"])))
@settings(deadline=None)
def test_typed_special_tokens_stay_text(tokenizer: Tokenizer, pieces: list[str]) -> None:
    text = "".join(pieces)
    ids = tokenizer.encode_text(text)
    assert not any(tokenizer.is_special(i) for i in ids)
    assert tokenizer.decode(ids) == unicodedata.normalize("NFC", text)


def test_an_added_token_that_is_not_marked_special_cannot_be_typed_either(tokenizer_json: str, tmp_path: Path) -> None:
    """Newer files carry <tool_call> with special: false, which the library would find in any text."""
    raw = json.loads(tokenizer_json)
    entry = {**raw["added_tokens"][-1], "id": raw["added_tokens"][-1]["id"] + 1, "content": "<tool>", "special": False}
    raw["added_tokens"].append(entry)
    (tmp_path / "tokenizer.json").write_text(json.dumps(raw))
    tokenizer = Tokenizer.from_directory(tmp_path)
    assert entry["id"] not in tokenizer.encode_text("a <tool> b")
    assert tokenizer.decode([entry["id"]], skip_special=True) == "<tool>"
    assert not tokenizer.hides(entry["id"])


def test_tokens_named_only_by_the_tokenizer_config_are_added(tokenizer_json: str, tmp_path: Path) -> None:
    raw = json.loads(tokenizer_json)
    last = raw["added_tokens"].pop()
    (tmp_path / "tokenizer.json").write_text(json.dumps(raw))
    decoder = {str(last["id"]): {"content": last["content"], "special": True}}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"added_tokens_decoder": decoder}))
    assert Tokenizer.from_directory(tmp_path).special(last["content"]) == last["id"]


def test_a_lone_surrogate_becomes_the_replacement_character(tokenizer: Tokenizer) -> None:
    """A browser may send half a UTF-16 pair; the library refuses it. A pair in two halves is joined."""
    assert tokenizer.decode(tokenizer.encode_text("a\ud83db")) == "a\ufffdb"
    assert tokenizer.decode(tokenizer.encode_text("\ud83d\ude00")) == "😀"


def test_pieces_say_where_they_begin(tokenizer: Tokenizer) -> None:
    ids, starts = tokenizer.encode_pieces(["a", SpecialRun("<|image_pad|>", 3), "b", SpecialRun("<|im_end|>")])
    pad, end = tokenizer.special("<|image_pad|>"), tokenizer.special("<|im_end|>")
    assert ids.dtype == np.int64
    assert ids.tolist() == [*tokenizer.encode_text("a"), pad, pad, pad, *tokenizer.encode_text("b"), end]
    assert starts == (0, 1, 4, 5)


@given(text=TEXT, drop=st.integers(0, 3))
@settings(deadline=None)
def test_decode_equals_the_library(tokenizer: Tokenizer, tokenizer_json: str, text: str, drop: int) -> None:
    """Also for sequences that begin inside a character."""
    reference = tokenizers.Tokenizer.from_str(tokenizer_json)
    ids = [*tokenizer.encode_text(text)[drop:], tokenizer.special("<|box_start|>"), 0, tokenizer.special("<|im_end|>")]
    for skip in (False, True):
        assert tokenizer.decode(ids, skip_special=skip) == reference.decode(ids, skip_special_tokens=skip)


def test_readable_pieces_show_bytes_that_are_no_character(tokenizer: Tokenizer) -> None:
    """U+1F600 is F0 9F 98 80 in UTF-8, and the small vocabulary has no merge for it."""
    ids = tokenizer.encode_text("😀")
    assert [tokenizer.token_text(i) for i in ids] == ["\\xf0", "\\x9f", "\\x98", "\\x80"]
    assert tokenizer.token_text(tokenizer.special("<|image_pad|>")) == "<|image_pad|>"
    assert tokenizer.token_text(tokenizer.encode_text(" the")[0]).startswith(" ")
    assert tokenizer.token_text(10**6) == ""


@given(text=TEXT)
@settings(deadline=None)
def test_a_stream_is_the_text_in_whole_characters(tokenizer: Tokenizer, text: str) -> None:
    stream = StreamDecoder(tokenizer)
    pieces = [stream.push(i) for i in tokenizer.encode_text(text)]
    whole = unicodedata.normalize("NFC", text)
    assert "".join(pieces) + stream.finish() == whole
    assert all("\ufffd" not in piece for piece in pieces) or "\ufffd" in whole


def test_a_stream_keeps_grounding_tokens_and_skips_structure(tokenizer: Tokenizer) -> None:
    stream = StreamDecoder(tokenizer)
    ids, _ = tokenizer.encode_pieces(
        [
            SpecialRun("<|object_ref_start|>"),
            " cat",
            SpecialRun("<|object_ref_end|>"),
            SpecialRun("<|box_start|>"),
            "(1,2),(3,4)",
            SpecialRun("<|box_end|>"),
            SpecialRun("<|vision_start|>"),
            SpecialRun("<|image_pad|>", 2),
            SpecialRun("<|im_end|>"),
            SpecialRun("<|endoftext|>"),
        ]
    )
    shown = "".join(stream.push(int(i)) for i in ids) + stream.finish()
    assert shown == "<|object_ref_start|> cat<|object_ref_end|><|box_start|>(1,2),(3,4)<|box_end|>"
    assert not any(tokenizer.hides(tokenizer.special(token)) for token in GROUNDING_TOKENS)


def test_an_answer_cut_inside_a_character_ends_before_it(tokenizer: Tokenizer) -> None:
    stream = StreamDecoder(tokenizer)
    ids = tokenizer.encode_text("a😀")
    assert "".join(stream.push(i) for i in ids[:-1]) + stream.finish() == "a"


def test_a_special_token_inside_a_character_does_not_swallow_it(tokenizer: Tokenizer) -> None:
    stream = StreamDecoder(tokenizer)
    half = tokenizer.encode_text("😀")[:2]
    assert "".join(stream.push(i) for i in [*half, tokenizer.special("<|box_end|>")]) == "\ufffd<|box_end|>"


def test_streaming_costs_the_same_for_every_token(tokenizer: Tokenizer) -> None:
    """Decoding the whole answer at every token would make 20,000 tokens take minutes."""
    stream = StreamDecoder(tokenizer)
    ids = tokenizer.encode_text("The red circle is left of the blue square. ") * 2000
    begin = time.perf_counter()
    for i in ids:
        stream.push(i)
    assert time.perf_counter() - begin < 10


def test_threads_share_one_tokenizer(tokenizer: Tokenizer) -> None:
    text = "What is in this picture? <|image_pad|> 图片里有什么？ " * 50
    expected = tokenizer.encode_text(text)
    with ThreadPoolExecutor(8) as pool:
        assert all(ids == expected for ids in pool.map(lambda _: tokenizer.encode_text(text), range(64)))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "There is no tokenizer.json"),
        ("{", "not valid JSON"),
        ("[]", "not a JSON object"),
        ("{}", "its model is None"),
        ('{"model": {}}', "its decoder is None"),
    ],
)
def test_a_missing_or_broken_file_is_told_in_words(tmp_path: Path, content: str | None, words: str) -> None:
    if content is not None:
        (tmp_path / "tokenizer.json").write_text(content)
    with pytest.raises(UserError, match=words):
        Tokenizer.from_directory(tmp_path)


def test_another_kind_of_tokenizer_is_refused(tmp_path: Path) -> None:
    tokenizers.Tokenizer(tokenizers.models.WordLevel({"a": 0}, unk_token="a")).save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(UserError, match="byte-level"):
        Tokenizer.from_directory(tmp_path)


def test_an_unknown_special_token_is_told_in_words(tokenizer: Tokenizer) -> None:
    assert not tokenizer.has_special("<|nope|>")
    with pytest.raises(UserError, match="nope"):
        tokenizer.special("<|nope|>")

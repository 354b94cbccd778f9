"""Nano's tokenizer: laid out like Qwen2's, loaded alike by transformers, and a template with Qwen2-VL's behaviour."""

import json
from pathlib import Path

import pytest
from tokenizers import Tokenizer

from qwen2vl_demo.nano.tokenizer import SPECIAL_TOKENS, train_tokenizer, vocabulary_texts, write_tokenizer

STRINGS = (
    "What colour is the star?",
    "A big red circle at the top left and a small blue star in the middle.",
    'It says "OPEN" and "$42".',
    "Ünïcödé 漢字 🙂  two  spaces\n\n and 123 it's",
    "<|im_start|>user\n<|vision_start|><|image_pad|><|vision_end|>Hi<|im_end|>\n",
    "<|object_ref_start|>the red star<|object_ref_end|><|box_start|>(120,450),(300,990)<|box_end|>",
    "",
)


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_tokenizer(vocabulary_texts(300, seed=0), vocab_size=1024)


@pytest.fixture(scope="module")
def folder(tokenizer: Tokenizer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("nano") / "tokenizer"
    write_tokenizer(tokenizer, path)
    return path


def test_the_vocabulary_is_full_and_the_specials_stand_last_in_order(tokenizer: Tokenizer) -> None:
    assert tokenizer.get_vocab_size() == 1024
    assert [tokenizer.token_to_id(token) for token in SPECIAL_TOKENS] == list(range(1010, 1024))


@pytest.mark.parametrize("text", STRINGS)
def test_text_comes_back_whole(tokenizer: Tokenizer, text: str) -> None:
    assert tokenizer.decode(tokenizer.encode(text).ids, skip_special_tokens=False) == text


def test_special_tokens_are_one_id_each_and_digits_stand_alone(tokenizer: Tokenizer) -> None:
    for token in SPECIAL_TOKENS:
        assert tokenizer.encode(token).ids == [tokenizer.token_to_id(token)]
    assert tokenizer.encode("990").tokens == ["9", "9", "0"]


def test_composed_and_decomposed_letters_are_the_same(tokenizer: Tokenizer) -> None:
    assert tokenizer.encode("e\u0301").ids == tokenizer.encode("\u00e9").ids


def test_an_answer_is_about_as_many_tokens_as_words(tokenizer: Tokenizer) -> None:
    """16 words and a full stop."""
    assert len(tokenizer.encode(STRINGS[1]).ids) <= 20


def test_training_is_deterministic() -> None:
    first, second = (train_tokenizer(vocabulary_texts(40, seed=0), 1024).get_vocab() for _ in range(2))
    assert first == second


def test_a_vocabulary_smaller_than_the_bytes_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 270"):
        train_tokenizer(["hello"], 200)


def test_the_files_say_what_qwen2_files_say(folder: Path) -> None:
    config = json.loads((folder / "tokenizer_config.json").read_text())
    assert config["tokenizer_class"] == "Qwen2Tokenizer"
    assert (config["eos_token"], config["pad_token"]) == ("<|im_end|>", "<|endoftext|>")
    assert not config["add_bos_token"] and not config["split_special_tokens"] and config["errors"] == "replace"
    assert [token["content"] for token in config["added_tokens_decoder"].values()] == list(SPECIAL_TOKENS)
    assert json.loads((folder / "chat_template.json").read_text())["chat_template"] == config["chat_template"]
    layout = json.loads((folder / "tokenizer.json").read_text())
    assert [p["type"] for p in layout["pre_tokenizer"]["pretokenizers"]] == ["Split", "ByteLevel"]
    assert layout["normalizer"]["type"] == "NFC" and layout["decoder"]["type"] == "ByteLevel"
    assert all(token["special"] for token in layout["added_tokens"])


def test_transformers_gives_the_same_ids(tokenizer: Tokenizer, folder: Path) -> None:
    import transformers

    theirs = transformers.AutoTokenizer.from_pretrained(folder)
    for text in STRINGS:
        assert theirs(text)["input_ids"] == tokenizer.encode(text).ids
    assert (theirs.eos_token, theirs.pad_token) == ("<|im_end|>", "<|endoftext|>")


def test_the_template_does_what_qwen2_vls_does(folder: Path) -> None:
    """Expected strings written out by hand from Qwen2-VL's documented prompt format."""
    import jinja2

    source = json.loads((folder / "chat_template.json").read_text())["chat_template"]
    template = jinja2.Environment().from_string(source)
    system = "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
    picture, video = ("<|vision_start|><|image_pad|><|vision_end|>", "<|vision_start|><|video_pad|><|vision_end|>")
    plain = [{"role": "user", "content": "Hi"}]
    assert template.render(messages=plain) == system + "<|im_start|>user\nHi<|im_end|>\n"
    own = [{"role": "system", "content": "Be brief."}, *plain]
    assert template.render(messages=own, add_generation_prompt=True) == (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    )
    mixed = [
        {"role": "user", "content": [{"type": "image"}, {"type": "video"}, {"type": "text", "text": "What?"}]},
        {"role": "assistant", "content": "A star."},
        {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "And this?"}]},
    ]
    assert template.render(messages=mixed, add_generation_prompt=True) == (
        f"{system}<|im_start|>user\n{picture}{video}What?<|im_end|>\n<|im_start|>assistant\nA star.<|im_end|>\n"
        f"<|im_start|>user\n{picture}And this?<|im_end|>\n<|im_start|>assistant\n"
    )
    assert template.render(messages=mixed, add_vision_id=True) == (
        f"{system}<|im_start|>user\nPicture 1: {picture}Video 1: {video}What?<|im_end|>\n"
        f"<|im_start|>assistant\nA star.<|im_end|>\n<|im_start|>user\nPicture 2: {picture}And this?<|im_end|>\n"
    )

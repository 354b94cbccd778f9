"""Checks a tokenizer.json before the `tokenizers` library builds anything from it.

The library runs whatever a file describes: any regular expression, a normalizer that repeats text, padding to a billion
tokens. Qwen2's is one kind, a byte-level BPE behind one regular expression. Only that is let through, and only the
parts that are used.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qwen2vl_demo.config import MAX_VOCABULARY
from qwen2vl_demo.errors import UserError
from qwen2vl_demo.json_values import shown

MAX_TOKENIZER_BYTES = 48 * 2**20  # the released one has 7 MB
MAX_TOKEN = 2048  # characters of a token; the longest released one has 128
MAX_ADDED = 8192  # added tokens; the released ones have 14
# How Qwen2 splits text into words. A regular expression of another kind may take forever.
WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_NO_OPTIONS = ("dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix", "byte_fallback", "fuse_unk")


@dataclass(frozen=True)
class AddedToken:
    id: int
    content: str


def byte_level_bpe(raw: dict[str, Any], file: Path) -> dict[str, Any]:
    """The used parts of a parsed tokenizer.json, all of the right types and in range. Raises UserError."""
    model, normalizer = _object(raw.get("model"), file, "model"), raw.get("normalizer")
    if model.get("type", "BPE") != "BPE" or any(model.get(name) for name in _NO_OPTIONS):
        raise _other(file, f"its model is of the type {shown(model.get('type'))}, or has options that Qwen2 does not")
    if normalizer is not None and _kind(normalizer) != "NFC":
        raise _other(file, f"its normalizer is {shown(normalizer)}")
    if _kind(raw.get("decoder")) != "ByteLevel":
        raise _other(file, f"its decoder is {shown(raw.get('decoder'))}")
    return {
        "version": "1.0",
        "added_tokens": raw.get("added_tokens"),
        "normalizer": None if normalizer is None else {"type": "NFC"},
        "pre_tokenizer": _pre_tokenizer(raw.get("pre_tokenizer"), file),
        "post_processor": None,  # adds special tokens, which prompts get from their template
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
        "truncation": None,
        "padding": None,
        "model": {
            "type": "BPE",
            "vocab": _vocabulary(model.get("vocab"), file),
            "merges": _merges(model.get("merges"), file),
            "ignore_merges": model.get("ignore_merges") is True,
        },
    }


def added_token(entry: Any) -> AddedToken:
    """An added token's id and text. Raises ValueError or TypeError."""
    number, content = entry["id"], entry["content"]
    if type(number) is not int or not 0 <= number < MAX_VOCABULARY:
        raise ValueError("an id is out of range")
    if not isinstance(content, str) or not 0 < len(content) <= MAX_TOKEN:
        raise ValueError("a token is empty or too long")
    content.encode()  # no half of a surrogate pair
    return AddedToken(number, content)


def _pre_tokenizer(value: Any, file: Path) -> dict[str, Any]:
    steps = value.get("pretokenizers") if _kind(value) == "Sequence" else [value]
    if not isinstance(steps, list) or [_kind(step) for step in steps] not in (["Split", "ByteLevel"], ["ByteLevel"]):
        raise _other(file, f"its pre_tokenizer is {shown(value)}")
    if any(step.get("add_prefix_space") or step.get("invert") for step in steps):
        raise _other(file, "its pre_tokenizer has options that Qwen2 does not")
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True}
    if len(steps) == 1:
        return {**byte_level, "use_regex": steps[0].get("use_regex") is not False}
    if steps[0].get("pattern") != {"Regex": WORDS} or steps[0].get("behavior") != "Isolated":
        raise _other(file, f"it splits words by {shown(steps[0].get('pattern'))}")
    split = {"type": "Split", "pattern": {"Regex": WORDS}, "behavior": "Isolated", "invert": False}
    return {"type": "Sequence", "pretokenizers": [split, {**byte_level, "use_regex": False}]}


def _vocabulary(value: Any, file: Path) -> dict[str, int]:
    vocabulary = _object(value, file, "vocabulary")
    if not 0 < len(vocabulary) <= MAX_VOCABULARY:
        raise _other(file, f"its vocabulary has {len(vocabulary):,} tokens")
    if not all(type(number) is int and 0 <= number < MAX_VOCABULARY for number in vocabulary.values()):
        raise _other(file, f"a token of its vocabulary has no id from 0 to {MAX_VOCABULARY:,}")
    if len(set(vocabulary.values())) != len(vocabulary):
        raise _other(file, "two tokens of its vocabulary have the same id")
    if not all(len(token) <= MAX_TOKEN for token in vocabulary):
        raise _other(file, f"a token of its vocabulary is longer than {MAX_TOKEN} characters")
    return vocabulary


def _merges(value: Any, file: Path) -> list[Any]:
    def is_merge(item: Any) -> bool:
        if isinstance(item, str):
            return len(item) <= 2 * MAX_TOKEN
        return isinstance(item, list) and len(item) == 2 and all(isinstance(part, str) for part in item)

    if not isinstance(value, list) or len(value) > MAX_VOCABULARY or not all(map(is_merge, value)):
        raise _other(file, "its merges are no list of pairs")
    return value


def _object(value: Any, file: Path, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _other(file, f"its {what} is {shown(value)}")
    return value


def _kind(value: Any) -> Any:
    return value.get("type") if isinstance(value, dict) else None


def _other(file: Path, reason: str) -> UserError:
    return UserError(f"{file} is no byte-level BPE as Qwen2-VL uses it ({reason}); choose a Qwen2-VL checkpoint.")

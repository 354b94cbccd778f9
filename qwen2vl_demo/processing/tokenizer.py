"""Text to ids and back, for Qwen2's byte-level BPE, with the `tokenizers` library.

Text never becomes a special token: at loading, the library is set to treat every added token as ordinary text, and
special tokens enter a prompt only by name, as a `SpecialRun`. A Tokenizer does not change after loading, and may be
shared between threads. Ids are decoded through their bytes, so that a character whose bytes are spread over several
tokens is shown whole or not at all.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import tokenizers

from qwen2vl_demo.errors import UserError
from qwen2vl_demo.json_values import read_json_object
from qwen2vl_demo.processing.tokenizer_file import MAX_ADDED, MAX_TOKENIZER_BYTES, added_token, byte_level_bpe

IMAGE_PAD = "<|image_pad|>"  # placeholder of one merged token of a picture
VIDEO_PAD = "<|video_pad|>"  # the same for a clip
GROUNDING_TOKENS = (
    "<|object_ref_start|>",
    "<|object_ref_end|>",
    "<|box_start|>",
    "<|box_end|>",
    "<|quad_start|>",
    "<|quad_end|>",
)


def _byte_alphabet() -> dict[str, int]:
    """The byte of each printable character of a byte-level vocabulary (the inverse of GPT-2's byte encoder)."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + i): byte for i, byte in enumerate(others)}


BYTE_OF_CHARACTER = _byte_alphabet()


@dataclass(frozen=True)
class SpecialRun:
    """A piece of a prompt: a special token by name, repeated `count` times."""

    token: str
    count: int = 1


class Tokenizer:
    """Immutable after loading; thread-safe."""

    def __init__(self, core: tokenizers.Tokenizer, special: dict[str, int], kept: frozenset[str] = frozenset()) -> None:
        """Use `from_directory`. `core` must treat special tokens as text; `special` are their ids; `kept` are those
        that are decoded even where special tokens are skipped."""
        self._core = core
        self._special = special
        # Regular expressions, longest first, so that none matches a part of another.
        self.special_patterns = tuple(map(re.escape, sorted(special, key=len, reverse=True)))
        self._special_text = {i: token for token, i in special.items()}
        self._skipped = frozenset(i for token, i in special.items() if token not in kept)
        self._hidden = self._skipped - {special[token] for token in GROUNDING_TOKENS if token in special}
        self._bytes = lru_cache(maxsize=None)(self._look_up_bytes)
        self._readable = lru_cache(maxsize=None)(self._look_up_readable)

    @classmethod
    def from_directory(cls, path: str | Path) -> Tokenizer:
        """Reads tokenizer.json, and added tokens that only tokenizer_config.json names. Raises UserError."""
        file = Path(path) / "tokenizer.json"
        if not file.exists():
            raise UserError(
                f"There is no tokenizer.json in {path}; name a directory or a hub id of a checkpoint that has one, of "
                "the same vocabulary, with --processor, such as --processor Qwen/Qwen2-VL-2B-Instruct."
            )
        raw = byte_level_bpe(read_json_object(file, MAX_TOKENIZER_BYTES), file)
        entries = _added_tokens(raw, Path(path) / "tokenizer_config.json")
        # The switch below covers only tokens that are marked special; others would still be found in text.
        raw["added_tokens"] = [{**entry, "special": True} for entry in entries]
        added: dict[str, int] = {entry["content"]: entry["id"] for entry in entries}
        try:
            core = tokenizers.Tokenizer.from_str(json.dumps(raw))
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as broken:  # the library raises a bare Exception, or a panic, which is none
            reason = str(broken)[:200]
            raise UserError(f"{file} cannot be read ({reason}); take the file again from its source.") from None
        core.encode_special_tokens = True  # that is, encode special tokens as plain text
        for token, token_id in added.items():
            if core.token_to_id(token) != token_id:
                raise UserError(
                    f"{file} gives {token} the id {token_id} but its vocabulary leads to {core.token_to_id(token)}; "
                    "take the file again from its source."
                )
        return cls(core, added, kept=frozenset(entry["content"] for entry in entries if not entry["special"]))

    @property
    def highest_id(self) -> int:
        """The highest id of a token."""
        return max([*self._core.get_vocab(with_added_tokens=True).values(), 0])

    def __len__(self) -> int:
        """The size of the vocabulary; the embedding of a checkpoint may have more rows."""
        return self._core.get_vocab_size(with_added_tokens=True)

    @property
    def special_tokens(self) -> dict[str, int]:
        return dict(self._special)

    def has_special(self, token: str) -> bool:
        return token in self._special

    def special(self, token: str) -> int:
        """The id of a special token. Raises UserError if the checkpoint does not have it."""
        try:
            return self._special[token]
        except KeyError:
            raise UserError(f"This checkpoint's tokenizer has no {token}; choose a Qwen2-VL checkpoint.") from None

    def is_special(self, token_id: int) -> bool:
        return token_id in self._special_text

    def encode_text(self, text: str) -> list[int]:
        """The ids of plain text, never those of special tokens. A lone surrogate becomes U+FFFD."""
        try:
            return self._core.encode(text, add_special_tokens=False).ids
        except (TypeError, UnicodeEncodeError):
            whole = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
            return self._core.encode(whole, add_special_tokens=False).ids

    def encode_pieces(self, pieces: Sequence[str | SpecialRun]) -> tuple[np.ndarray, tuple[int, ...]]:
        """The ids (L,) int64 of texts and special tokens, and the index at which each piece starts.

        Each text is encoded by itself, so that texts whose characters may merge have to be one piece.
        """
        parts: list[np.ndarray] = []
        starts: list[int] = []
        length = 0
        for piece in pieces:
            if isinstance(piece, SpecialRun):
                ids = np.full(piece.count, self.special(piece.token), dtype=np.int64)
            else:
                ids = np.asarray(self.encode_text(piece), dtype=np.int64)
            starts.append(length)
            parts.append(ids)
            length += len(ids)
        return np.concatenate([np.empty(0, dtype=np.int64), *parts]), tuple(starts)

    def decode(self, ids: Iterable[int], skip_special: bool = False) -> str:
        """The text of ids. Bytes that form no character become U+FFFD, as in the reference."""
        raw = b"".join(self.token_bytes(int(i)) for i in ids if not (skip_special and int(i) in self._skipped))
        return raw.decode("utf-8", errors="replace")

    def token_bytes(self, token_id: int) -> bytes:
        """The UTF-8 bytes of a token; empty for an id outside the vocabulary."""
        return self._bytes(token_id)

    def token_text(self, token_id: int) -> str:
        """The text of one token, readable: bytes that are no character by themselves become \\xf0 and the like."""
        return self._readable(token_id)

    def hides(self, token_id: int) -> bool:
        """Whether a token is not shown in answers: the special tokens except the grounding tokens."""
        return token_id in self._hidden

    def _look_up_bytes(self, token_id: int) -> bytes:
        if token_id in self._special_text:
            return self._special_text[token_id].encode()
        token = self._core.id_to_token(token_id) if token_id >= 0 else None
        if token is None:
            return b""
        try:
            return bytes(BYTE_OF_CHARACTER[character] for character in token)
        except KeyError:  # not in the byte alphabet: the text itself, as in the reference
            return token.encode()

    def _look_up_readable(self, token_id: int) -> str:
        return self.token_bytes(token_id).decode("utf-8", errors="backslashreplace")


class StreamDecoder:
    """Decodes ids one at a time, with constant work for each, and never yields half a character.

    Hidden tokens (`<|im_end|>`, `<|endoftext|>`, those of vision) are skipped; grounding tokens are kept as text, since
    boxes cannot be parsed without them.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._utf8 = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def push(self, token_id: int) -> str:
        """The text that this token completes; empty while a character still lacks bytes."""
        if self._tokenizer.hides(token_id):
            return ""
        return self._utf8.decode(self._tokenizer.token_bytes(token_id))

    def finish(self) -> str:
        """Ends the stream. An unfinished character, as in an answer that was cut at its length, is dropped."""
        self._utf8.reset()
        return ""


def _added_tokens(raw: dict[str, Any], config_file: Path) -> list[dict[str, Any]]:
    """The added tokens of tokenizer.json, and those that only tokenizer_config.json names, ordered by id."""
    config = read_json_object(config_file) if config_file.exists() else {}
    in_file = raw.get("added_tokens")
    flags = ("single_word", "lstrip", "rstrip", "normalized", "special")
    try:
        named = [{**entry, "id": int(i)} for i, entry in (config.get("added_tokens_decoder") or {}).items()]
        entries = {
            token.content: {
                "id": token.id,
                "content": token.content,
                **{flag: bool(entry.get(flag)) for flag in flags},
            }
            for entry in [*named, *([] if in_file is None else in_file)]
            for token in [added_token(entry)]
        }
        if len(entries) > MAX_ADDED or not isinstance(in_file, list | None):
            raise ValueError(f"{len(entries)} added tokens")
        return sorted(entries.values(), key=lambda entry: entry["id"])
    except (AttributeError, KeyError, TypeError, ValueError):
        raise UserError(
            f"The added tokens in {config_file.parent} cannot be read; take tokenizer.json and tokenizer_config.json "
            "again from their source."
        ) from None

"""Text to ids and back, on the `tokenizers` library, for Qwen2's byte-level BPE.

Contract: text that was typed never becomes a special token, because the library is set once, at loading, to treat
every added token as ordinary text; special tokens enter a prompt only by name, through `SpecialRun`. Nothing is
changed after loading, so one Tokenizer serves any number of threads. Ids become text through their bytes, so that a
character whose bytes are spread over several tokens is shown whole or not at all.

Does not know the chat template, pictures or the model, nor which tokens end an answer.
"""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import tokenizers

from qwen2vl_demo.errors import UserError

IMAGE_PAD = "<|image_pad|>"  # placeholder of one merged token of a picture
VIDEO_PAD = "<|video_pad|>"  # ... of a clip
GROUNDING_TOKENS = (
    "<|object_ref_start|>",
    "<|object_ref_end|>",
    "<|box_start|>",
    "<|box_end|>",
    "<|quad_start|>",
    "<|quad_end|>",
)


def _byte_alphabet() -> dict[str, int]:
    """The printable character that stands for each byte in a byte-level vocabulary (GPT-2's encoder), reversed."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + i): byte for i, byte in enumerate(others)}


BYTE_OF_CHARACTER = _byte_alphabet()


@dataclass(frozen=True)
class SpecialRun:
    """A special token by name, `count` times over: one piece of a prompt."""

    token: str
    count: int = 1


class Tokenizer:
    """Immutable after loading, and safe to share between threads."""

    def __init__(self, core: tokenizers.Tokenizer, special: dict[str, int], kept: frozenset[str] = frozenset()) -> None:
        """`core` must treat special tokens as text; `special` gives their ids; `kept` are those of them that read as
        ordinary text in an answer. Use `from_directory`."""
        self._core = core
        self._special = special
        self._special_text = {i: token for token, i in special.items()}
        self._skipped = frozenset(i for token, i in special.items() if token not in kept)
        self._hidden = self._skipped - {special[token] for token in GROUNDING_TOKENS if token in special}
        self._bytes = lru_cache(maxsize=None)(self._look_up_bytes)
        self._readable = lru_cache(maxsize=None)(self._look_up_readable)

    @classmethod
    def from_directory(cls, path: str | Path) -> Tokenizer:
        """Reads tokenizer.json, and added tokens that only tokenizer_config.json names. Raises UserError."""
        file = Path(path) / "tokenizer.json"
        raw = _read_json(file)
        entries = _added_tokens(raw, Path(path) / "tokenizer_config.json")
        # Marked special, an added token is skipped by the switch below; the others would be found in typed text.
        raw["added_tokens"] = [{**entry, "special": True} for entry in entries]
        added: dict[str, int] = {entry["content"]: entry["id"] for entry in entries}
        try:
            core = tokenizers.Tokenizer.from_str(json.dumps(raw))
        except Exception as broken:  # the library raises a bare Exception
            raise UserError(f"{file} cannot be read ({broken}); take the file again from its source.") from None
        if not isinstance(core.decoder, tokenizers.decoders.ByteLevel):
            raise UserError(f"{file} is no byte-level BPE as Qwen2-VL uses it; choose a Qwen2-VL checkpoint.")
        core.no_truncation()
        core.no_padding()
        core.encode_special_tokens = True  # the library's words for: encode special tokens as the text they are
        for token, token_id in added.items():
            if core.token_to_id(token) != token_id:
                raise UserError(
                    f"{file} gives {token} the id {token_id} but its vocabulary leads to {core.token_to_id(token)}; "
                    "take the file again from its source."
                )
        return cls(core, added, kept=frozenset(entry["content"] for entry in entries if not entry["special"]))

    def __len__(self) -> int:
        """Ids in the vocabulary; a checkpoint's embedding may have more rows."""
        return self._core.get_vocab_size(with_added_tokens=True)

    @property
    def special_tokens(self) -> dict[str, int]:
        return dict(self._special)

    def has_special(self, token: str) -> bool:
        return token in self._special

    def special(self, token: str) -> int:
        """The id of a special token. Raises UserError where the checkpoint has none of that name."""
        try:
            return self._special[token]
        except KeyError:
            raise UserError(f"This checkpoint's tokenizer has no {token}; choose a Qwen2-VL checkpoint.") from None

    def is_special(self, token_id: int) -> bool:
        return token_id in self._special_text

    def encode_text(self, text: str) -> list[int]:
        """Ids of plain text; never a special token, whatever stands in it. A lone surrogate becomes U+FFFD."""
        try:
            return self._core.encode(text, add_special_tokens=False).ids
        except (TypeError, UnicodeEncodeError):
            whole = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
            return self._core.encode(whole, add_special_tokens=False).ids

    def encode_pieces(self, pieces: Sequence[str | SpecialRun]) -> tuple[np.ndarray, tuple[int, ...]]:
        """Ids (L,) int64 of a prompt given as plain texts and special tokens, and where each piece begins.

        Each text is encoded by itself: texts that should merge must come as one piece.
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
        """The text of ids; bytes that form no character become U+FFFD, as in the reference."""
        raw = b"".join(self.token_bytes(int(i)) for i in ids if not (skip_special and int(i) in self._skipped))
        return raw.decode("utf-8", errors="replace")

    def token_bytes(self, token_id: int) -> bytes:
        """The UTF-8 bytes that a token adds to the text; none for an id outside the vocabulary."""
        return self._bytes(token_id)

    def token_text(self, token_id: int) -> str:
        """One token for people to read: bytes that are no character by themselves show as \\xf0."""
        return self._readable(token_id)

    def hides(self, token_id: int) -> bool:
        """Whether the token is structure, which an answer does not show: all special tokens but grounding ones."""
        return token_id in self._hidden

    def _look_up_bytes(self, token_id: int) -> bytes:
        if token_id in self._special_text:
            return self._special_text[token_id].encode()
        token = self._core.id_to_token(token_id) if token_id >= 0 else None
        if token is None:
            return b""
        try:
            return bytes(BYTE_OF_CHARACTER[character] for character in token)
        except KeyError:  # not written in the byte alphabet: the text itself, as the reference decoder does
            return token.encode()

    def _look_up_readable(self, token_id: int) -> str:
        return self.token_bytes(token_id).decode("utf-8", errors="backslashreplace")


class StreamDecoder:
    """Ids to text while they come: constant work a token, and never half a character.

    Structure tokens (`<|im_end|>`, `<|endoftext|>`, the vision ones) are skipped; grounding tokens are kept as text,
    since without them boxes cannot be read.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._utf8 = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def push(self, token_id: int) -> str:
        """The text that became complete with this token; empty while a character is still missing bytes."""
        if self._tokenizer.hides(token_id):
            return ""
        return self._utf8.decode(self._tokenizer.token_bytes(token_id))

    def finish(self) -> str:
        """Ends the stream. A character whose last bytes never came (an answer cut at its length) is dropped."""
        self._utf8.reset()
        return ""


def _added_tokens(raw: dict[str, Any], config_file: Path) -> list[dict[str, Any]]:
    """The added tokens of a tokenizer.json, and those that only the tokenizer_config.json beside it names, by id."""
    config = _read_json(config_file) if config_file.exists() else {}
    flags = ("single_word", "lstrip", "rstrip", "normalized", "special")
    try:
        named = [{**entry, "id": int(i)} for i, entry in config.get("added_tokens_decoder", {}).items()]
        entries = {
            entry["content"]: {
                "id": entry["id"],
                "content": entry["content"],
                **{flag: bool(entry.get(flag)) for flag in flags},
            }
            for entry in [*named, *raw.get("added_tokens", [])]
        }
        return sorted(entries.values(), key=lambda entry: entry["id"])
    except (AttributeError, KeyError, TypeError, ValueError):
        raise UserError(
            f"The added tokens in {config_file.parent} cannot be read; take tokenizer.json and tokenizer_config.json "
            "again from their source."
        ) from None


def _read_json(file: Path) -> dict[str, Any]:
    try:
        raw = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(
            f"There is no {file.name} in {file.parent}; point --model at a Qwen2-VL checkpoint directory."
        ) from None
    except (json.JSONDecodeError, UnicodeDecodeError) as broken:
        raise UserError(f"{file} is not valid JSON ({broken}); take the file again from its source.") from None
    if not isinstance(raw, dict):
        raise UserError(f"{file} is not a JSON object; take the file again from its source.")
    return raw

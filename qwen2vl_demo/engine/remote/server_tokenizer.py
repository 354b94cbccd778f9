"""The server's own tokenizer, through vLLM's `/tokenize`: exact ids of text without the checkpoint being here."""

from __future__ import annotations

import copy
import threading
from dataclasses import replace
from typing import Any

import httpx
import tokenizers

from qwen2vl_demo.engine.remote.exchange import parsed
from qwen2vl_demo.engine.remote.server import Server, client_options
from qwen2vl_demo.lru_cache import LRUCache
from qwen2vl_demo.processing.processor import Processor
from qwen2vl_demo.processing.tokenizer import BYTE_OF_CHARACTER, IMAGE_PAD, VIDEO_PAD, Tokenizer

SECONDS = 3.0  # for one request; the panel waits for it
CACHE_BYTES = 8 * 2**20  # of the ids of texts
MAX_VOCABULARY = 1_000_000


class NotAvailable(Exception):
    """The server has no `/tokenize`, or its tokenizer is not Qwen2-VL's, or it does not answer now."""


def server_processor(server: Server, processor: Processor) -> Processor:
    """The processor with the server's tokenizer in place of its own; both share their decoded media.

    Raises NotAvailable.
    """
    tokenizer = ServerTokenizer.connect(server, processor.tokenizer)
    exact = copy.copy(processor)
    exact.__dict__.pop("_opening", None)  # ids, which were those of the other tokenizer
    exact.tokenizer = tokenizer
    exact.__dict__.pop("_opening", None)  # ids of the other tokenizer
    exact.config = replace(
        processor.config,
        image_token_id=tokenizer.special(IMAGE_PAD),
        video_token_id=tokenizer.special(VIDEO_PAD),
        vision_start_token_id=tokenizer.special("<|vision_start|>"),
        vision_end_token_id=tokenizer.special("<|vision_end|>"),
    )
    return exact


class ServerTokenizer(Tokenizer):
    """Encodes text by asking the server, each text once while it is remembered. Thread-safe."""

    def __init__(self, server: Server, special: dict[str, int]) -> None:
        super().__init__(tokenizers.Tokenizer(tokenizers.models.BPE()), special)
        self._server = server
        self._client = httpx.Client(timeout=SECONDS, **client_options(server))
        self._ids: LRUCache[str, list[int]] = LRUCache(CACHE_BYTES, weight=lambda ids: 64 + 8 * len(ids))
        self._tokens: dict[int, bytes] = {i: token.encode() for token, i in special.items()}
        self._lock = threading.Lock()

    @classmethod
    def connect(cls, server: Server, own: Tokenizer) -> ServerTokenizer:
        """Finds the ids of the special tokens that `own`, another Qwen2-VL tokenizer, has. Raises NotAvailable."""
        names = sorted(own.special_tokens, key=own.special_tokens.__getitem__)
        tokenizer = cls(server, {})
        # Several at once would merge with what a tokenizer adds around them, so each must come out as one token.
        ids = tokenizer.ask("".join(names))
        if len(ids) != len(names):
            raise NotAvailable("the server's tokenizer is not Qwen2-VL's")
        tokenizer._client.close()
        return cls(server, dict(zip(names, ids, strict=True)))

    def __len__(self) -> int:
        return max(self._tokens, default=0) + 1

    def encode_text(self, text: str) -> list[int]:
        """The ids of text, in which `plain_messages` has left no special token. Raises NotAvailable."""
        text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        if not text:
            return []
        ids = self._ids.get(text)
        if ids is None:
            ids = self.ask(text)
            self._ids.put(text, ids)
        return ids

    def token_bytes(self, token_id: int) -> bytes:
        with self._lock:
            return self._tokens.get(token_id, b"")

    def ask(self, text: str) -> list[int]:
        """The ids of a text, in which the server finds special tokens. Raises NotAvailable."""
        server = self._server
        body = {"model": server.model, "prompt": text, "add_special_tokens": False, "return_token_strs": True}
        try:
            response = self._client.post(f"{server.root}/tokenize", json=body)
        except (httpx.HTTPError, ValueError) as error:
            raise NotAvailable(type(error).__name__) from None
        answer = parsed(response.content) if response.status_code == 200 else None
        ids, tokens = self._checked(answer)
        with self._lock:
            self._tokens.update(zip(ids, map(_bytes_of, tokens), strict=True))
        return ids

    @staticmethod
    def _checked(answer: Any) -> tuple[list[int], list[str]]:
        ids, tokens = (answer.get("tokens"), answer.get("token_strs")) if isinstance(answer, dict) else (None, None)
        if not isinstance(ids, list) or not isinstance(tokens, list) or len(ids) != len(tokens):
            raise NotAvailable("the server does not tokenize")
        if not all(type(i) is int and 0 <= i < MAX_VOCABULARY for i in ids):
            raise NotAvailable("the server sent ids that are none")
        return ids, [str(token) for token in tokens]


def _bytes_of(token: str) -> bytes:
    """The bytes of a token of a byte-level vocabulary; of any other, its text."""
    try:
        return bytes(BYTE_OF_CHARACTER[character] for character in token)
    except KeyError:
        return token.encode("utf-8", "replace")

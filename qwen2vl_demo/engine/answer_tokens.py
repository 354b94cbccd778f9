"""The token ids of recent answers, found again by the prompt and the answer's text.

A text can usually be tokenized in more than one way, so the ids that were really sampled cannot be recovered from the
text alone. The attention behind a word has to be computed for those ids.
"""

from __future__ import annotations

import hashlib

import numpy as np

from qwen2vl_demo.attention_trace import Word, split_words
from qwen2vl_demo.engine.prefix_cache import PromptKey
from qwen2vl_demo.lru_cache import LRUCache
from qwen2vl_demo.processing.chat import answer_ids
from qwen2vl_demo.processing.tokenizer import Tokenizer

MAX_ANSWERS = 512  # about 4 kB each


class AnswerTokens:
    """A least-recently-used cache of sampled ids. Thread-safe."""

    def __init__(self, max_answers: int = MAX_ANSWERS) -> None:
        self._answers: LRUCache[tuple[str, bytes, bytes], np.ndarray] = LRUCache(max_answers)

    def put(self, prompt: PromptKey, text: str, ids: np.ndarray) -> None:
        """Remembers the ids (A,) int64 that were sampled after a prompt, given by its `prompt_key`."""
        self._answers.put(_name(prompt, text), ids)

    def get(self, prompt: PromptKey, text: str) -> np.ndarray | None:
        """The sampled ids of an answer; None if they were not remembered."""
        return self._answers.get(_name(prompt, text))

    def ids(self, prompt: PromptKey, text: str, tokenizer: Tokenizer) -> tuple[np.ndarray, bool]:
        """The ids of an answer: those that were sampled, or (False) those that its text is tokenized into."""
        sampled = self.get(prompt, text)
        return (answer_ids(text, tokenizer), False) if sampled is None else (sampled, True)

    def forget(self, salt: str) -> None:
        """Drops the answers of a conversation."""
        self._answers.remove(lambda name: name[0] == salt)


def words_of(ids: np.ndarray, tokenizer: Tokenizer) -> tuple[Word, ...]:
    """The words that the ids (A,) of an answer make."""
    return split_words([b"" if tokenizer.hides(i) else tokenizer.token_bytes(i) for i in ids.tolist()])


def _name(prompt: PromptKey, text: str) -> tuple[str, bytes, bytes]:
    return *prompt.name, hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()

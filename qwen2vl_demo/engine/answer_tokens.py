"""The tokens of the answers that were written lately, found again by content: the prompt and the text.

A text alone does not say how it was cut into tokens when it was written; the attention behind a word is that of the
tokens that were really chosen. Safe from several threads.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict

import numpy as np

MOST = 512  # answers remembered; about 4 kB each


class WrittenAnswers:
    """Least recently used go first."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._answers: OrderedDict[bytes, np.ndarray] = OrderedDict()
        self._lock = threading.Lock()

    def put(self, prompt: np.ndarray, text: str, tokens: np.ndarray) -> None:
        """`prompt` is the prompt's key (prefix.py), `tokens` (A,) int64 what was chosen behind it."""
        with self._lock:
            self._answers[_name(prompt, text)] = tokens
            while len(self._answers) > self._most:
                self._answers.popitem(last=False)

    def get(self, prompt: np.ndarray, text: str) -> np.ndarray | None:
        name = _name(prompt, text)
        with self._lock:
            if name in self._answers:
                self._answers.move_to_end(name)
            return self._answers.get(name)


def _name(prompt: np.ndarray, text: str) -> bytes:
    return hashlib.sha256(prompt.tobytes() + text.encode("utf-8", "surrogatepass")).digest()

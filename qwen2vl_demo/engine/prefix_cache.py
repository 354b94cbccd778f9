"""The KV caches of earlier prompts, found by their longest common prefix, so that no prefix is prefilled twice.

A prompt is identified by a key with one number for each token: the id of a text token, and for a placeholder a number
derived from the digest of the pixels, the positions of the picture's tokens and the index among them. Prompts whose
keys agree up to some token are the same input to the model up to there, whoever sent them, so a cache can never be
used for a different picture.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from qwen2vl_demo.lru_cache import LRUCache
from qwen2vl_demo.model.kv_cache import KVCache
from qwen2vl_demo.trace import PromptTrace

CACHE_BYTES = 1 << 30  # keys and values kept for follow-up questions, over all conversations


def prompt_key(trace: PromptTrace) -> np.ndarray:
    """The key of a prompt, (L,) int64: equal up to an index only if the model's input is equal up to there."""
    key = trace.input_ids.copy()
    for medium in trace.media:
        start, end = medium.span
        # The same picture at other positions is another input. Where it starts follows from what precedes it.
        positions = trace.position_ids[:, start:end] - trace.position_ids[0, start]
        digest = hashlib.sha256(medium.digest.encode() + positions.tobytes()).digest()
        key[start:end] = -1 - (int.from_bytes(digest[:7], "big") + np.arange(end - start))
    return key


def common_length(a: np.ndarray, b: np.ndarray) -> int:
    """The length of the longest common prefix of two keys."""
    length = min(len(a), len(b))
    different = np.flatnonzero(a[:length] != b[:length])
    return int(different[0]) if len(different) else length


@dataclass(frozen=True, eq=False)
class _Entry:
    key: np.ndarray  # (cache.length,)
    cache: KVCache


class PrefixCache:
    """KV caches of all conversations within one budget; the least recently used ones are dropped first.

    Only `match_length` may be called from any thread. The others hand out caches that are written to, and are called
    while the engine runs a single request.
    """

    def __init__(self, max_bytes: int = CACHE_BYTES) -> None:
        # Keys are put again when they are used, so that the order of `items` is the order of use.
        self._entries: LRUCache[bytes, _Entry] = LRUCache(max_bytes, weight=lambda entry: entry.cache.nbytes)

    def take(self, key: np.ndarray, capacity: int) -> KVCache | None:
        """A cache with the longest cached prefix of a prompt and room for `capacity` tokens; None if there is none.

        It belongs to the caller until it is put back. A conversation that continues takes its own cache out; one that
        only starts like another (the same system prompt, a retry) gets a copy, and the other's stays. At least one
        token of the prompt is left to run, since its logits start the answer.
        """
        entries = self._entries.items()
        lengths = [min(common_length(key, entry.key), len(key) - 1) for _, entry in entries]
        if not lengths or max(lengths) == 0:
            return None
        best = max(range(len(lengths)), key=lambda i: (lengths[i], i))
        name, entry = entries[best]
        self._entries.pop(name)
        if lengths[best] == len(entry.key):
            return entry.cache.reserve(capacity)
        self._entries.put(name, entry)
        return entry.cache.copy(lengths[best], capacity)

    def match_length(self, key: np.ndarray) -> int:
        """How many tokens of a prompt `take` would find. Callable from any thread; does not count as use."""
        lengths = (min(common_length(key, entry.key), len(key) - 1) for _, entry in self._entries.items())
        return max(lengths, default=0)

    def peek(self, key: np.ndarray) -> tuple[KVCache, int] | None:
        """The cache with the longest prefix of a sequence, and how many tokens match; None if none matches.

        The cache stays in here and must not be written to: run tokens after it through a KVPrefix.
        """
        matches = [(common_length(key, entry.key), entry.cache) for _, entry in self._entries.items()]
        length, cache = max(matches, key=lambda match: match[0], default=(0, None))
        return None if cache is None or not length else (cache, length)

    def put(self, key: np.ndarray, cache: KVCache) -> None:
        """Keeps a cache. `key` identifies the sequence of which the cache holds the first tokens."""
        key = key[: cache.length].copy()
        self._entries.put(key.tobytes(), _Entry(key, cache))

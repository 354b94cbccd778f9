"""The KV caches of earlier prompts, found by their longest common prefix, so that no prefix is prefilled twice.

A prompt is identified by a key with one number for each token: the id of a text token, and for a placeholder a number
derived from the digest of the pixels, the positions of the picture's tokens and the index among them. Prompts whose
keys agree up to some token are the same input to the model up to there, so a cache can never be used for a different
picture.

A key also holds the salt of its conversation. How many tokens were found, and how soon an answer begins, would tell one
visitor what others have asked; so behind the opening that every conversation has, only what was sent under the same
salt is found.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from qwen2vl_demo.lru_cache import CacheBudget, LRUCache
from qwen2vl_demo.model.kv_cache import KVCache
from qwen2vl_demo.trace import PromptTrace


@dataclass(frozen=True, eq=False)
class PromptKey:
    """What is compared of a prompt, or of a prompt and the tokens of its answer."""

    numbers: np.ndarray  # (L,) int64
    salt: str  # behind the opening, prompts of other salts have nothing in common with this one
    opening: int  # tokens that are the same in every conversation

    def __len__(self) -> int:
        return len(self.numbers)

    def followed_by(self, ids: np.ndarray | Sequence[int]) -> PromptKey:
        """The key of the same prompt with ids (A,) of its answer behind it."""
        return replace(self, numbers=np.concatenate([self.numbers, np.asarray(ids, dtype=np.int64)]))

    def first(self, length: int) -> PromptKey:
        return replace(self, numbers=self.numbers[:length].copy())

    @property
    def name(self) -> tuple[str, bytes]:
        """Equal for equal keys of one salt; hashable."""
        return self.salt, hashlib.sha256(self.numbers.tobytes()).digest()


def prompt_key(trace: PromptTrace) -> PromptKey:
    """The key of a prompt: equal up to an index only if the model's input is equal up to there."""
    numbers = trace.input_ids.copy()
    for medium in trace.media:
        start, end = medium.span
        # The same picture at other positions is another input. Where it starts follows from what precedes it.
        positions = trace.position_ids[:, start:end] - trace.position_ids[0, start]
        digest = hashlib.sha256(medium.digest.encode() + positions.tobytes()).digest()
        numbers[start:end] = -1 - (int.from_bytes(digest[:7], "big") + np.arange(end - start))
    return PromptKey(numbers, trace.cache_salt, trace.opening)


def common_length(a: PromptKey, b: PromptKey) -> int:
    """The length of the longest common prefix of two keys."""
    length = min(len(a), len(b))
    if a.salt != b.salt:
        length = min(length, a.opening, b.opening)
    different = np.flatnonzero(a.numbers[:length] != b.numbers[:length])
    return int(different[0]) if len(different) else length


@dataclass(frozen=True, eq=False)
class _Entry:
    key: PromptKey  # of length cache.length
    cache: KVCache


class PrefixCache:
    """KV caches of all conversations within a budget of bytes; the least recently used ones are dropped first.

    Only `match_length` and `forget` may be called from any thread. The others hand out caches that are written to, and
    are called while the engine runs a single request.
    """

    def __init__(self, budget: CacheBudget) -> None:
        # Keys are put again when they are used, so that the order of `items` is the order of use.
        self._entries: LRUCache[tuple[str, bytes], _Entry] = LRUCache(budget, weight=lambda entry: entry.cache.nbytes)

    def take(self, key: PromptKey, capacity: int) -> KVCache | None:
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
        if lengths[best] == len(entry.key) and entry.key.salt == key.salt:
            return entry.cache.reserve(capacity)
        self._entries.put(name, entry)
        return entry.cache.copy(lengths[best], capacity)

    def match_length(self, key: PromptKey) -> int:
        """How many tokens of a prompt `take` would find. Callable from any thread; does not count as use."""
        lengths = (min(common_length(key, entry.key), len(key) - 1) for _, entry in self._entries.items())
        return max(lengths, default=0)

    def peek(self, key: PromptKey) -> tuple[KVCache, int] | None:
        """The cache with the longest prefix of a sequence, and how many tokens match; None if none matches.

        The cache stays in here and must not be written to: run tokens after it through a KVPrefix.
        """
        matches = [(common_length(key, entry.key), entry.cache) for _, entry in self._entries.items()]
        length, cache = max(matches, key=lambda match: match[0], default=(0, None))
        return None if cache is None or not length else (cache, length)

    def put(self, key: PromptKey, cache: KVCache) -> None:
        """Keeps a cache. `key` identifies the sequence of which the cache holds the first tokens."""
        key = key.first(cache.length)
        self._entries.put(key.name, _Entry(key, cache))

    def forget(self, salt: str) -> None:
        """Drops the caches of a conversation. Callable from any thread."""
        self._entries.remove(lambda name: name[0] == salt)

    def clear(self) -> None:
        self._entries.clear()

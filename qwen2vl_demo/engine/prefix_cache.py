"""What was already read is not read again: the KV caches of earlier prompts, found by their longest common prefix.

A prompt is known by one number a token: the id of a text token, and for a placeholder a number made of the pixels'
digest, the positions of the picture's tokens and its place among them. Two prompts whose numbers agree are the same
input to the model, whoever sent them, so a cache can never put one picture in the place of another. Not safe from
several threads: the engine holds the lock around the model.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from qwen2vl_demo.model.kv_cache import KVCache
from qwen2vl_demo.trace import PromptTrace

CACHE_BYTES = 1 << 30  # keys and values kept for follow-up questions, over all conversations


def prompt_key(trace: PromptTrace) -> np.ndarray:
    """One number a token, (L,) int64: equal up to a place only if the model's input is equal up to there."""
    key = trace.input_ids.copy()
    for medium in trace.media:
        start, end = medium.span
        # The same picture at other positions is another input; where it begins follows from what stands before.
        places = trace.position_ids[:, start:end] - trace.position_ids[0, start]
        told = hashlib.sha256(medium.digest.encode() + places.tobytes())
        mark = int.from_bytes(told.digest()[:7], "big")
        key[start:end] = -1 - (mark + np.arange(end - start))
    return key


def common_length(a: np.ndarray, b: np.ndarray) -> int:
    """How many numbers two keys share from the start on."""
    length = min(len(a), len(b))
    differ = np.flatnonzero(a[:length] != b[:length])
    return int(differ[0]) if len(differ) else length


@dataclass(eq=False)
class _Entry:
    key: np.ndarray  # (cache.length,) what stands in the cache
    cache: KVCache


class PrefixCache:
    """The caches of several conversations within one budget; the least recently used go first."""

    def __init__(self, most_bytes: int = CACHE_BYTES) -> None:
        self._most_bytes = most_bytes
        self._entries: list[_Entry] = []  # the most recently used last

    def take(self, key: np.ndarray, capacity: int) -> KVCache | None:
        """A cache with the longest known prefix of a prompt and room for `capacity` tokens; None if nothing is known.

        It belongs to the caller until it is put back. A conversation that goes on takes its own cache; one that only
        begins like another (the same system prompt, a retry) gets a copy, and the other stays whole. At least one
        token of the prompt is left to run, since its logits are what the answer begins with.
        """
        lengths = [min(common_length(key, entry.key), len(key) - 1) for entry in self._entries]
        if not lengths or max(lengths) == 0:
            return None
        best = max(range(len(lengths)), key=lambda i: (lengths[i], i))
        entry = self._entries.pop(best)
        if lengths[best] == len(entry.key):
            return entry.cache.reserve(capacity)
        self._entries.append(entry)
        return entry.cache.copy(lengths[best], capacity)

    def known(self, key: np.ndarray) -> int:
        """How many tokens of a prompt `take` would find; from any thread, since it only looks."""
        return max((min(common_length(key, entry.key), len(key) - 1) for entry in tuple(self._entries)), default=0)

    def look(self, key: np.ndarray) -> tuple[KVCache, int] | None:
        """The cache that knows most of a prompt, and how many tokens of it; None if none knows any.

        It stays here and belongs to nobody: read it through a KVPrefix while the lock is held.
        """
        lengths = [common_length(key, entry.key) for entry in self._entries]
        best = max(range(len(lengths)), key=lengths.__getitem__, default=None)
        return None if best is None or not lengths[best] else (self._entries[best].cache, lengths[best])

    def put(self, key: np.ndarray, cache: KVCache) -> None:
        """Keeps a cache; `key` says what stands in it and may be longer than it."""
        self._entries.append(_Entry(key[: cache.length].copy(), cache))
        while sum(entry.cache.nbytes for entry in self._entries) > self._most_bytes:
            self._entries.pop(0)

"""A thread-safe least-recently-used cache, bounded by the total weight of its values."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

import cachetools

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class LRUCache(Generic[K, V]):
    """Drops the least recently used values once their total weight exceeds the budget.

    A value must not change its weight while it is cached.
    """

    def __init__(self, max_weight: float, weight: Callable[[V], float] = lambda value: 1) -> None:
        """`weight` gives the weight of a value, for instance its bytes; by default each value weighs 1."""
        self._values: cachetools.LRUCache[K, V] = cachetools.LRUCache(max_weight, getsizeof=weight)
        self._lock = threading.Lock()

    def get(self, key: K) -> V | None:
        """The value of a key, which becomes the most recently used one; None if it is not cached."""
        with self._lock:
            return self._values.get(key)

    def put(self, key: K, value: V) -> None:
        """Caches a value in place of an older one with the same key. A value above the whole budget is not kept."""
        with self._lock:
            self._values.pop(key, None)
            with contextlib.suppress(ValueError):  # heavier than the budget
                self._values[key] = value

    def pop(self, key: K) -> V | None:
        """Removes a key and returns its value; None if it is not cached."""
        with self._lock:
            return self._values.pop(key, None)

    def items(self) -> list[tuple[K, V]]:
        """A snapshot of keys and values in the order in which they were put. Does not count as use."""
        peek = cachetools.Cache.__getitem__  # unlike LRUCache's own, leaves the order of use as it is
        with self._lock:
            return [(key, peek(self._values, key)) for key in self._values]

    def clear(self) -> None:
        with self._lock:
            self._values.clear()

    def __contains__(self, key: K) -> bool:
        """Whether a key is cached. Does not count as use."""
        with self._lock:
            return key in self._values

    def __len__(self) -> int:
        with self._lock:
            return len(self._values)

    @property
    def weight(self) -> float:
        """The total weight of the cached values."""
        with self._lock:
            return self._values.currsize

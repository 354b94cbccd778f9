"""Thread-safe least-recently-used caches, bounded by the total weight of their values."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import cachetools

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


@dataclass(frozen=True, eq=False)
class _Kept:
    value: Any
    weight: float


class CacheBudget:
    """A weight that several caches share: what is dropped is the least recently used value of all of them."""

    def __init__(self, max_weight: float) -> None:
        # By the cache and its key.
        self.values: cachetools.LRUCache[tuple[int, Any], _Kept] = cachetools.LRUCache(
            max_weight, getsizeof=lambda kept: kept.weight
        )
        self.lock = threading.Lock()
        self._caches = 0

    def register(self) -> int:
        """The number of a new cache."""
        with self.lock:
            self._caches += 1
            return self._caches

    @property
    def max_weight(self) -> float:
        return self.values.maxsize

    @property
    def weight(self) -> float:
        """The total weight of the values of all caches."""
        with self.lock:
            return self.values.currsize


class LRUCache(Generic[K, V]):
    """Drops the least recently used values once their total weight exceeds the budget.

    A value must not change its weight while it is cached.
    """

    def __init__(self, budget: CacheBudget | float, weight: Callable[[V], float] = lambda value: 1) -> None:
        """`budget` is this cache's own, or one that it shares with others. `weight` gives the weight of a value, for
        instance its bytes; by default each value weighs 1."""
        self._budget = budget if isinstance(budget, CacheBudget) else CacheBudget(budget)
        self._number = self._budget.register()
        self._weight = weight

    def get(self, key: K) -> V | None:
        """The value of a key, which becomes the most recently used one; None if it is not cached."""
        with self._budget.lock:
            kept = self._budget.values.get((self._number, key))
            return None if kept is None else kept.value

    def put(self, key: K, value: V) -> None:
        """Caches a value in place of an older one with the same key. A value above the whole budget is not kept."""
        kept = _Kept(value, self._weight(value))
        with self._budget.lock:
            self._budget.values.pop((self._number, key), None)
            with contextlib.suppress(ValueError):  # heavier than the budget
                self._budget.values[self._number, key] = kept

    def pop(self, key: K) -> V | None:
        """Removes a key and returns its value; None if it is not cached."""
        with self._budget.lock:
            kept = self._budget.values.pop((self._number, key), None)
            return None if kept is None else kept.value

    def items(self) -> list[tuple[K, V]]:
        """A snapshot of keys and values in the order in which they were put. Does not count as use."""
        with self._budget.lock:
            return [(key, kept.value) for key, kept in self._own()]

    def remove(self, matches: Callable[[K], bool]) -> None:
        """Removes all keys for which this is true."""
        with self._budget.lock:
            for key, _ in self._own():
                if matches(key):
                    del self._budget.values[self._number, key]

    def clear(self) -> None:
        self.remove(lambda key: True)

    def __contains__(self, key: K) -> bool:
        """Whether a key is cached. Does not count as use."""
        with self._budget.lock:
            return (self._number, key) in self._budget.values

    def __len__(self) -> int:
        with self._budget.lock:
            return len(self._own())

    @property
    def weight(self) -> float:
        """The total weight of this cache's values."""
        with self._budget.lock:
            return sum(kept.weight for _, kept in self._own())

    def _own(self) -> list[tuple[Any, _Kept]]:
        """This cache's keys and what is kept of them. Call it under the lock; does not count as use."""
        peek = cachetools.Cache.__getitem__  # unlike LRUCache's own, leaves the order of use as it is
        values = self._budget.values
        return [(name[1], peek(values, name)) for name in values if name[0] == self._number]

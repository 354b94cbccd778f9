"""Pauses after wrong passwords, by address and by name from that address, so that guessing takes forever.

Nothing waits: who has to pause is told for how long, and others are not slowed down. A name is never locked for other
addresses, or anybody could lock a visitor out.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from qwen2vl_demo.lru_cache import LRUCache

FREE = 3  # wrong passwords in a row before the first pause
FIRST_PAUSE = 2.0  # seconds; doubled with each further one
LONGEST_PAUSE = 300.0
ADDRESS_FACTOR = 5  # an address may be wrong this many times as often as a name from it: people share addresses
FORGET = 3600.0  # seconds after which a wrong password no longer counts
MAX_REMEMBERED = 10_000


@dataclass(frozen=True)
class _Wrong:
    count: int
    at: float  # seconds, of the latest


class Logins:
    """Counts wrong passwords. Safe for several threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._wrong: LRUCache[tuple[str, str | None], _Wrong] = LRUCache(MAX_REMEMBERED)
        self._lock = threading.Lock()

    def wait(self, address: str, name: str) -> float:
        """Seconds until this name may be tried from this address; 0 for now."""
        return max(self._pause((address, name), FREE), self._pause((address, None), FREE * ADDRESS_FACTOR))

    def tried(self, address: str, name: str, *, right: bool) -> None:
        """A password was checked."""
        with self._lock:
            for key in ((address, name), (address, None)):
                if right:
                    self._wrong.pop(key)
                else:
                    self._wrong.put(key, _Wrong(self._count(key) + 1, self._clock()))

    def _count(self, key: tuple[str, str | None]) -> int:
        wrong = self._wrong.get(key)
        return wrong.count if wrong is not None and self._clock() - wrong.at < FORGET else 0

    def _pause(self, key: tuple[str, str | None], free: int) -> float:
        wrong, count = self._wrong.get(key), self._count(key)
        if wrong is None or count < free:
            return 0.0
        pause = min(FIRST_PAUSE * 2.0 ** min(count - free, 20), LONGEST_PAUSE)
        return max(0.0, wrong.at + pause - self._clock())

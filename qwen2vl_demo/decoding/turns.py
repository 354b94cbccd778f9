"""Who works next: calls that may be quick come before those that have turned out to be slow."""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Iterator

from qwen2vl_demo.errors import Cancelled

POLL = 0.2  # seconds between two looks at `cancel` while waiting


class Turns:
    """A number of places, taken in the order in which they were asked for, newcomers before slow ones.

    Slow ones leave a place to newcomers, if there is more than one. So many files that take as long as they may do not
    keep a picture waiting that takes a tenth of a second. Thread-safe.
    """

    def __init__(self, places: int) -> None:
        self._free, self._free_for_slow = places, max(1, places - 1)
        self._waiting: dict[bool, deque[object]] = {False: deque(), True: deque()}  # slow or not: in order
        self._changed = threading.Condition()

    @property
    def newcomers(self) -> int:
        """How many wait for their first turn."""
        return len(self._waiting[False])

    @contextlib.contextmanager
    def turn(self, cancel: threading.Event | None, *, slow: bool) -> Iterator[None]:
        """Context manager that holds a place. Raises Cancelled if `cancel` is set before there is one."""
        me, queue = object(), self._waiting[slow]
        with self._changed:
            queue.append(me)
            try:
                while queue[0] is not me or not self._is_free(slow):
                    if cancel is not None and cancel.is_set():
                        raise Cancelled
                    self._changed.wait(POLL)
                self._free -= 1
                self._free_for_slow -= slow
            finally:
                queue.remove(me)
                self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._free += 1
                self._free_for_slow += slow
                self._changed.notify_all()

    def _is_free(self, slow: bool) -> bool:
        return self._free > 0 and (not slow or (self._free_for_slow > 0 and not self._waiting[False]))

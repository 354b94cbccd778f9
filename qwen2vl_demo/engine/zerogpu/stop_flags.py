"""Flags that a process sets and the processes forked from it read: Stop reaches a running answer through them."""

from __future__ import annotations

import mmap
import threading

from qwen2vl_demo.errors import UserError

MAX_FLAGS = 4096  # requests at a time; a byte each


class StopFlags:
    """A page of memory that forked processes share. Create it before they are forked. Thread-safe."""

    def __init__(self, count: int = MAX_FLAGS) -> None:
        self._memory = mmap.mmap(-1, count)  # anonymous and shared
        self._free = list(range(count))
        self._lock = threading.Lock()

    def take(self) -> StopFlag:
        """A flag that is not set. Raises UserError if all are taken."""
        with self._lock:
            if not self._free:
                raise UserError("Too many visitors are asking at the moment; try again in a minute.")
            number = self._free.pop()
            self._memory[number] = 0
        return StopFlag(self, number)

    def is_set(self, number: int) -> bool:
        """Callable from a forked process."""
        return self._memory[number] != 0


class StopFlag:
    """One flag, from `take` to `free`."""

    def __init__(self, flags: StopFlags, number: int) -> None:
        self.number = number
        self._flags = flags
        self._freed = False

    def set(self) -> None:
        """Does nothing once the flag is free, and perhaps another request's."""
        with self._flags._lock:
            if not self._freed:
                self._flags._memory[self.number] = 1

    def free(self) -> None:
        """Call it when the request has ended, in whatever process it ran."""
        with self._flags._lock:
            if not self._freed:
                self._freed = True
                self._flags._free.append(self.number)

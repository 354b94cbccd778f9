"""How much memory this process may use, giving back what it has freed, and bytes as people read them."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import sys
import threading
from pathlib import Path

CACHE_SHARE = 1 / 16  # of a memory (RAM, or a GPU's own): what the caches in it may take together
MIN_CACHE_BYTES = 256 * 2**20
MAX_CACHE_BYTES = 8 * 2**30
MAX_ARENAS = 2
TRIM_DELAY = 10.0  # seconds from the end of an answer until freed memory is given back
_M_ARENA_MAX = -8  # of malloc.h
_LIMIT_FILES = (  # of the container that this process runs in: control groups version 2 and 1
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)


def format_bytes(size: float) -> str:
    """Bytes with three digits, in units of 1,000: "812 kB", "4.42 GB"."""
    for unit, name in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if size >= 0.9995 * unit:
            return f"{size / unit:.3g} {name}"
    return f"{size:.0f} bytes"


def total_memory() -> int | None:
    """Bytes of RAM that this process may take: the machine's, or its container's limit. None where neither is told."""
    known = []
    with contextlib.suppress(AttributeError, ValueError, OSError):  # Windows has no os.sysconf
        known.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    for file in _LIMIT_FILES:
        with contextlib.suppress(OSError, ValueError):  # "max": there is no limit
            known.append(int(file.read_text(encoding="ascii")))
    return min((size for size in known if size > 0), default=None)


def free_memory() -> int | None:
    """Bytes of RAM that a process could still allocate; all of the RAM where only that is known, None without that."""
    try:
        with open("/proc/meminfo", encoding="ascii") as lines:
            return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration):
        pass  # not a Linux
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # Windows has no os.sysconf
        return None


def cache_bytes(total: int | None) -> int:
    """What all caches in a memory of `total` bytes may take together."""
    return min(max(MIN_CACHE_BYTES, int(CACHE_SHARE * (total or 0))), MAX_CACHE_BYTES)


class FreedMemory:
    """Gives freed memory back to the system.

    The C library keeps what is freed in one arena for each thread, for the next allocation there. Answers are written
    in threads of their own, so that after some hundred of them this was half a gigabyte that nobody used.
    """

    def __init__(self, delay: float = TRIM_DELAY) -> None:
        self._delay = delay
        self._lock = threading.Lock()
        self._pending = False

    def give_back_soon(self) -> None:
        """Gives memory back in a moment, in a thread of its own; calls until then count once. Takes no time here."""
        with self._lock:
            if self._pending:
                return
            self._pending = True
        timer = threading.Timer(self._delay, self._give_back)
        timer.daemon = True
        timer.start()

    def _give_back(self) -> None:
        with self._lock:
            self._pending = False
        give_back()


def limit_arenas() -> bool:
    """Has all threads allocate from a few common arenas, where the C library is glibc; whether that is so.

    By default there are eight for each core, and what is freed in one serves no thread of another. Call it before
    threads are started.
    """
    if sys.platform != "linux":
        return False
    with contextlib.suppress(OSError, AttributeError):  # another C library has no mallopt
        return bool(ctypes.CDLL(None).mallopt(_M_ARENA_MAX, MAX_ARENAS))
    return False


def settle() -> None:
    """Called when everything that stays has been loaded: from now on collecting garbage looks at the rest only."""
    gc.collect()
    gc.freeze()


def give_back() -> None:
    """Gives the memory that this process has freed back to the system, where the C library is glibc.

    After `settle` garbage is collected first, which then takes milliseconds: the page's finished requests hold pictures
    in circles, a hundred megabytes of them until Python looks at its oldest objects by itself.
    """
    if gc.get_freeze_count():
        gc.collect()
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):  # another C library has no malloc_trim
            ctypes.CDLL(None).malloc_trim(0)

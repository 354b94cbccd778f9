"""Whether a function takes time linear in the length of a text, measured so that a busy machine does not matter."""

import time
from collections.abc import Callable

GROWTH = 8  # of the text
BOUND = 3 * GROWTH  # of the time; a quadratic function takes GROWTH squared
ALWAYS_FAST = 0.02  # seconds; below, the clock says nothing
ATTEMPTS = 3


def processor_seconds(call: Callable[[], object]) -> float:
    """Of this thread, the least of two runs."""
    taken = []
    for _ in range(2):
        started = time.thread_time()
        call()
        taken.append(time.thread_time() - started)
    return min(taken)


def is_linear(function: Callable[[str], object], make: Callable[[int], str], length: int) -> bool:
    """Compares a text of `length` characters with one GROWTH times as long; several attempts, one is enough."""
    short, long = make(length), make(GROWTH * length)
    for _ in range(ATTEMPTS):
        seconds = processor_seconds(lambda: function(long))
        if seconds < ALWAYS_FAST or seconds < BOUND * processor_seconds(lambda: function(short)):
            return True
    return False

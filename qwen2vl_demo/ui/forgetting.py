"""Frees what was computed for conversations that are over: cleared ones, and those of closed tabs.

Not at once: an answer that was stopped may still be running its last step and put its result away, and a tab that was
closed may be one that is being reloaded, whose conversation goes on.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

RELOAD = 60.0  # seconds that a closed tab has to come back
LAST_STEP = 5.0  # seconds that a stopped answer may still take
LOOK = 1.0  # seconds between two looks at what is due


class Forgetting:
    """Calls `forget` with the salts of conversations, each after a while. Thread-safe."""

    def __init__(self, forget: Callable[[str], None]) -> None:
        """`forget` must not raise; it is called in a thread of its own."""
        self._forget = forget
        self._due: dict[str, float] = {}  # salt: when
        self._lock = threading.Lock()
        self._running = False

    def forget_in(self, salt: str, seconds: float) -> None:
        """The conversation is over, unless `keep` is called before this time has passed."""
        with self._lock:
            self._due[salt] = time.monotonic() + seconds
            if self._running:
                return
            self._running = True
        threading.Thread(target=self._run, name="forgetting", daemon=True).start()

    def keep(self, salt: str) -> None:
        """The conversation goes on."""
        with self._lock:
            self._due.pop(salt, None)

    def _run(self) -> None:
        """Until nothing is left to forget."""
        while True:
            with self._lock:
                now = time.monotonic()
                over = [salt for salt, due in self._due.items() if due <= now]
                for salt in over:
                    del self._due[salt]
                if not over and not self._due:
                    self._running = False
                    return
            for salt in over:
                self._forget(salt)
            time.sleep(LOOK)

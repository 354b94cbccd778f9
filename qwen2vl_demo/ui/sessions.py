"""Who is here: one Session a browser tab, held in memory, freed when the tab closes.

A session is found by the session hash that Gradio gives each page load. It may vanish while its page still stands (the
app was restarted, a laptop slept): then it is made again from what the browser kept. Knows conversations and threads;
neither gradio nor the engine nor any file.
"""

from __future__ import annotations

import shutil
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from qwen2vl_demo.engine.cost.estimate import Estimate
from qwen2vl_demo.engine.protocol import Outcome
from qwen2vl_demo.trace import PromptTrace
from qwen2vl_demo.ui.chat.conversation import Conversation

MOST = 2000  # sessions held at once
OUTCOMES = 6  # answers of a session whose cost is remembered


@dataclass(frozen=True)
class Draft:
    """What stands in the composer."""

    text: str = ""
    files: tuple[str, ...] = ()  # paths that Gradio has checked: uploads, or media of this page's store


@dataclass
class Run:
    """One answer being written."""

    draft: Draft | None = None  # what was sent; None for Retry
    started: bool = False  # whether its answer is being made
    cancel: threading.Event = field(default_factory=threading.Event)  # set: stop at the next step
    done: threading.Event = field(default_factory=threading.Event)  # set: nothing more will come
    text: str = ""  # what came so far
    committed: bool = False  # whether its question stands in the conversation


@dataclass
class Session:
    """What one tab holds. Read and change it under `lock`."""

    conversation: Conversation = field(default_factory=Conversation)
    run: Run | None = None  # None: nothing is being written
    returned: Draft | None = None  # what failed before its first word, on its way back to the composer
    trace: PromptTrace | None = None  # of the latest prompt that was sent
    seen: PromptTrace | None = None  # of the prompt that the panel shows: sent, or about to be
    predicted: tuple[Conversation, Estimate] | None = None  # of the latest prompt that was sent, before its answer
    outcomes: deque[Outcome] = field(default_factory=lambda: deque(maxlen=OUTCOMES))  # of the last answers, newest last
    shown: Conversation = field(default_factory=Conversation)  # what that prompt was made from
    looks: int = 0  # how often the panel asked what there is to see
    aside: threading.Event | None = None  # set it: the look at a word, or the experiment, that is going on ends
    names: dict[str, str] = field(default_factory=dict)  # what a stored file was called, for Undo
    exports: list[Path] = field(default_factory=list)  # files written for this visitor to download
    lock: threading.RLock = field(default_factory=threading.RLock)

    def stop(self) -> Run | None:
        """Asks the running answer to end; returns it."""
        with self.lock:
            if self.aside is not None:
                self.aside.set()
            if self.run is not None:
                self.run.cancel.set()
            return self.run

    def owns(self, run: Run) -> bool:
        """Whether `run` still speaks for this session. Ask under the lock."""
        return self.run is run


class Sessions:
    """All tabs. Beyond MOST, the one that was quiet longest is let go; its browser still has the chat."""

    def __init__(self) -> None:
        self._sessions: dict[str, Session] = {}  # quiet longest first
        self._lock = threading.Lock()

    def get(self, key: str | None, restore: Callable[[], Conversation] = Conversation) -> Session:
        """The session of a tab; one that is not there starts from `restore()`. Without a key, one that nobody keeps."""
        if not key:
            return Session(restore())
        with self._lock:
            known = self._sessions.pop(key, None)
            if known is not None:
                self._sessions[key] = known
                return known
        fresh = Session(restore())
        with self._lock:
            session = self._sessions.setdefault(key, fresh)
            surplus = [k for k in self._sessions if k != key][: max(0, len(self._sessions) - MOST)]
        for old in surplus:
            self.drop(old)
        return session

    def known(self, key: str | None) -> Session | None:
        """The session of a tab if it is open: for what follows by itself, which must not bring a closed tab back."""
        with self._lock:
            return self._sessions.get(key or "")

    def drop(self, key: str | None) -> None:
        """The tab is closed: its answer ends, what it held is freed."""
        with self._lock:
            session = self._sessions.pop(key or "", None)
        if session is not None:
            session.stop()
            for file in session.exports:
                shutil.rmtree(file.parent, ignore_errors=True)

    def __len__(self) -> int:
        with self._lock:
            return len(self._sessions)

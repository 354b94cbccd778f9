"""One Session for each browser tab, held in memory and freed when the tab closes.

A session is found by the session hash that Gradio gives each page load. It may be gone while its page is still open
(the app was restarted, a laptop slept); it is then restored from the conversation that the browser kept.
"""

from __future__ import annotations

import shutil
import sys
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from qwen2vl_demo.config import Qwen2VLConfig
from qwen2vl_demo.engine.cost.estimate import Estimate
from qwen2vl_demo.engine.protocol import GenerationOptions, Outcome
from qwen2vl_demo.media import TimeRange
from qwen2vl_demo.trace import PromptTrace
from qwen2vl_demo.ui.chat.conversation import Conversation, Turn
from qwen2vl_demo.ui.eyes import Eyes
from qwen2vl_demo.ui.forgetting import LAST_STEP, RELOAD, Forgetting

if TYPE_CHECKING:
    from qwen2vl_demo.ui.settings_form import AnswerSettings

MAX_SESSIONS = 2000  # held at once
MAX_BYTES = 256 * 2**20  # that they hold together
TIME_BYTES = 32  # of the time of one frame
TOKEN_BYTES = 64  # of the text of one token of a prompt that is shown
MAX_TIME_RANGES = 256  # parts of clips that a composer holds
MAX_RAN = 64  # questions of a session whose options are remembered
MAX_OUTCOMES = 6  # answers of a session whose cost is remembered


@dataclass(frozen=True)
class Draft:
    """The content of the composer."""

    text: str = ""
    files: tuple[str, ...] = ()  # paths that Gradio has checked: uploads, or media of this page's store

    def joined(self, other: Draft) -> Draft:
        """Both, this one first: what comes back into the composer must not replace what was typed meanwhile."""
        text = "\n\n".join(part for part in (self.text, other.text) if part.strip())
        return Draft(text, tuple(dict.fromkeys((*self.files, *other.files))))


@dataclass(frozen=True)
class Editing:
    """A question that stands in the composer to be asked anew."""

    number: int  # of its turn
    draft: Draft  # what stood in the composer before, and comes back afterwards


@dataclass(frozen=True)
class Cutout:
    """A picture that was cut out of another and is to be put into the composer."""

    path: str
    replaces: str  # the file of the composer that it was cut out of; "" for none


@dataclass
class Run:
    """One answer that is being written."""

    draft: Draft | None = None  # what was sent; None for Retry and Continue
    editing: Editing | None = None  # the question that it is a version of; None: it comes last
    resumes: bool = False  # Continue: the last answer goes on
    started: bool = False  # whether the handler that writes the answer has taken it over
    cancel: threading.Event = field(default_factory=threading.Event)  # set: stop at the next step
    done: threading.Event = field(default_factory=threading.Event)  # set: nothing more will follow
    text: str = ""  # the answer so far
    committed: bool = False  # whether the question is part of the conversation yet
    left: Conversation | None = None  # the chat with the words so far, where Stop did not wait for the end


@dataclass(frozen=True, eq=False)
class Preparation:
    """Files that are being opened to show what they become."""

    files: tuple[str, ...] = ()
    cancel: threading.Event = field(default_factory=threading.Event)


@dataclass(frozen=True)
class ShownPrompt:
    """What the panel shows: a conversation, the options it was prepared with, and the resulting trace."""

    conversation: Conversation
    options: GenerationOptions
    trace: PromptTrace
    draft: bool = False  # the last turn has not been sent yet
    eyes: Eyes = "model"
    config: Qwen2VLConfig | None = None  # of the model that answers, where it is loaded here
    seen: PromptTrace | None = None  # the same prompt through other eyes; None: they are this model's

    @property
    def drawn(self) -> PromptTrace:
        """What is drawn and counted. `trace` is what ran, or will."""
        return self.trace if self.seen is None else self.seen


@dataclass(frozen=True)
class Prediction:
    """What was predicted of a question when it was sent, before its answer was measured."""

    conversation: Conversation
    estimate: Estimate


@dataclass(frozen=True)
class Ran:
    """With what a question was answered."""

    system: str
    options: GenerationOptions


@dataclass(eq=False)
class Session:
    """The state of one tab. Read and change it under `lock`."""

    conversation: Conversation = field(default_factory=Conversation)
    run: Run | None = None  # None: no answer is being written
    editing: Editing | None = None  # None: what stands in the composer is a new question
    cutout: Cutout | None = None  # None: nothing is to be put into the composer
    asked: AnswerSettings | None = None  # those of the latest answer, as far as this session knows
    finishes_due: int = 0  # calls of Answers.respond that ended and whose Answers.finish has not come yet
    returned: Run | None = None  # a question that failed before its first word, to put back into the composer
    shown: ShownPrompt | None = None  # what the panel shows; None: nothing
    preview_number: int = 0  # of the latest preview that was asked for; older ones are dropped
    preview: Preparation = field(default_factory=Preparation)  # what the latest preview opens
    description: threading.Event = field(default_factory=threading.Event)  # cancels the looks at the composer's files
    prediction: Prediction | None = None  # for the latest question that was sent
    outcomes: deque[Outcome] = field(default_factory=lambda: deque(maxlen=MAX_OUTCOMES))  # newest last
    ran: dict[tuple[Turn, ...], Ran] = field(default_factory=dict)  # by the turns up to a question; oldest first
    side_task: threading.Event | None = None  # cancels the experiment or attention map that is being computed
    time_ranges: dict[str, TimeRange] = field(default_factory=dict)  # parts chosen of clips in the composer, by path
    names: dict[str, str] = field(default_factory=dict)  # stored file -> what the visitor called it, for Undo
    exports: list[Path] = field(default_factory=list)  # files written for this visitor to download
    lock: threading.RLock = field(default_factory=threading.RLock)
    closed: threading.Event = field(default_factory=threading.Event)  # set once the tab is
    model: str = ""  # the key of the model that its visitor chose; "": the one with which everybody begins
    loading: bool = False  # whether another model is being loaded for it
    model_told: bool = False  # whether the page and this session agree which one it is
    forgetting: Forgetting | None = None  # of what was computed for conversations that are over

    def cancel_run(self) -> Run | None:
        """Asks the running answer, and whatever is computed beside it, to end. Returns the run."""
        with self.lock:
            self.cancel_side_task()
            if self.run is not None:
                self.run.cancel.set()
                if self.run.draft is not None and self.run.draft.files == self.preview.files:
                    self.preview.cancel.set()
            return self.run

    def begin_preview(self, files: tuple[str, ...]) -> tuple[int, threading.Event]:
        """The number of a new preview of these files, and what cancels it.

        The files of the preview before are no longer opened, unless they left the composer by being sent: the question
        needs them as well. Files whose opening was stopped are not opened again as long as they stay.
        """
        with self.lock:
            before, sent = self.preview, self.run.draft.files if self.run and self.run.draft else None
            were_sent = not files and before.files == sent and not before.cancel.is_set()
            if (files != before.files and not were_sent) or (not files and before.cancel.is_set()):
                before.cancel.set()
                self.preview = Preparation(files)
            self.preview_number += 1
            return self.preview_number, self.preview.cancel

    def note_run(self, question: Conversation, options: GenerationOptions) -> None:
        """Remembers with what a question is answered, since the settings may change afterwards."""
        with self.lock:
            self.ran.pop(question.answered(None).turns, None)
            self.ran[question.answered(None).turns] = Ran(question.system, options)
            while len(self.ran) > MAX_RAN:
                self.ran.pop(next(iter(self.ran)))

    def choose_time_range(self, file: str, chosen: TimeRange) -> None:
        """Of a clip in the composer only this part is to be looked at, as long as it stands there."""
        with self.lock:
            self.time_ranges.pop(file, None)
            if chosen:
                self.time_ranges[file] = chosen
            while len(self.time_ranges) > MAX_TIME_RANGES:
                self.time_ranges.pop(next(iter(self.time_ranges)))

    def forget_time_ranges(self, files: Sequence[str]) -> None:
        """These files were sent."""
        with self.lock:
            for file in files:
                self.time_ranges.pop(file, None)

    def begin_description(self) -> threading.Event:
        """Cancels the looks at files that stood in the composer before, and returns the event that cancels new ones."""
        with self.lock:
            self.description.set()
            self.description = threading.Event()
            return self.description

    def cancel_side_task(self) -> None:
        with self.lock:
            if self.side_task is not None:
                self.side_task.set()

    def begin_side_task(self) -> threading.Event:
        """Cancels the previous side task and returns the event that cancels the new one."""
        with self.lock:
            self.cancel_side_task()
            self.side_task = threading.Event()
            return self.side_task

    def end_side_task(self, cancel: threading.Event) -> None:
        with self.lock:
            if self.side_task is cancel:
                self.side_task = None

    def replace_conversation(self, conversation: Conversation) -> None:
        """Another conversation takes the place of this one; what was prepared for the old one no longer counts."""
        with self.lock:
            if self.forgetting is not None and conversation.cache_salt != self.conversation.cache_salt:
                self.forgetting.forget_in(self.conversation.cache_salt, LAST_STEP)
            if conversation.cache_salt != self.conversation.cache_salt:
                self.ran.clear()
            self.conversation = conversation
            self.shown = self.prediction = None
            self._drop_preview()

    def use_model(self, key: str) -> None:
        """Another model answers from now on; what was prepared and measured with the old one no longer counts."""
        with self.lock:
            self.model, self.model_told = key, True
            self.shown = self.prediction = None
            self.outcomes.clear()
            self._drop_preview()

    def _drop_preview(self) -> None:
        """What is being opened no longer counts; files that stay in the composer are opened anew."""
        self.preview_number += 1
        self.preview.cancel.set()
        self.preview = Preparation()

    def close(self) -> None:
        """Ends everything that is done for this tab."""
        with self.lock:
            self.cancel_run()
            self.preview.cancel.set()
            self.description.set()
            self.closed.set()

    def nbytes(self) -> int:
        """About how much memory it takes."""
        turns = self.conversation.all_turns
        texts = (text for turn in turns for text in (turn.question, turn.answer and turn.answer.text))
        held = sum(sys.getsizeof(text) for text in texts if text)
        held += 512 * sum(len(turn.media) for turn in turns) + 1024 * len(turns)
        numbers = [turn.answer.numbers for turn in turns if turn.answer and turn.answer.numbers]
        held += TIME_BYTES * sum(len(medium.timestamps) for each in numbers for medium in each.media)
        if self.shown is not None:
            for trace in filter(None, (self.shown.trace, self.shown.seen)):
                held += trace.input_ids.nbytes + trace.position_ids.nbytes + TOKEN_BYTES * len(trace)
        return held + 4096

    def delete_exports(self) -> None:
        with self.lock:
            exports, self.exports = self.exports, []
        for file in exports:
            shutil.rmtree(file.parent, ignore_errors=True)

    def files(self) -> set[str]:
        """The names in the store of every picture and clip that it may show again, in versions aside as well."""
        with self.lock:
            return {medium.file for turn in self.conversation.all_turns for medium in turn.media} | set(self.names)

    def owns(self, run: Run) -> bool:
        """Whether `run` may still change this session. Call it under the lock."""
        return self.run is run

    def is_as_left(self, run: Run) -> bool:
        """Whether nothing has happened since Stop took the session from `run`. Call it under the lock."""
        return self.run is None and self.conversation is run.left


class Sessions:
    """All sessions. Beyond MAX_SESSIONS or `max_bytes`, the least recently used are dropped; their browsers still have
    the chats."""

    def __init__(
        self, restore: Callable[[str], Conversation], forgetting: Forgetting, max_bytes: int = MAX_BYTES
    ) -> None:
        """`restore` reads the conversation that a browser kept, as JSON; it must not raise."""
        self._restore, self._forgetting, self._max_bytes = restore, forgetting, max_bytes
        self._sessions: dict[str, Session] = {}  # least recently used first
        self._weights: dict[str, int] = {}  # bytes of each, as of its last use
        self._lock = threading.Lock()

    def open(self, key: str | None, saved: str | None) -> Session:
        """The session of a tab, restored from `saved` if it is not known. Without a key: one that nobody keeps."""
        if key and (session := self.find(key)) is not None:
            return session
        session = Session(self._restore(saved) if saved else Conversation(), forgetting=self._forgetting)
        if not key:
            return session
        self._forgetting.keep(session.conversation.cache_salt)
        with self._lock:
            session = self._sessions.setdefault(key, session)
        self._weigh(key, session)
        return session

    def find(self, key: str | None) -> Session | None:
        """The session of a tab if it is open; never creates one, so that a closed tab stays closed."""
        with self._lock:
            session = self._sessions.pop(key or "", None)
            if session is not None:
                self._sessions[key or ""] = session
        if session is not None:
            self._weigh(key or "", session)
        return session

    def keys(self) -> list[str]:
        with self._lock:
            return list(self._sessions)

    def models(self) -> list[str]:
        """The key of the model of each."""
        with self._lock:
            return [session.model for session in self._sessions.values()]

    def files(self) -> set[str]:
        """The names in the store of everything that an open tab may show."""
        with self._lock:
            sessions = list(self._sessions.values())
        return set().union(*(session.files() for session in sessions))

    def _weigh(self, key: str, session: Session) -> None:
        """Notes what a session takes now, and drops others where that is too much together."""
        weight = session.nbytes()
        surplus = []
        with self._lock:
            if key in self._sessions:
                self._weights[key] = weight
            total, count = sum(self._weights.values()), len(self._sessions)
            for other in self._sessions:
                if other == key or (total <= self._max_bytes and count <= MAX_SESSIONS):
                    break
                surplus.append(other)
                total, count = total - self._weights.get(other, 0), count - 1
        for old in surplus:
            self.drop(old)

    def drop(self, key: str | None) -> None:
        """The tab was closed: ends its answer and frees what it held."""
        with self._lock:
            session = self._sessions.pop(key or "", None)
            self._weights.pop(key or "", None)
            salts = {other.conversation.cache_salt for other in self._sessions.values()}
        if session is not None:
            session.close()
            if session.conversation.cache_salt not in salts:  # else its page was reloaded already
                self._forgetting.forget_in(session.conversation.cache_salt, RELOAD)
            session.delete_exports()

    def __len__(self) -> int:
        with self._lock:
            return len(self._sessions)

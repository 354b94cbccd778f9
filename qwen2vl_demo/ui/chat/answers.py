"""From the composer to an answer: one turn, checked, asked and streamed.

A turn is checked in full (its files open, the engine can prepare it) before it enters the conversation; what fails
before the first word goes back to the composer with a sentence, what fails later keeps the words that came. A run
that no longer owns its session (Stop let the visitor go on, the tab closed) says nothing more. Never raises for what a
visitor or the engine did. Knows no gradio.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from qwen2vl_demo.engine.protocol import Engine, GenerationOptions, Outcome, Result
from qwen2vl_demo.errors import UserError
from qwen2vl_demo.processing.messages import Message
from qwen2vl_demo.ui.answer_settings import Choices, read_choices
from qwen2vl_demo.ui.chat import bubbles as display
from qwen2vl_demo.ui.chat.conversation import (
    Answer,
    Conversation,
    Ending,
    Medium,
    Numbers,
    Turn,
    count,
    default_question,
    numbers_of,
    to_messages,
)
from qwen2vl_demo.ui.chat.page_update import LOST, View, report, settled
from qwen2vl_demo.ui.chat.saved_chat import MAX_TEXT, clean, dumps
from qwen2vl_demo.ui.chat.streaming import Pump
from qwen2vl_demo.ui.media_store import MediaStore
from qwen2vl_demo.ui.sessions import Draft, Run, Session, Sessions

COALESCE = 0.06  # seconds: each update of the page carries the whole chat, so a fast model's tokens travel together
SLOWEST = 0.5  # seconds between two updates when the machine is very busy
LOOK_UP = 0.25  # seconds without news from the engine until the session is looked at again
KEEP_EVERY = 1.0  # seconds between two copies of a growing answer in the browser's memory
MAX_FILES = 64  # of one turn
FULL = "Too many visitors are asking at once. Try again in a moment."
BUSY = "An answer is still being written. Wait for its end, or press Stop."


class Answering:
    """What it takes to answer: an engine, the media, the tabs and the defaults. Safe for several threads."""

    def __init__(self, engine: Engine, store: MediaStore, defaults: GenerationOptions | None = None) -> None:
        self.engine, self.store = engine, store
        self.defaults = defaults if defaults is not None else GenerationOptions()
        self.sessions = Sessions()

    def choices(self, values: Sequence[Any]) -> Choices:
        """What the settings say. Raises UserError."""
        return read_choices(values, self.defaults, self.engine.pixel_limits)

    def begin(self, session: Session, draft: Draft) -> View:
        """The first sign of life: the question stands in the chat before anything of it is opened."""
        draft = replace(draft, text=clean(draft.text))
        if not draft.text.strip() and not draft.files:
            return View(notice="Type a question or attach a file first.")
        if not _begin(session, draft):
            return View(notice=BUSY)
        files = f"*{count(len(draft.files), 'file')}*" if draft.files else ""
        question = {"role": "user", "content": "\n\n".join(filter(None, [files, display.literal(draft.text)]))}
        opening = f"Opening {count(len(draft.files), 'file')}" if draft.files else "Thinking"
        shown = [*display.show(session.conversation, self.store), question, display.status(opening)]
        return View(shown, Draft(), busy=True, notice="", numbers="")

    def begin_retry(self, session: Session) -> View:
        """The same for the last question, without its answer."""
        if session.conversation.last is None:
            return View(notice="There is nothing to ask again yet.")
        if not _begin(session, None):
            return View(notice=BUSY)
        shown = [*display.show(session.conversation.answered(None), self.store), display.status("Thinking")]
        return View(shown, busy=True, notice="", numbers="")

    def respond(self, session: Session, values: Sequence[Any]) -> Iterator[View]:
        """Streams the answer to what was begun; nothing if nothing was. A retry of an answered question gets a new
        seed and a higher temperature. These views say nothing of the composer: that is for `finish`."""
        with session.lock:
            run = session.run
            if run is None or run.started:
                return
            run.started = True
        try:
            yield from self._answer(session, run, session.conversation, values)
        finally:  # on every way out, a closed tab included
            run.cancel.set()
            run.done.set()
            with session.lock:
                if session.owns(run):
                    session.run = None

    def finish(self, session: Session) -> View:
        """The composer, after an answer or in place of one: ready again, and with the draft that came back."""
        with session.lock:
            run = session.run
            if run is not None and not run.started:  # respond() was never called: Gradio's queue was full
                session.run = None
                return replace(settled(session, self.store, FULL), draft=run.draft)
            draft, session.returned = session.returned, None
            return View(draft=draft, busy=run is not None)

    def keep(self, session: Session, files: Sequence[str]) -> tuple[Medium, ...]:
        """Opens files of a draft and takes them into the store. Raises UserError."""
        if len(files) > MAX_FILES:
            raise UserError(f"These are {len(files)} files; send at most {MAX_FILES} at once.")
        media: list[Medium] = []
        for path in map(Path, files):
            try:
                media += self.store.add(path, session.names.get(path.name, path.name))
            except OSError:
                raise UserError(f"The file {path.name} could not be read here; attach it again.") from None
        session.names |= {m.file: m.name for m in media}
        return tuple(media)

    def _answer(self, session: Session, run: Run, before: Conversation, values: Sequence[Any]) -> Iterator[View]:
        """Everything after the first sign of life. What goes wrong before the first word changes nothing."""
        asked = before
        try:
            choices = self.choices(values).seeded()
            if run.draft is not None:
                asked = before.adding(self._turn(session, run.draft))
            else:
                choices = choices.for_retry() if before.last is not None and before.last.counts else choices
                asked = before.answered(None)
            asked = replace(asked, system=choices.system)
            messages = to_messages(asked, self.store.path)
            trace = self.engine.prepare(messages, choices.options)
            estimate = self.engine.estimate(trace, choices.options)
            with session.lock:
                if run.cancel.is_set() or not session.owns(run):
                    raise _Stopped
                session.conversation, session.trace, session.predicted = asked, trace, (asked, estimate)
                run.committed = True
            shown = display.show(asked, self.store)
            yield View([*shown, display.status("Thinking")], saved=dumps(asked), prompt=trace)
            yield from self._stream(session, run, asked, shown, messages, choices)
        except _Stopped:
            yield from self._bounce(session, run, before, "")
        except UserError as problem:
            yield from self._bounce(session, run, before, _in_their_words(str(problem), asked))
        except Exception as problem:
            report(problem, "answering")
            yield from self._bounce(session, run, before, LOST.format(self.engine.name))

    def _stream(
        self,
        session: Session,
        run: Run,
        asked: Conversation,
        shown: list[display.Shown],
        messages: list[Message],
        choices: Choices,
    ) -> Iterator[View]:
        started = painted = kept = time.monotonic()
        pace = COALESCE
        first: float | None = None
        result: Result | None = None
        ending: Ending = "cancelled"
        notice: str | None = None
        pump = Pump(self.engine.stream(messages, choices.options, run.cancel))
        try:
            while not pump.ended:
                chunks = pump.take(LOOK_UP, at_least=max(0.0, painted + pace - time.monotonic()))
                if not session.owns(run):
                    return
                new = "".join(chunk.text for chunk in chunks)
                now = time.monotonic()
                first = now - started if new and first is None else first
                run.text += new
                for chunk in chunks:
                    if chunk.result is not None:
                        result, ending = chunk.result, chunk.result.stop_reason
                statuses = [chunk.status for chunk in chunks if chunk.status]
                if result is None and new:
                    painted, half = now, None
                    if now - kept >= KEEP_EVERY:
                        kept, half = now, dumps(asked.answered(Answer(clean(run.text), "cancelled")))
                    yield View([*shown, display.growing(run.text)], saved=half)
                    pace = min(max(COALESCE, 3 * (time.monotonic() - now)), SLOWEST)  # a busy machine gets fewer
                elif result is None and statuses and not run.text:
                    yield View([*shown, display.status(statuses[-1])])
        except UserError as problem:
            if not run.text:
                raise
            ending, notice = "error", str(problem)
        except Exception as problem:
            if not run.text:
                raise
            report(problem, "writing an answer")
            ending, notice = "error", LOST.format(self.engine.name)
        numbers = self._numbers(session, asked, result, first, choices.options) if result else None
        text = result.text if result is not None and result.text else run.text
        with session.lock:
            if not session.owns(run):
                return
            session.conversation = asked.answered(Answer(clean(text), ending, numbers))
            if result is not None and session.predicted is not None:
                session.outcomes.append(Outcome.of(session.predicted[1], result))
            session.run = None
        yield settled(session, self.store, notice)

    def _turn(self, session: Session, draft: Draft) -> Turn:
        if len(draft.text) > MAX_TEXT:
            raise UserError(f"This question has {len(draft.text):,} characters; send at most {MAX_TEXT:,}.")
        media = self.keep(session, draft.files)
        text = draft.text.strip()
        return Turn(text or default_question(media), media, typed=bool(text))

    def _numbers(
        self, session: Session, asked: Conversation, result: Result, first: float | None, options: GenerationOptions
    ) -> Numbers:
        trace = result.trace if result.trace is not None else session.trace
        present = sum(self.store.path(m) is not None for m in asked.turns[-1].media)
        return Numbers(
            prompt_tokens=result.prompt_tokens,
            media_tokens=sum(m.merged_tokens for m in trace.media) if trace else 0,
            new_tokens=result.new_tokens,
            first_token=result.timings.get("first_token", first),
            decode=result.timings.get("decode"),
            temperature=options.temperature,
            seed=options.seed,
            media=numbers_of(trace, present) if trace else (),
            reused_tokens=result.reused_tokens,
        )

    def _bounce(self, session: Session, run: Run, before: Conversation, notice: str) -> Iterator[View]:
        """Back to how it was; `finish` puts the draft into the composer again."""
        with session.lock:
            if not session.owns(run):
                return
            session.conversation, session.run, session.returned = before, None, run.draft
        yield settled(session, self.store, notice)


class _Stopped(Exception):
    """Stop was pressed before the question had reached the engine."""


def _begin(session: Session, draft: Draft | None) -> bool:
    """Takes the session for a new run, unless one is going on."""
    with session.lock:
        if session.run is not None:
            return False
        session.run, session.returned = Run(draft), None
        return True


def _in_their_words(sentence: str, conversation: Conversation) -> str:
    """The sentence with the visitor's names for files in the place of the store's."""
    for turn in conversation.turns:
        for medium in turn.media:
            sentence = sentence.replace(medium.file, medium.name)
    return sentence

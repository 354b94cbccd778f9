"""From the composer to an answer: one turn, checked, asked and streamed.

A turn is checked in full (its files open, the engine can prepare it) before it enters the conversation. What fails
before the first word goes back to the composer with a sentence; what fails later keeps the words that came. A run that
no longer owns its session (Stop released the visitor, the chat was cleared) changes nothing more, but for the numbers
of a stopped answer. Nothing is raised for what a visitor or the engine did.

A question is new, or a version of an earlier one; Retry asks the last one again and keeps the answer before as a
version, and Continue goes on with the last answer.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncGenerator, Mapping
from dataclasses import replace
from typing import Any

from qwen2vl_demo.engine.protocol import Engine, GenerationOptions, Outcome, Result
from qwen2vl_demo.errors import Cancelled, UserError
from qwen2vl_demo.media import PageChoice
from qwen2vl_demo.processing.messages import Message
from qwen2vl_demo.trace import PromptTrace
from qwen2vl_demo.ui.chat import bubbles
from qwen2vl_demo.ui.chat.answer_boxes import units_of
from qwen2vl_demo.ui.chat.attachments import store_files
from qwen2vl_demo.ui.chat.conversation import (
    Answer,
    Conversation,
    Ending,
    Numbers,
    Turn,
    count,
    default_question,
    numbers_of,
)
from qwen2vl_demo.ui.chat.kept_chat import keep, with_words
from qwen2vl_demo.ui.chat.markdown import GrowingMarkdown
from qwen2vl_demo.ui.chat.message_rows import CONTINUED, checksum, rows
from qwen2vl_demo.ui.chat.page_update import FAILED, PageUpdate, report, settled
from qwen2vl_demo.ui.chat.prompts import PreparedPrompt, Prompts
from qwen2vl_demo.ui.chat.repetition import Repetition
from qwen2vl_demo.ui.chat.saved_chat import MAX_NAME, MAX_TEXT, check_size, clean
from qwen2vl_demo.ui.chat.streaming import AnswerStream
from qwen2vl_demo.ui.media_store import MediaStore
from qwen2vl_demo.ui.sessions import Draft, Prediction, Run, Session
from qwen2vl_demo.ui.settings_form import AnswerSettings, SettingsForm
from qwen2vl_demo.ui.worker_threads import WorkerThreads

PAINT_INTERVAL = 0.06  # seconds: each update carries the whole chat, so the tokens of a fast model travel together
PAINT_SHARE = 3  # an update that took long is followed by a pause this many times as long
MAX_PAINT_INTERVAL = 5.0  # seconds between two updates when the machine is very busy
MAX_MEDIA_NUMBERS = 64  # pictures of a turn whose sizes are kept with its answer
LOOK_UP = 0.25  # seconds without news from the engine until the session is checked again
QUEUE_FULL = "Too many visitors are asking at once. Try again in a moment."
NOTHING_TO_SEND = "Type a question or attach a file first."
BUSY = "An answer is still being written. Wait for its end, or press Stop."
LOADING = "Your model is being loaded. Ask when it is there."


class Answers:
    """Asks the engine what visitors send. Safe for several threads."""

    def __init__(
        self,
        engine: Engine,
        store: MediaStore,
        prompts: Prompts,
        settings: SettingsForm,
        threads: WorkerThreads,
    ) -> None:
        self._engine, self._store, self._prompts = engine, store, prompts
        self._settings, self._threads = settings, threads

    @property
    def model(self) -> str:
        """The name that stands with answers."""
        return self._engine.name[:MAX_NAME]

    def settled(self, session: Session, notice: str | None = None) -> PageUpdate:
        """The whole page as the session has it, with no answer being written."""
        return settled(session, self._store, notice, resumes=self._engine.abilities.resumes, model=self.model)

    def begin(self, session: Session, draft: Draft) -> PageUpdate:
        """Shows the question in the chat at once, before anything of it is opened. If one is being edited, this is
        another version of it, and what stood in the composer before comes back there."""
        draft = replace(draft, text=clean(draft.text))
        if not draft.text.strip() and not draft.files:
            return PageUpdate(notice=NOTHING_TO_SEND)
        with session.lock:
            editing = session.editing
            index = session.conversation.index(editing.number) if editing else None
            if refusal := _begin(session, Run(draft, editing=editing if index is not None else None)):
                return PageUpdate(notice=refusal)
            session.editing = None
        before = session.conversation if index is None else session.conversation.before(index)
        files = f"*{count(len(draft.files), 'file')}*" if draft.files else ""
        question = {"role": "user", "content": "\n\n".join(filter(None, [files, bubbles.asked_words(draft.text)]))}
        opening = f"Opening {count(len(draft.files), 'file')}" if draft.files else "Thinking"
        shown = [*bubbles.show(before, self._store), question, bubbles.status(opening)]
        standing = editing.draft if editing else Draft()
        kept = None
        if 0 < len(draft.text.strip()) <= MAX_TEXT:  # what is typed outlives an app that ends while files are opened
            asked, chat = Turn(draft.text.strip()), session.conversation
            kept = keep(chat.adding(asked) if index is None else chat.instead(index, asked), self._store)
        under = self._rows(before)
        return PageUpdate(shown, standing, busy=True, notice="", rows=under, editing=0, saved=kept)

    def begin_retry(self, session: Session) -> PageUpdate:
        """The same for the last question, without its answer."""
        if session.conversation.last is None:
            return PageUpdate(notice="There is nothing to ask again yet.")
        if refusal := _begin(session, Run()):
            return PageUpdate(notice=refusal)
        unanswered = session.conversation.answered(None)
        shown = [*bubbles.show(unanswered, self._store), bubbles.status("Thinking")]
        return PageUpdate(shown, busy=True, notice="", rows=self._rows(unanswered))

    def begin_continue(self, session: Session) -> PageUpdate:
        """The same for the last answer, which goes on where it was cut off."""
        last = session.conversation.last
        if last is None or last.answer is None or not last.has_words or last.answer.ending not in CONTINUED:
            return PageUpdate(notice="There is no answer that was cut off.")
        if not self._engine.abilities.resumes:
            return PageUpdate(notice="This model's server cannot go on with an answer; ask for the rest.")
        if last.answer.model not in ("", self.model):
            return PageUpdate(notice=f"{last.answer.model} wrote this answer; choose it again to go on with it.")
        if refusal := _begin(session, Run(resumes=True)):
            return PageUpdate(notice=refusal)
        rows = self._rows(session.conversation.answered(None))
        return PageUpdate(bubbles.show(session.conversation, self._store), busy=True, notice="", rows=rows)

    def _rows(self, conversation: Conversation, trace: PromptTrace | None = None) -> str:
        resumes = self._engine.abilities.resumes
        return rows(conversation, self._store, resumes=resumes, trace=trace, model=self.model)

    async def respond(self, session: Session, values: Mapping[str, Any]) -> AsyncGenerator[PageUpdate, None]:
        """Streams the answer to the question that was begun; nothing if none was. `values` are the settings.

        A retry with the settings of the answer before gets a new seed and a higher temperature. These updates leave the
        composer alone: `finish` puts it in order.
        """
        with session.lock:
            run = session.run
            if run is None or run.started:
                session.finishes_due += 1
                return
            run.started = True
        updates = self._answer(session, run, session.conversation, values)
        try:
            async for update in updates:
                yield update
        finally:  # on every way out, a closed tab included
            run.cancel.set()
            await updates.aclose()
            run.done.set()
            with session.lock:
                session.finishes_due += 1
                if session.owns(run):
                    session.run = None

    def finish(self, session: Session, standing: Draft | None = None, shown: str | None = None) -> PageUpdate:
        """The composer after an answer, or in place of one: ready again, with the draft that came back, before what is
        `standing` there by now.

        `shown` is the checksum of the rows that the page has. Replies to what was pressed in quick succession can reach
        it in another order: where an older one came last, the chat is sent once more.

        Without a respond() before it, Gradio's queue was full. Whether there was one is counted: after Stop this can be
        the end of the stopped question, while the next one has begun and waits for its respond().
        """
        with session.lock:
            run = session.run
            if session.finishes_due:
                session.finishes_due -= 1
            elif run is not None and not run.started:
                session.run = None
                draft = give_back(session, run, standing or Draft())
                return replace(self.settled(session, QUEUE_FULL), draft=draft)
            returned, session.returned = session.returned, None
            draft = give_back(session, returned, standing or Draft()) if returned else None
            conversation = session.conversation
        if run is None and shown is not None and shown != checksum(self._rows(conversation)):
            return replace(self.settled(session), draft=draft)
        return PageUpdate(draft=draft, busy=run is not None)

    async def _answer(
        self, session: Session, run: Run, before: Conversation, values: Mapping[str, Any]
    ) -> AsyncGenerator[PageUpdate, None]:
        """Everything after the first sign of life. What goes wrong before the first word changes nothing."""
        question = before
        try:
            question, settings, left_out = await self._threads.run_for(
                session, self._question, session, run, before, values
            )
            written = question.last.answer if run.resumes and question.last else None
            prepared = await self._threads.run_for(
                session, self._prompts.prepare, question, settings.options, run.cancel
            )
            estimate = self._engine.estimate(prepared.trace, settings.options)
            with session.lock:
                if run.cancel.is_set() or not session.owns(run):
                    raise _Stopped
                question = question.answered(None)
                session.prediction = Prediction(question, estimate)
                session.conversation = question if written is None else question.answered(written)
                run.text = "" if written is None else written.text
                run.committed = True
                session.forget_time_ranges(run.draft.files if run.draft else ())
                under = self._rows(question, prepared.trace)
                session.note_run(question, settings.options)
            shown = await self._threads.run_for(session, bubbles.show, question, self._store)
            begun = bubbles.status("Thinking")
            if written is not None:
                begun = await asyncio.to_thread(bubbles.growing, written.text, GrowingMarkdown())
            kept = await self._threads.run_for(session, keep, question, self._store)
            saved = with_words(kept, run.text)
            yield PageUpdate([*shown, begun], saved=saved, prompt_sent=True, notice=left_out or None, rows=under)
            async for update in self._stream(session, run, question, shown, kept, prepared, settings, written):
                yield update
        except (_Stopped, _Released, Cancelled):
            yield await self._threads.run(self._bounce, session, run, before, "")
        except UserError as problem:
            yield await self._threads.run(self._bounce, session, run, before, str(problem))
        except Exception as problem:
            report(problem, "answering")
            yield await self._threads.run(self._bounce, session, run, before, FAILED.format(self._engine.name))

    async def _stream(
        self,
        session: Session,
        run: Run,
        question: Conversation,
        shown: list[bubbles.Bubble],
        kept: str,
        prepared: PreparedPrompt,
        settings: AnswerSettings,
        written: Answer | None,
    ) -> AsyncGenerator[PageUpdate, None]:
        """`written` is what the answer goes on from, `kept` what the browser keeps of the question: it gets each word
        that is shown with it, so that none is lost when the app ends in the middle."""
        options = settings.options
        before = written.text if written is not None else ""
        if before:
            prepared = replace(prepared, messages=(*prepared.messages, Message("assistant", before)))
        repetition = Repetition()
        started = painted = time.monotonic()
        interval, markdown = PAINT_INTERVAL, GrowingMarkdown()
        first: float | None = None
        result: Result | None = None
        ending: Ending = "cancelled"
        notice: str | None = None
        put_right = repeating = False
        stream = AnswerStream(self._engine, prepared, options, run.cancel)
        try:
            while not stream.ended:
                chunks = await stream.take(LOOK_UP, gather=max(0.0, painted + interval - time.monotonic()))
                with session.lock:
                    owned, as_left = session.owns(run), session.is_as_left(run)
                if not owned and not as_left:
                    raise _Released
                if as_left and not put_right:
                    put_right = True
                    yield await self._threads.run(self._as_it_stands, session)
                new = "".join(chunk.text for chunk in chunks)
                now = time.monotonic()
                first = now - started if new and first is None else first
                run.text = (run.text + new)[:MAX_TEXT]
                for chunk in chunks:
                    if chunk.result is not None:
                        result, ending = chunk.result, chunk.result.stop_reason
                repeating = repeating or (settings.stop_repetition and result is None and repetition.push(new))
                if repeating or len(run.text) == MAX_TEXT:
                    run.cancel.set()
                    ending = "repeating" if repeating else "length"
                statuses = [chunk.status for chunk in chunks if chunk.status]
                if not owned:
                    continue  # only the result is waited for
                if result is None and new:
                    painted = now
                    # In a thread: a long answer takes a while to draw, and everybody's page waits for the event loop.
                    bubble = await asyncio.to_thread(bubbles.growing, run.text, markdown)
                    yield PageUpdate([*shown, bubble], saved=with_words(kept, run.text))
                    taken = time.monotonic() - now
                    interval = min(max(PAINT_INTERVAL, PAINT_SHARE * taken), MAX_PAINT_INTERVAL)
                elif result is None and statuses and not run.text:
                    yield PageUpdate([*shown, bubbles.status(statuses[-1])])
        except _Released:
            raise
        except UserError as problem:
            if run.text == before:
                raise
            ending, notice = "error", str(problem)
        except Exception as problem:
            if run.text == before:
                raise
            report(problem, "writing an answer")
            ending, notice = "error", FAILED.format(self._engine.name)
        finally:
            stream.close()
        numbers = self._numbers(question, prepared, result, first, stream.waited, options) if result else None
        if written is not None and written.numbers is not None:
            numbers = written.numbers.continued(numbers) if numbers is not None else written.numbers
        text = (before + result.text if result is not None and result.text else run.text)[:MAX_TEXT]
        units = units_of(self._engine)
        answer = Answer(clean(text), ending, numbers, units, self.model)
        with session.lock:
            if session.is_as_left(run):
                if (last := session.conversation.last) is not None and last.answer is not None:
                    answer = replace(last.answer, numbers=numbers, box_units=units)
            elif not session.owns(run):
                raise _Released
            session.conversation, session.run = question.answered(answer), None
            if result is not None and session.prediction is not None:
                session.outcomes.append(Outcome.of(session.prediction.estimate, result))
        other_prompt = result is not None and result.trace is not None and result.trace is not prepared.trace
        if other_prompt:
            self._prompts.drop(question, options)
        update = await self._threads.run(self.settled, session, notice)
        yield replace(update, prompt_sent=other_prompt)

    def _question(
        self, session: Session, run: Run, before: Conversation, values: Mapping[str, Any]
    ) -> tuple[Conversation, AnswerSettings, str]:
        """The conversation with the question that was begun, how it is to be answered, and what of its files was left
        out. Raises UserError."""
        chosen, left_out = self._settings.read(values), ""
        settings = chosen.seeded()
        if run.resumes:
            return before, replace(settings, system=before.system), ""  # it goes on from what it was asked
        if run.draft is not None:
            turn, left_out = self._turn(session, run.draft, settings.pages, run.cancel)
            index = before.index(run.editing.number) if run.editing else None
            question = before.adding(turn) if index is None else before.instead(index, turn)
        elif before.last is not None and before.last.has_words:
            settings = settings if session.asked not in (None, chosen) else settings.for_retry()
            question = before.instead(len(before.turns) - 1, replace(before.last, answer=None))
        else:
            question = before.answered(None)
        check_size(question)
        session.asked = chosen
        return replace(question, system=settings.system), settings, left_out

    def _turn(self, session: Session, draft: Draft, pages: PageChoice, cancel: threading.Event) -> tuple[Turn, str]:
        """The question as a turn, and what of its files was left out."""
        if len(draft.text) > MAX_TEXT:
            raise UserError(f"This question has {len(draft.text):,} characters; send at most {MAX_TEXT:,}.")
        media, left_out = store_files(self._store, session, draft.files, pages, cancel)
        text = draft.text.strip()
        return Turn(text or default_question(media), media, typed=bool(text)), left_out

    def _numbers(
        self,
        question: Conversation,
        prepared: PreparedPrompt,
        result: Result,
        first: float | None,
        waited: float,
        options: GenerationOptions,
    ) -> Numbers:
        trace = result.trace if result.trace is not None else prepared.trace
        present = sum(self._store.path(m) is not None for m in question.turns[-1].media)
        engine_seconds = result.timings.get("first_token")
        return Numbers(
            prompt_tokens=result.prompt_tokens,
            media_tokens=sum(m.merged_tokens for m in trace.media),
            new_tokens=result.new_tokens,
            first_token=waited + engine_seconds if engine_seconds is not None else first,
            decode=result.timings.get("decode"),
            temperature=options.temperature,
            seed=options.seed,
            media=numbers_of(trace, present)[:MAX_MEDIA_NUMBERS],
            reused_tokens=result.reused_tokens,
            notes=result.notes,
            remark=result.remark,
        )

    def _bounce(self, session: Session, run: Run, before: Conversation, notice: str) -> PageUpdate:
        """Back to how it was; `finish` puts the draft into the composer again."""
        with session.lock:
            if not session.owns(run):
                return self._as_it_stands(session)
            session.conversation, session.run, session.returned = before, None, run
            session.editing = run.editing
        return self.settled(session, notice)

    def _as_it_stands(self, session: Session) -> PageUpdate:
        """The last update of an answer that has lost its session: one before may have reached the page only after what
        took the session away had shown how it left the chat."""
        with session.lock:
            if session.run is not None:
                return PageUpdate()  # the next answer shows the chat
        return self.settled(session)


class _Stopped(Exception):
    """Stop was pressed before the question had reached the engine."""


class _Released(Exception):
    """The session was taken from the answer, and its chat has changed since."""


def _begin(session: Session, run: Run) -> str:
    """Starts a new run in the session; the sentence that says why not, where one is going on, or a model comes."""
    with session.lock:
        if session.run is not None or session.loading:
            return LOADING if session.loading else BUSY
        session.run, session.returned = run, None
        return ""


def give_back(session: Session, run: Run, standing: Draft) -> Draft | None:
    """What the composer holds when a question comes back there that could not be asked, before what is `standing` in
    it by now. An edited question is edited further, and the rest waits. Call it under the session's lock."""
    if run.draft is None:
        return None
    if run.editing is None:
        return run.draft.joined(standing)
    session.editing = replace(run.editing, draft=standing)
    return run.draft

"""One answer of an engine as an asynchronous stream: first its place in the queue, then its chunks.

Waiting costs no thread: Gradio has 40 of them for everything that it does, and as many waiting visitors would block
uploads and Stop. Once it is the answer's turn, the engine runs in a thread of its own, so that it never waits for the
page: the reader takes whatever has arrived, however fast it came, or nothing after a while.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator
from typing import TypeVar

from qwen2vl_demo.engine.protocol import Chunk, Engine, GenerationOptions
from qwen2vl_demo.engine.request_queue import Ticket, waiting_text
from qwen2vl_demo.ui.chat.prompts import PreparedPrompt
from qwen2vl_demo.ui.worker_threads import WorkerThreads

POLL = 0.1  # seconds between two looks at the place in the queue

T = TypeVar("T")


class AnswerStream:
    """Reads the answer to one prompt. Create it on an event loop, and close it when it is no longer read."""

    def __init__(
        self, engine: Engine, prepared: PreparedPrompt, options: GenerationOptions, cancel: threading.Event
    ) -> None:
        """`cancel` ends the answer at its next step; `close` sets it."""
        self._cancel = cancel
        self._ticket = engine.queue.join()
        self._stream = lambda: engine.stream(
            prepared.messages, options, cancel, prompt=prepared.prompt, ticket=self._ticket
        )
        self._reader: StreamReader | None = None
        self._position = 0  # the last one that was reported
        self._joined = time.monotonic()
        self.waited = 0.0  # seconds in the queue

    @property
    def ended(self) -> bool:
        return self._reader is not None and self._reader.ended

    async def take(self, timeout: float, gather: float = 0.0) -> list[Chunk]:
        """The chunks that have arrived: waits up to `timeout` seconds for the first one, then goes on gathering until
        `gather` seconds have passed since the call. While the answer waits for its turn: a status, whenever its place
        in the queue has changed.

        Raises what the engine raised, after all chunks before it were taken.
        """
        if self._reader is None:
            deadline = time.monotonic() + timeout
            while (position := self._ticket.position) and not self._cancel.is_set():
                if position != self._position:
                    self._position = position
                    return [Chunk(status=waiting_text(position))]
                if time.monotonic() >= deadline:
                    return []
                await asyncio.sleep(POLL)
            self.waited = time.monotonic() - self._joined
            self._reader = StreamReader(self._leaving_at_the_end())
        return await self._reader.take(timeout, gather)

    def close(self) -> None:
        self._cancel.set()
        if self._reader is None:
            self._ticket.leave()

    def _leaving_at_the_end(self) -> Generator[Chunk, None, None]:
        """The engine's stream. The next in the queue starts when it has really ended, not when nobody reads it."""
        with self._ticket:
            yield from self._stream()


class StreamReader:
    """Reads an iterator in a thread of its own. To end the thread early, end the iterator."""

    def __init__(self, stream: Iterator[Chunk]) -> None:
        self._loop = asyncio.get_running_loop()
        self._chunks: deque[Chunk] = deque()
        self._failure: BaseException | None = None
        self._exhausted = False  # the thread adds nothing more
        self._news, self._end = asyncio.Event(), asyncio.Event()
        self.ended = False
        context = contextvars.copy_context()  # a Space lends its GPU to the request, which is found in the context
        threading.Thread(target=context.run, args=(self._run, stream), name="answer", daemon=True).start()

    async def take(self, timeout: float, gather: float = 0.0) -> list[Chunk]:
        """See `AnswerStream.take`."""
        until = time.monotonic() + gather
        await _wait(self._news, timeout)
        await _wait(self._end, until - time.monotonic())
        exhausted = self._exhausted  # read before the chunks: what is added in between is taken next time
        chunks = []
        while self._chunks:
            chunks.append(self._chunks.popleft())
        if exhausted and (self._failure is None or not chunks):
            self.ended = True
            if self._failure is not None:
                raise self._failure
        if not self._chunks and not exhausted:
            self._news.clear()
        return chunks

    def _run(self, stream: Iterator[Chunk]) -> None:
        try:
            for chunk in stream:
                self._chunks.append(chunk)
                self._tell(self._news.set)
        except BaseException as failure:
            self._failure = failure
        self._exhausted = True
        self._tell(self._news.set)
        self._tell(self._end.set)

    def _tell(self, callback: Callable[[], None]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop was closed: nobody reads any more
            self._loop.call_soon_threadsafe(callback)


async def in_turn(ticket: Ticket, cancel: threading.Event, run: Callable[[], T], threads: WorkerThreads) -> T | None:
    """Waits for the ticket's turn without a thread, then calls `run` in one. None if `cancel` was set before."""
    started = False

    def leaving_at_the_end() -> T:
        with ticket:
            return run()

    try:
        while ticket.position:
            if cancel.is_set():
                return None
            await asyncio.sleep(POLL)
        started = True
        return await threads.run(leaving_at_the_end)
    finally:
        if not started:
            ticket.leave()


async def _wait(event: asyncio.Event, seconds: float) -> None:
    """Until the event is set or the time has passed."""
    if seconds > 0 and not event.is_set():
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(event.wait(), seconds)

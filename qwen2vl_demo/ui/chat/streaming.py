"""An engine's stream, drawn by a thread of its own, so that nothing waits for the page and the page waits for nothing.

Gradio asks a handler for its next update only when the last one is on its way; an engine that writes in the handler's
thread would stand still meanwhile. Here the engine writes on, and whoever reads takes all that has come, however fast
it came, or nothing after a while. Knows queues and threads; neither gradio nor conversations.
"""

from __future__ import annotations

import contextvars
import queue
import threading
import time
from collections.abc import Iterable

from qwen2vl_demo.engine.protocol import Chunk


class Pump:
    """Reads `stream` in a thread. The thread ends with the stream; to end it early, cancel the stream itself."""

    def __init__(self, stream: Iterable[Chunk]) -> None:
        self._queue: queue.SimpleQueue[Chunk | BaseException | None] = queue.SimpleQueue()
        self.ended = False
        context = contextvars.copy_context()  # a Space's GPU is lent to the request, which lives in the context
        threading.Thread(target=context.run, args=(self._run, stream), name="answer", daemon=True).start()

    def take(self, seconds: float, at_least: float = 0.0) -> list[Chunk]:
        """What has come: waits up to `seconds` for the first chunk, and gathers for `at_least` seconds in any case.

        Raises what the stream raised, after all that came before it was taken.
        """
        until = time.monotonic() + at_least
        chunks: list[Chunk] = []
        wait = seconds
        while not self.ended:
            try:
                item = self._queue.get(timeout=wait)
            except queue.Empty:
                break
            if isinstance(item, BaseException):
                if chunks:
                    self._queue.put(item)  # nothing comes after it
                    break
                self.ended = True
                raise item
            if item is None:
                self.ended = True
                break
            chunks.append(item)
            wait = max(1e-4, until - time.monotonic())
        return chunks

    def _run(self, stream: Iterable[Chunk]) -> None:
        try:
            for chunk in stream:
                self._queue.put(chunk)
        except BaseException as problem:
            self._queue.put(problem)
        else:
            self._queue.put(None)

"""One call of the function that runs where the GPU is, read in a thread of its own.

Nothing can interrupt the wait for a GPU, nor the fork that follows. So that Stop need not wait for them, the call is
left to its thread; when it gets its GPU after all, it finds its flag set and returns at once.
"""

from __future__ import annotations

import contextvars
import queue
import threading
from collections.abc import Callable, Generator

from qwen2vl_demo.engine.zerogpu.messages import Event, Failed, Refused, Request, Task
from qwen2vl_demo.engine.zerogpu.stop_flags import StopFlags
from qwen2vl_demo.errors import Cancelled, UserError

POLL_SECONDS = 0.05  # how soon a set `cancel` is noticed


class _End:
    """Follows the last event."""


def borrow(
    task: Task, request: Callable[[int], Request], stops: StopFlags, cancel: threading.Event
) -> Generator[Event, None, None]:
    """Yields the events of `task`; `request` makes its argument from the number of its flag.

    Setting `cancel`, or closing the generator, sets that flag. Raises Cancelled if `cancel` is set before the task has
    started, UserError for what the task or ZeroGPU refuses, and RuntimeError for a bug in the task.
    """
    stop = stops.take()
    events: queue.SimpleQueue[Event | _End | BaseException] = queue.SimpleQueue()

    def read() -> None:
        try:
            for event in task(request(stop.number)):
                events.put(event)
            events.put(_End())
        except BaseException as failure:
            events.put(failure)
        finally:
            stop.free()

    # The visitor for whom a GPU is asked is found in the context.
    threading.Thread(target=contextvars.copy_context().run, args=(read,), name="loan", daemon=True).start()
    started = False
    try:
        while True:
            if cancel.is_set():
                stop.set()
                if not started:
                    raise Cancelled
            try:
                event = events.get(timeout=POLL_SECONDS)
            except queue.Empty:
                continue
            if isinstance(event, _End):
                return
            if isinstance(event, BaseException):
                raise _explained(event) from None
            if isinstance(event, Refused):
                raise UserError(event.sentence)
            if isinstance(event, Failed):
                raise RuntimeError(f"the process with the GPU failed:\n{event.trace}")
            started = True
            yield event
    finally:
        stop.set()


def _explained(failure: BaseException) -> BaseException:
    """What ZeroGPU refuses (no GPU is free, the visitor's quota is used up, a process was ended) it raises as an error
    of Gradio, which has a `message` for the visitor."""
    message = getattr(failure, "message", None)
    return failure if message is None else UserError(f"ZeroGPU says: {str(message).rstrip('.')}.")

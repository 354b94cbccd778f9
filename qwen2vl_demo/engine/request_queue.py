"""A first-come-first-served queue for an engine that runs a limited number of requests at a time.

A place in the queue is an object, not a blocked thread: a caller that has no thread to spare joins, polls
`Ticket.position`, and calls the engine once it is 0. A caller with a thread of its own can block in `Ticket.wait`.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

from qwen2vl_demo.errors import Cancelled

POLL_SECONDS = 0.05  # how soon a waiting thread notices that `cancel` was set


class RequestQueue:
    """Requests start strictly in the order in which they joined. Thread-safe."""

    def __init__(self, parallel: int | None = 1) -> None:
        """`parallel` is how many requests may run at the same time; None means no limit."""
        self._parallel = parallel
        self._tickets: list[Ticket] = []  # running and waiting requests, in the order of join()
        self._changed = threading.Condition()

    def join(self) -> Ticket:
        """Takes the next place. Leave it with `Ticket.leave`, or use the ticket as a context manager."""
        ticket = Ticket(self)
        with self._changed:
            self._tickets.append(ticket)
        return ticket

    def _position(self, ticket: Ticket) -> int:
        if self._parallel is None or ticket not in self._tickets:
            return 0
        return max(0, self._tickets.index(ticket) - self._parallel + 1)

    def _remove(self, ticket: Ticket) -> None:
        if ticket in self._tickets:
            self._tickets.remove(ticket)
            self._changed.notify_all()


class Ticket:
    """A place in a RequestQueue, from `join` to `leave`. Thread-safe."""

    def __init__(self, queue: RequestQueue) -> None:
        self._queue = queue
        self._left = False
        self._holders = 0

    @property
    def position(self) -> int:
        """How many requests must end before this one starts; 0 if it may start, or has left."""
        with self._queue._changed:
            return self._queue._position(self)

    def positions(self, cancel: threading.Event | None = None) -> Iterator[int]:
        """Yields the position now and each time it has changed, blocking in between; ends when it is 0.

        Raises Cancelled if `cancel` is set, or the ticket has left, before that.
        """
        last = None
        while True:
            with self._queue._changed:
                if self._left or (cancel is not None and cancel.is_set()):
                    raise Cancelled
                position = self._queue._position(self)
                if position == last:
                    self._queue._changed.wait(POLL_SECONDS)
                    continue
            if position == 0:
                return
            last = position
            yield position

    def wait(self, cancel: threading.Event | None = None) -> None:
        """Blocks until the position is 0. Raises Cancelled as `positions` does."""
        for _ in self.positions(cancel):
            pass

    @contextlib.contextmanager
    def hold(self) -> Iterator[None]:
        """Keeps the place while the block runs: a `leave` meanwhile takes effect when the block ends.

        Engines run their model inside it, so that no caller can start the next request too early. Raises Cancelled if
        the ticket has left already.
        """
        with self._queue._changed:
            if self._left:
                raise Cancelled
            self._holders += 1
        try:
            yield
        finally:
            with self._queue._changed:
                self._holders -= 1
                if self._left and not self._holders:
                    self._queue._remove(self)

    def leave(self) -> None:
        """Gives the place up, whether the request ran or not. May be called any number of times."""
        with self._queue._changed:
            self._left = True
            if not self._holders:
                self._queue._remove(self)

    def __enter__(self) -> Ticket:
        return self

    def __exit__(self, *exception: object) -> None:
        self.leave()


def waiting_text(position: int) -> str:
    """The status of a request that waits at this position, for people."""
    return f"{position} before you"

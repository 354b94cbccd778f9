"""Threads for work that would block the event loop: opening media, drawing views, computing attention."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections import deque
from collections.abc import Callable, Hashable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

MAX_THREADS = 32  # apart from those of Gradio and of asyncio, so that uploads and Stop never wait for this work
MAX_VISITORS = 128  # whose files are opened at the same time; most of these threads wait for a worker process

T = TypeVar("T")


class WorkerThreads:
    """A pool of threads. Those that wait for a place in an engine's queue do not take one.

    Opening files may take long, so each visitor has a queue for it, from which one call runs at a time; what waits in
    it has no thread.
    """

    def __init__(self, max_threads: int = MAX_THREADS) -> None:
        self._pool = ThreadPoolExecutor(max_threads, thread_name_prefix="page")
        self._queues = _Queues(ThreadPoolExecutor(MAX_VISITORS, thread_name_prefix="media"))

    async def run(self, function: Callable[..., T], *arguments: Any) -> T:
        """Calls the function in a thread, within the caller's context. Raises what it raises.

        If the caller is cancelled, the function runs to its end all the same.
        """
        return await asyncio.get_running_loop().run_in_executor(self._pool, _call(function, arguments))

    async def run_for(self, visitor: Hashable, function: Callable[..., T], *arguments: Any) -> T:
        """The same for work that opens a visitor's files: it starts when the visitor's earlier calls have ended."""
        return await asyncio.wrap_future(self._queues.submit(visitor, _call(function, arguments)))


class _Queues:
    """Calls of many visitors on one pool: those of a visitor one after the other, visitors beside each other."""

    def __init__(self, pool: ThreadPoolExecutor) -> None:
        self._pool = pool
        self._waiting: dict[Hashable, deque[tuple[Future[Any], Callable[[], Any]]]] = {}  # of visitors with a call
        self._lock = threading.Lock()

    def submit(self, visitor: Hashable, call: Callable[[], T]) -> Future[T]:
        future: Future[T] = Future()
        with self._lock:
            if (queue := self._waiting.get(visitor)) is not None:
                queue.append((future, call))
                return future
            self._waiting[visitor] = deque()
        self._pool.submit(self._run, visitor, future, call)
        return future

    def _run(self, visitor: Hashable, future: Future[Any], call: Callable[[], Any]) -> None:
        if future.set_running_or_notify_cancel():
            try:
                future.set_result(call())
            except BaseException as failure:
                future.set_exception(failure)
        with self._lock:
            if not (queue := self._waiting[visitor]):
                del self._waiting[visitor]
                return
            following = queue.popleft()
        self._pool.submit(self._run, visitor, *following)  # behind the visitors that wait for a thread


def _call(function: Callable[..., T], arguments: tuple[Any, ...]) -> Callable[[], T]:
    context = contextvars.copy_context()  # a Space lends its GPU to the request, which is found in the context
    return partial(context.run, function, *arguments)

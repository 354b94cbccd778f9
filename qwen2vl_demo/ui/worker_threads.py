"""Threads for work that would block the event loop: opening media, drawing views, computing attention."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

MAX_THREADS = 32  # apart from those of Gradio and of asyncio, so that uploads and Stop never wait for this work

T = TypeVar("T")


class WorkerThreads:
    """A pool of threads. Those that wait for a place in an engine's queue do not take one."""

    def __init__(self, max_threads: int = MAX_THREADS) -> None:
        self._pool = ThreadPoolExecutor(max_threads, thread_name_prefix="page")

    async def run(self, function: Callable[..., T], *arguments: Any) -> T:
        """Calls the function in a thread, within the caller's context. Raises what it raises.

        If the caller is cancelled, the function runs to its end all the same.
        """
        context = contextvars.copy_context()  # a Space lends its GPU to the request, which is found in the context
        call = partial(context.run, function, *arguments)
        return await asyncio.get_running_loop().run_in_executor(self._pool, call)

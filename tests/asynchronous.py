"""Runs asynchronous code from ordinary tests, on an event loop in a thread of its own.

Not `asyncio.run`: while a browser of pytest-playwright is open, a loop is running in the main thread.
"""

import asyncio
from collections.abc import AsyncGenerator, Coroutine, Generator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")


def run(work: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()


def stepwise(values: AsyncGenerator[T, None]) -> Generator[T, None, None]:
    """The values of an asynchronous generator, one by one; closing this closes it."""
    with ThreadPoolExecutor(1) as thread:
        loop = asyncio.new_event_loop()

        def step(work: Any) -> Any:
            return thread.submit(loop.run_until_complete, work).result()

        try:
            while True:
                try:
                    yield step(anext(values))
                except StopAsyncIteration:
                    return
        finally:
            step(values.aclose())
            step(loop.shutdown_default_executor())
            loop.close()

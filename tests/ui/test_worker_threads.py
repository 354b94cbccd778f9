"""Threads for a visitor's files: one call at a time, others beside it, and no thread for what waits."""

import asyncio
import threading

import pytest

from qwen2vl_demo.ui.worker_threads import WorkerThreads
from tests.asynchronous import run


def test_a_visitors_files_wait_for_each_other_and_hold_no_one_else() -> None:
    threads, order, gate = WorkerThreads(), [], threading.Event()

    def slow(number: int) -> None:
        gate.wait(60)
        order.append(number)

    async def scenario() -> None:
        before = threading.active_count()
        calls = [asyncio.ensure_future(threads.run_for("one", slow, number)) for number in range(40)]
        await asyncio.sleep(0.05)
        assert threading.active_count() <= before + 1
        assert await asyncio.wait_for(threads.run_for("two", str, 7), 30) == "7"
        assert await asyncio.wait_for(threads.run(str, 8), 30) == "8"
        calls[3].cancel()  # it has not begun, and never will
        await asyncio.sleep(0.01)
        gate.set()
        await asyncio.gather(*calls, return_exceptions=True)

    run(scenario())
    assert order == [number for number in range(40) if number != 3]


def test_a_failure_is_the_callers_and_the_next_call_runs() -> None:
    threads = WorkerThreads()

    async def scenario() -> None:
        with pytest.raises(ZeroDivisionError):
            await threads.run_for("one", divmod, 1, 0)
        assert await threads.run_for("one", str, 1) == "1"

    run(scenario())

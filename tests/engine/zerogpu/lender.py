"""A stand-in for the package `spaces` on ZeroGPU: it runs a generator function in a forked process, as that does.

What it has in common with `spaces`: the process is forked from the page's at the first call, gets its arguments by
pickle, runs the function in a thread, sends what it yields by pickle, may serve further calls, and looks at a flag
after each step that is set when the caller closes the generator. An exception crosses as the name of its class; it is
raised at the caller as an error of Gradio, as is every refusal.
"""

from __future__ import annotations

import multiprocessing
import os
import queue
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import gradio as gr
from gradio.context import LocalContext

FORK = multiprocessing.get_context("fork")
END = "end"


@dataclass
class Loan:
    """One call."""

    seconds: int
    token: str | None  # of the visitor, from the headers of the request
    process: int


class Lender:
    """`GPU` is the decorator. Set the attributes to what ZeroGPU shall do with the next call."""

    def __init__(self) -> None:
        self.reuse = False  # whether an idle process gets the next call
        self.wait = 0.0  # seconds until a GPU is free
        self.refuse = ""  # the sentence with which a call is refused
        self.loans: list[Loan] = []
        self._processes: list[_Process] = []

    def GPU(self, task: Callable[..., Iterator[Any]], *, duration: Callable[..., int]) -> Callable[..., Iterator[Any]]:
        def call(request: Any) -> Iterator[Any]:
            seconds = duration(request)
            visitor = LocalContext.request.get(None)
            time.sleep(self.wait)
            if self.refuse:
                raise gr.Error(self.refuse)
            process = self._process(task)
            self.loans.append(
                Loan(seconds, None if visitor is None else visitor.headers.get("x-ip-token"), process.number)
            )
            yield from process.events(request, lambda: self._processes.append(process))

        return call

    def kill(self) -> None:
        """Ends the process of the last call, as ZeroGPU does with one that takes too long."""
        os.kill(self.loans[-1].process, signal.SIGKILL)

    def close(self) -> None:
        for process in self._processes:
            process.end()

    def _process(self, task: Callable[..., Iterator[Any]]) -> _Process:
        if self.reuse and self._processes:
            return self._processes.pop()
        return _Process(task)


class _Process:
    def __init__(self, task: Callable[..., Iterator[Any]]) -> None:
        self._requests, self._events = FORK.SimpleQueue(), FORK.SimpleQueue()
        self._stop = FORK.Event()
        self._process = FORK.Process(target=self._serve, args=(task,), daemon=True)
        self._process.start()
        self.number = self._process.pid
        threading.Thread(target=self._watch, daemon=True).start()

    def end(self) -> None:
        self._process.kill()

    def events(self, request: Any, idle: Callable[[], None]) -> Iterator[Any]:
        self._requests.put(request)
        arrived: queue.SimpleQueue[Any] = queue.SimpleQueue()

        def read() -> None:
            while True:
                arrived.put(event := self._events.get())
                if event is None or event[0] != "value":
                    return

        reader = threading.Thread(target=read, daemon=True)
        reader.start()
        try:
            while True:
                event = arrived.get(timeout=60)
                if event is None:
                    raise gr.Error("GPU task aborted")
                kind, value = event
                if kind == "failed":
                    raise gr.Error(value)
                if kind == END:
                    idle()
                    return
                yield value
        except GeneratorExit:
            self._stop.set()
            reader.join(60)
            raise

    def _watch(self) -> None:
        self._process.join()
        lock = self._events._wlock  # type: ignore[attr-defined]
        lock.acquire(timeout=1)  # the process may have held it when it was killed
        lock.release()
        self._events.put(None)

    def _serve(self, task: Callable[..., Iterator[Any]]) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        while True:
            request = self._requests.get()
            self._stop.clear()
            thread = threading.Thread(target=self._iterate, args=(task, request))
            thread.start()
            thread.join()

    def _iterate(self, task: Callable[..., Iterator[Any]], request: Any) -> None:
        steps = task(request)
        try:
            for value in steps:
                if self._stop.is_set():
                    steps.close()  # type: ignore[attr-defined]
                    break
                self._events.put(("value", value))
        except Exception as problem:
            self._events.put(("failed", type(problem).__name__))
            return
        self._events.put((END, None))

"""A pool of warm worker processes, from the side of the app.

A fork server (`fork_server.py`) forks the workers; each serves one call at a time (`worker.py`). A worker that is
stopped, exceeds a limit or crashes is killed and replaced. Nothing is left behind: workers end when the app does, also
when it is killed.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from qwen2vl_demo.decoding import transfer
from qwen2vl_demo.decoding.protocol import TooCostly
from qwen2vl_demo.decoding.turns import Turns
from qwen2vl_demo.decoding.worker import Reply, Request
from qwen2vl_demo.errors import Cancelled, UserError

SECONDS = 10.0  # of processor time, for one file
MEMORY_BYTES = 1_400_000_000  # of one worker, libraries not counted
PATIENCE = 12  # times the processor time that a call may take by the clock, since others use the processors too
WARM_BYTES = 400_000_000  # a worker that has had more memory than this is replaced, so that it does not keep it
MAX_WORKERS = 8  # each may have the memory of a file
POLL = 0.05  # seconds between two looks at `cancel`
FIRST_SECONDS = 1.0  # by the clock, that a call may take while others wait for their first turn
REPORT_SECONDS = 10.0  # until a worker that has ended is reported, at most
# What a worker needs of the environment; keys and passwords are not in it.
ENVIRONMENT = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SYSTEMROOT", "TMPDIR")
SINGLE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}  # threads would be lost by forking
# A worker keeps up to 96 MB for its next picture: asking the system for them again takes a tenth of a picture's time.
KEEP_MEMORY = {
    "MALLOC_MMAP_THRESHOLD_": str(32 * 2**20),
    "MALLOC_TRIM_THRESHOLD_": str(64 * 2**20),
    "PILLOW_BLOCKS_MAX": "2",  # of 16 MB
}

T = TypeVar("T")


class WorkerProcesses:
    """Decodes files in worker processes. Implements `Decoding`; for POSIX systems.

    A file may take `seconds` of processor time and `memory_bytes` of memory. `workers` is how many work at the same
    time; by default one for each processor, up to MAX_WORKERS. Calls beyond that wait (see `Turns`); one that takes
    long while others wait for their first turn is stopped, and begins again when it is the turn of the slow ones. The
    modules whose functions are called are `modules`: they are imported once, before the workers are forked.
    """

    def __init__(
        self,
        *,
        seconds: float = SECONDS,
        memory_bytes: int = MEMORY_BYTES,
        workers: int | None = None,
        modules: Sequence[str] = (),
    ) -> None:
        self._seconds, self._memory_bytes, self._modules = seconds, memory_bytes, modules
        self._workers = workers or min(processors(), MAX_WORKERS)
        self._turns = Turns(self._workers)
        self._idle: deque[_Worker] = deque()
        self._lock = threading.Lock()
        self._closed = False
        self._server = _ForkServerProcess(memory_bytes, modules)
        for _ in range(self._workers):
            self._idle.append(self._server.fork())

    def run(self, function: Callable[..., T], *arguments: Any, label: str, cancel: threading.Event | None = None) -> T:
        """See `Decoding.run`. Waits until a worker is free."""
        request = Request(function, arguments, self._seconds)
        try:
            reply = self._serve(request, label, cancel, slow=False)
        except _GiveWay:
            reply = self._serve(request, label, cancel, slow=True)
        if reply.out_of_memory:
            raise self._out_of_memory(label)
        if reply.sentence is not None:
            raise UserError(reply.sentence)
        if reply.bug is not None:
            raise RuntimeError(f"in a worker process:\n{reply.bug}")
        return reply.result

    def close(self) -> None:
        """Ends all workers, those that work included, and waits for the fork server's end."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, deque()
        for worker in idle:
            worker.kill()
        self._server.close()

    def _serve(self, request: Request, label: str, cancel: threading.Event | None, *, slow: bool) -> Reply:
        """Waits for a worker and has it answer. Raises _GiveWay for a call that turns out to be slow."""
        with self._turns.turn(cancel, slow=slow):
            for _ in range(self._workers + 1):  # all that were idle may have been killed
                with contextlib.suppress(_Lost):
                    return self._serve_once(request, label, cancel, slow)
            raise RuntimeError("the processes that decode files are killed again and again")

    def _serve_once(self, request: Request, label: str, cancel: threading.Event | None, slow: bool) -> Reply:
        worker = self._take()
        try:
            reply = self._call(worker, request, label, cancel, slow)
        except BaseException:  # it is in the middle of something, or dead
            worker.kill()
            self._replace()
            raise
        if reply.peak_bytes > WARM_BYTES or reply.out_of_memory:
            worker.kill()
            self._replace()
        else:
            self._put(worker)
        return reply

    def _call(self, worker: _Worker, request: Request, label: str, cancel: threading.Event | None, slow: bool) -> Reply:
        started = time.monotonic()

        def check() -> None:
            if self._closed or (cancel is not None and cancel.is_set()):
                raise Cancelled
            elapsed = time.monotonic() - started
            if not slow and elapsed > FIRST_SECONDS and self._turns.newcomers:
                raise _GiveWay
            if elapsed > PATIENCE * self._seconds:
                raise UserError(f"{label} {self._too_slow()}")

        check()
        try:
            reply: Reply = worker.call(request, check)
            return reply
        except EOFError:
            raise self._ended(worker, label) from None

    def _ended(self, worker: _Worker, label: str) -> Exception:
        """Why a worker ended by itself."""
        if self._closed:
            return Cancelled()
        report = worker.report()
        if report is None or not worker.busy:
            return _Lost()
        number, peak_bytes = report
        if number == signal.SIGPROF:
            return TooCostly(label, self._too_slow())
        if number == signal.SIGKILL or peak_bytes > self._memory_bytes // 2:  # the system's memory, or the limit
            return self._out_of_memory(label)
        return UserError(f"{label} makes its decoder fail; save or export it again and send the new file.")

    def _too_slow(self) -> str:
        return (
            f"takes more than {self._seconds:g} s of processor time to open (--decode-seconds); "
            "send a smaller, shorter or simpler file."
        )

    def _out_of_memory(self, label: str) -> UserError:
        needs = f"needs more than {self._memory_bytes / 1e9:.1f} GB of memory to open"
        return TooCostly(label, f"{needs}; send a smaller or simpler file.")

    def _take(self) -> _Worker:
        with self._lock:
            if self._closed:
                raise Cancelled
            return self._idle.popleft() if self._idle else self._fork()

    def _put(self, worker: _Worker) -> None:
        with self._lock:
            if not self._closed:
                self._idle.appendleft(worker)  # the one that is in the processor's caches comes first
                return
        worker.kill()

    def _replace(self) -> None:
        """Has another worker forked, unless the app is closing; does not wait for it."""
        with self._lock:
            if not self._closed:
                self._idle.append(self._fork())

    def _fork(self) -> _Worker:
        try:
            return self._server.fork()
        except OSError:  # the server was killed, and its workers with it
            self._server.close()
            self._server = _ForkServerProcess(self._memory_bytes, self._modules)
            self._idle.clear()
            return self._server.fork()


def processors() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class _Lost(Exception):
    """A worker was killed before it had the request, or the server that forks was; the file is not the reason."""


class _GiveWay(Exception):
    """A call has had its first turn, and others wait for theirs."""


class _ForkServerProcess:
    """The running fork server. It ends when this object's socket is closed."""

    def __init__(self, memory_bytes: int, modules: Sequence[str]) -> None:
        self._socket, theirs = socket.socketpair()
        environment = {name: os.environ[name] for name in ENVIRONMENT if name in os.environ}
        with theirs:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "qwen2vl_demo.decoding.fork_server"),
                    *(str(theirs.fileno()), str(memory_bytes), *modules),
                ],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl+C is for the app, which then ends it
                env={
                    **environment,
                    "PYTHONPATH": os.pathsep.join(os.path.abspath(path) for path in sys.path if path),
                    **SINGLE_THREAD,
                    **KEEP_MEMORY,
                },
            )

    def fork(self) -> _Worker:
        """Asks for a worker. It can be called at once, whether or not it runs yet. Raises OSError if there is no fork
        server any more."""
        work, their_work = transfer.socket_pair()
        watch, their_watch = socket.socketpair()
        with their_work, their_watch:
            socket.send_fds(self._socket, [b"f"], [their_work.fileno(), their_watch.fileno()])
        return _Worker(work, watch)

    def close(self) -> None:
        self._socket.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(REPORT_SECONDS)


class _Worker:
    """One worker process, known by its two sockets."""

    def __init__(self, work: socket.socket, watch: socket.socket) -> None:
        self._work, self._watch = work, watch
        self.busy = False  # it has a request
        work.settimeout(POLL)

    def call(self, request: Request, waiting: Callable[[], None]) -> Any:
        """Sends a request and returns the reply; calls `waiting` about every POLL seconds. Raises EOFError for a
        worker that has ended."""
        try:
            self._work.settimeout(None)
            transfer.send(self._work, request)
        except OSError:
            raise EOFError from None
        self.busy = True
        self._work.settimeout(POLL)
        reply = transfer.receive(self._work, waiting)
        self.busy = False
        return reply

    def report(self) -> tuple[int, int] | None:
        """The signal that ended the worker (0: none) and its peak of memory in bytes. None: nobody watched it."""
        self._watch.settimeout(REPORT_SECONDS)
        try:
            status, peak_bytes = transfer.REPORT.unpack(self._watch.recv(transfer.REPORT.size))
        except (OSError, struct.error):
            return None
        return (os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0), peak_bytes

    def kill(self) -> None:
        self._work.close()
        self._watch.close()  # the fork server sees it and kills the process

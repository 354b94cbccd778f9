"""The process that forks workers: `python -m qwen2vl_demo.decoding.fork_server FD MEMORY_BYTES MODULE ...`.

It has imported what workers need and does nothing else, so that a worker is there in milliseconds and shares that
memory with the others. The app asks for a worker by sending a byte over the socket FD with two sockets: one for the
worker's requests and replies, and one that the app keeps open for as long as the worker may live. When the worker ends,
its wait status and its peak of memory in bytes come back over the second socket. When the app closes a second socket,
that worker is killed; when the first socket is closed, which also happens when the app is killed, everything ends.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import select
import signal
import socket
import sys
from collections.abc import Sequence

from qwen2vl_demo.decoding import worker
from qwen2vl_demo.decoding.transfer import REPORT

FIRST_FD = 3  # after the standard streams


class ForkServer:
    """Forks, watches and kills workers. `run` returns when the app has gone."""

    def __init__(self, app: socket.socket, memory_bytes: int) -> None:
        self._app, self._memory_bytes = app, memory_bytes
        self._watched: dict[int, tuple[int, socket.socket]] = {}  # file descriptor: process id, its second socket
        self._poll = select.poll()
        self._poll.register(app, select.POLLIN)
        self._ended, signals = os.pipe()  # readable when a worker has ended
        for end in (self._ended, signals):
            os.set_blocking(end, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(signals)
        self._poll.register(self._ended, select.POLLIN)

    def run(self) -> None:
        try:
            while True:
                for descriptor, _ in self._poll.poll():
                    if descriptor == self._app.fileno():
                        message, sockets, _, _ = socket.recv_fds(self._app, 1, 2)
                        if not message:
                            return
                        self._fork(*(socket.socket(fileno=fd) for fd in sockets))
                    elif descriptor == self._ended:
                        with contextlib.suppress(BlockingIOError):
                            os.read(self._ended, 4096)
                        self._reap()
                    elif descriptor in self._watched:
                        os.kill(self._watched[descriptor][0], signal.SIGKILL)  # it is reaped when SIGCHLD comes
                        self._poll.unregister(descriptor)
        finally:
            for process, _ in self._watched.values():
                os.kill(process, signal.SIGKILL)

    def _fork(self, work: socket.socket, watch: socket.socket) -> None:
        server = os.getpid()
        process = os.fork()
        if process == 0:
            _become_worker(work, server, self._memory_bytes)
        work.close()
        self._watched[watch.fileno()] = process, watch
        self._poll.register(watch, 0)  # a hang-up is always reported

    def _reap(self) -> None:
        while True:
            try:
                process, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if process == 0:
                return
            descriptor = next(fd for fd, (watched, _) in self._watched.items() if watched == process)
            _, watch = self._watched.pop(descriptor)
            with contextlib.suppress(KeyError):
                self._poll.unregister(descriptor)
            with contextlib.suppress(OSError):
                watch.send(REPORT.pack(status, usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)))
            watch.close()


def _become_worker(work: socket.socket, server: int, memory_bytes: int) -> None:
    """Serves requests and ends the process, whatever happens."""
    try:
        os.setpgid(0, 0)
        worker.die_with_parent()
        if os.getppid() != server:  # it ended before it was asked to take this process with it
            os._exit(1)
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.dup2(work.fileno(), FIRST_FD)  # the only descriptor that stays open beside the standard streams
        os.closerange(FIRST_FD + 1, os.sysconf("SC_OPEN_MAX") if sys.platform != "linux" else 65_536)
        worker.serve(socket.socket(fileno=FIRST_FD), memory_bytes)
    finally:
        os._exit(0)


def main(arguments: Sequence[str]) -> None:
    descriptor, memory_bytes, *modules = arguments
    worker.leave_network()  # while there is one thread
    for module in modules:
        importlib.import_module(module)
    gc.collect()
    gc.freeze()  # collections in a worker do not touch, and so copy, what was imported
    ForkServer(socket.socket(fileno=int(descriptor)), int(memory_bytes)).run()


if __name__ == "__main__":
    main(sys.argv[1:])

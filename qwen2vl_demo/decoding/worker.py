"""The process that decodes: calls one function after the other for the app, within limits of its own.

What is promised: a file cannot take more memory or processor time than the limits say, can make neither the app nor
another file's worker fail, cannot make a worker write to a file, and finds no environment variable of the app in it.
On Linux, where the system permits it, a worker has no network. What is not: a decoder that a file takes over completely
can still read the files that the app's user can read; to keep it from that, run the app as a user of its own or in a
container. Limits that a platform does not have are left out.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
import socket
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from qwen2vl_demo.decoding import transfer
from qwen2vl_demo.errors import UserError

MAX_FILES = 64  # open at the same time
SHARED_BYTES = 2**30  # address space beside the memory that counts: libraries, stacks, reserved ranges
PR_SET_PDEATHSIG = 1
CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000


class Request(NamedTuple):
    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    seconds: float  # of processor time, at most


class Reply(NamedTuple):
    result: Any = None
    sentence: str | None = None  # of a UserError
    out_of_memory: bool = False
    bug: str | None = None  # the traceback of any other exception
    peak_bytes: int = 0  # of memory, since the worker began


def serve(connection: socket.socket, memory_bytes: int) -> None:
    """Answers requests until the app closes the connection."""
    _set_limits(memory_bytes)
    while True:
        try:
            request = transfer.receive(connection, trusted=True)
        except EOFError:
            return
        except Exception:
            reply = Reply(bug=traceback.format_exc())
        else:
            signal.setitimer(signal.ITIMER_PROF, request.seconds)
            reply = _answer(request)
            signal.setitimer(signal.ITIMER_PROF, 0)
        try:
            transfer.send(connection, reply._replace(peak_bytes=peak_bytes()))
        except OSError:
            return
        except MemoryError:
            transfer.send(connection, Reply(out_of_memory=True))
        del reply  # before the next request is waited for


def leave_network() -> None:
    """Moves this process, and those that it forks, into a network namespace that has no devices, if it may.

    Without privileges that needs a user namespace, which only a process with a single thread can enter.
    """
    if sys.platform == "linux":
        flags = CLONE_NEWNET if os.geteuid() == 0 else CLONE_NEWUSER | CLONE_NEWNET
        ctypes.CDLL(None).unshare(flags)  # -1 where it is not permitted


def die_with_parent() -> None:
    """Lets the kernel kill this process when the one that forked it ends. Linux only."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def peak_bytes() -> int:
    """The most memory that this process has had, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def _answer(request: Request) -> Reply:
    try:
        return Reply(request.function(*request.arguments))
    except UserError as error:
        return Reply(sentence=str(error), out_of_memory=isinstance(error.__cause__, MemoryError))
    except MemoryError:
        return Reply(out_of_memory=True)
    except Exception:
        return Reply(bug=traceback.format_exc())


def _set_limits(memory_bytes: int) -> None:
    if sys.platform == "linux":
        with contextlib.suppress(OSError):  # if memory runs out on the machine, a worker is what is killed
            Path("/proc/self/oom_score_adj").write_text("1000")
        # RLIMIT_DATA counts what can be written to, so neither libraries nor address space that is only reserved.
        _limit(resource.RLIMIT_DATA, memory_bytes)
        _limit(resource.RLIMIT_AS, memory_bytes + SHARED_BYTES)
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_NOFILE, MAX_FILES)
    _limit(resource.RLIMIT_FSIZE, 0)  # no file can be written
    signal.signal(signal.SIGPROF, signal.SIG_DFL)  # sent when the processor time is over: ends the process


def _limit(kind: int, value: int) -> None:
    with contextlib.suppress(OSError, ValueError):  # the machine's own limit is lower
        resource.setrlimit(kind, (value, value))

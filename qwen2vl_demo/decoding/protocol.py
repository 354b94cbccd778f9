"""What runs a function on an untrusted file, and the implementation that runs it at once in this process."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from qwen2vl_demo.errors import Cancelled, UserError

T = TypeVar("T")


class TooCostly(UserError):
    """A file that is beyond the limits of a process, and would be the next time."""

    def __init__(self, label: str, reason: str) -> None:
        """`reason` is the sentence without the file's label, which another person may have given another name."""
        super().__init__(f"{label} {reason}")
        self.reason = reason


class Decoding(Protocol):
    """Runs functions that open untrusted files. Safe for several threads."""

    def run(self, function: Callable[..., T], *arguments: Any, label: str, cancel: threading.Event | None = None) -> T:
        """Calls `function(*arguments)` and returns its result, whose arrays may be read-only.

        The function is one of a module, and what it gets and returns can be pickled. `label` is what sentences call
        the file. Raises what the function raises, TooCostly for a file beyond the limits of the process, and Cancelled
        once `cancel` is set.
        """
        ...

    def close(self) -> None:
        """Ends what it started; every call that runs raises Cancelled."""
        ...


class InProcess:
    """Calls the function in the caller's thread. Has no limits, and looks at `cancel` only before it begins."""

    def run(self, function: Callable[..., T], *arguments: Any, label: str, cancel: threading.Event | None = None) -> T:
        if cancel is not None and cancel.is_set():
            raise Cancelled
        return function(*arguments)

    def close(self) -> None:
        """Nothing was started."""

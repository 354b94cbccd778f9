"""What a process and all that it started use, by Linux' /proc."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


def process_tree(pid: int) -> list[int]:
    """The process and all that it started, as far as they live."""
    found, left = [], [pid]
    while left:
        current = left.pop()
        found.append(current)
        with contextlib.suppress(OSError):
            for task in Path(f"/proc/{current}/task").iterdir():
                left += map(int, (task / "children").read_text().split())
    return found


def processor_seconds(pid: int) -> float:
    """Of the processes that live, and of those of their children that have ended."""
    ticks = 0
    for process in process_tree(pid):
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
            ticks += sum(map(int, fields[11:15]))
    return ticks / TICKS


def held_bytes(pid: int) -> int:
    """The memory that all of them hold together, pages that they share counted once."""
    held = 0
    for process in process_tree(pid):
        with contextlib.suppress(OSError):
            held += _field(f"/proc/{process}/smaps_rollup", "Pss")
    return held


def peak_bytes(pid: int) -> int:
    """`held_bytes`, or the most that one of them has held since `forget_peak` if that is more."""
    highest = held_bytes(pid)
    for process in process_tree(pid):
        with contextlib.suppress(OSError):
            highest = max(highest, _field(f"/proc/{process}/status", "VmHWM"))
    return highest


def alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and was not waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def _field(file: str, name: str) -> int:
    """A figure in kB of a file of /proc, in bytes; 0 where it is missing."""
    lines = (line.split() for line in Path(file).read_text().splitlines())
    return next((int(words[1]) * 1024 for words in lines if words[0] == f"{name}:"), 0)


def forget_peak(pid: int) -> None:
    for process in process_tree(pid):
        with contextlib.suppress(OSError):
            Path(f"/proc/{process}/clear_refs").write_text("5")

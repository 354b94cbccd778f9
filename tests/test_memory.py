"""The budget of all caches follows the machine or the container, and freed memory goes back to the system."""

import platform
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from qwen2vl_demo import memory
from qwen2vl_demo.memory import FreedMemory, cache_bytes, total_memory

GB = 2**30


@pytest.mark.parametrize(
    ("total", "budget"), [(None, GB // 4), (2 * GB, GB // 4), (16 * GB, GB), (64 * GB, 4 * GB), (1024 * GB, 8 * GB)]
)
def test_the_budget_is_a_sixteenth_within_bounds(total, budget):
    assert cache_bytes(total) == budget


@pytest.mark.parametrize(("limit", "counts"), [(str(3 * GB), True), ("max", False), (str(2**63 - 4096), False)])
def test_the_limit_of_a_container_counts_and_no_limit_does_not(tmp_path, monkeypatch, limit, counts):
    file = tmp_path / "memory.max"
    file.write_text(f"{limit}\n")
    monkeypatch.setattr(memory, "_LIMIT_FILES", (Path("/nowhere"),))
    machine = total_memory()
    monkeypatch.setattr(memory, "_LIMIT_FILES", (file,))
    assert total_memory() == (min(3 * GB, machine or 3 * GB) if counts else machine)


def test_where_nothing_is_told_nothing_is_known(monkeypatch):
    monkeypatch.setattr(memory, "_LIMIT_FILES", ())
    monkeypatch.delattr(memory.os, "sysconf")
    assert total_memory() is None


def test_many_answers_in_a_moment_give_memory_back_once(monkeypatch):
    """The moment is over when the test says so."""
    calls, waiting = [], []

    class Moment:
        def __init__(self, delay, over):
            self.over = over

        def start(self):
            waiting.append(self)

    monkeypatch.setattr(memory, "give_back", lambda: calls.append(1))
    monkeypatch.setattr(memory.threading, "Timer", Moment)
    freed = FreedMemory()
    for answers in (100, 1):
        for _ in range(answers):
            freed.give_back_soon()
        (moment,) = waiting
        waiting.clear()
        moment.over()
    assert len(calls) == 2


def test_memory_is_given_back_after_a_moment(monkeypatch):
    done = threading.Event()
    monkeypatch.setattr(memory, "give_back", done.set)
    FreedMemory(delay=0.01).give_back_soon()
    assert done.wait(10)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has arenas")
def test_memory_that_many_threads_freed_is_given_back():
    """16 threads hold 8 MB each in pieces, freed with one small piece left in each: 120 MB stayed."""
    script = """
import threading
from qwen2vl_demo.memory import give_back, limit_arenas
assert limit_arenas()
def resident():
    return int(next(l for l in open("/proc/self/status") if l.startswith("VmRSS")).split()[1]) / 1024
before, kept = resident(), []
def work():
    pieces = [bytes(60_000) for _ in range(140)]
    kept.append(pieces[-1])
threads = [threading.Thread(target=work) for _ in range(16)]
for thread in threads: thread.start()
for thread in threads: thread.join()
give_back()
print(resident() - before)
"""
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert float(run.stdout) < 25


def test_garbage_is_collected_where_everything_that_stays_was_frozen():
    """In a process of its own: nothing is thawed again."""
    script = """
import gc, weakref
from qwen2vl_demo.memory import give_back, settle
class Circle: pass
def garbage():
    circle = Circle()
    circle.itself = circle
    return weakref.ref(circle)
gc.disable()
left = garbage()
give_back()
assert left() is not None  # as a library: Python decides by itself
settle()
assert left() is None
left = garbage()
give_back()
assert left() is None
"""
    subprocess.run([sys.executable, "-c", script], timeout=60, check=True)


@pytest.mark.parametrize("sysconf", [None, lambda name: 4096])
def test_free_memory_needs_neither_proc_nor_sysconf(tmp_path, monkeypatch, sysconf):
    """Windows has no /proc and no os.sysconf: loading on a CPU ended in an AttributeError there."""

    def no_proc(*_, **__):
        raise FileNotFoundError

    monkeypatch.setattr("builtins.open", no_proc)
    if sysconf is None:
        monkeypatch.delattr(memory.os, "sysconf")
    else:
        monkeypatch.setattr(memory.os, "sysconf", sysconf)
    assert memory.free_memory() == (None if sysconf is None else 4096 * 4096)

"""What worker processes promise: results as in process, limits, cancellation, and nothing left behind."""

from __future__ import annotations

import collections
import itertools
import os
import pickle
import pydoc
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from qwen2vl_demo.decoding import InProcess, TooCostly, worker_processes
from qwen2vl_demo.decoding.worker_processes import WorkerProcesses
from qwen2vl_demo.errors import Cancelled, UserError
from qwen2vl_demo.media import MediaLimits, browser_files, identify_file
from qwen2vl_demo.serve import DECODERS
from tests.decoding.bombs import endless_pdf, recursive_pdf
from tests.waiting import wait_until

LIMITS = MediaLimits()


def spin(*arguments: object) -> None:
    """Runs in C code that never looks at signals."""
    collections.deque(itertools.count(), 0)


def wait_for_file(path: Path) -> None:
    while not path.exists():
        time.sleep(0.02)


def a_picture(folder: Path) -> Path:
    path = folder / "a.png"
    PIL.Image.new("RGB", (60, 40), "red").save(path)
    return path


def processes_of(parent: int) -> list[int]:
    """The living processes below this one."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == parent and fields[0] != "Z":
            child = int(stat.parent.name)
            found += [child, *processes_of(child)]
    return found


def ended(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def test_a_result_is_that_of_this_process(workers: WorkerProcesses, tmp_path: Path) -> None:
    path = a_picture(tmp_path)
    for function, arguments in (
        (identify_file, (path, LIMITS)),
        (browser_files.still_webp, (path, "image", LIMITS, 30)),
    ):
        here, there = (d.run(function, *arguments, label="a") for d in (InProcess(), workers))
        assert here == there
    pixels = workers.run(browser_files.still, path, "image", LIMITS, 30, label="a")
    assert np.array_equal(pixels, browser_files.still(path, "image", LIMITS, 30)) and not pixels.flags.writeable


def test_a_sentence_crosses_the_border_and_a_bug_stays_one(workers: WorkerProcesses, tmp_path: Path) -> None:
    text = tmp_path / "text.png"
    text.write_text("no picture")
    with pytest.raises(UserError, match=r"^text\.png is a text file"):
        workers.run(identify_file, text, LIMITS, label="text.png")
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        workers.run(divmod, 1, 0, label="x")


def test_a_worker_that_a_file_took_over_can_send_data_only(workers: WorkerProcesses) -> None:
    with pytest.raises(pickle.UnpicklingError, match=r"posix\.system, which is not data"):
        workers.run(pydoc.locate, "os.system", label="x")
    with pytest.raises(pickle.UnpicklingError, match="WorkerProcesses, which is not data"):
        workers.run(pydoc.locate, "qwen2vl_demo.decoding.worker_processes.WorkerProcesses", label="x")
    assert workers.run(int, label="x") == 0


def test_a_worker_serves_many_calls(workers: WorkerProcesses) -> None:
    assert len({workers.run(os.getpid, label="x") for _ in range(10)}) == 1


def test_endless_work_in_c_code_ends_in_its_limit(workers: WorkerProcesses, tmp_path: Path) -> None:
    picture, bomb = a_picture(tmp_path), endless_pdf(tmp_path / "bomb.pdf")
    for call in ((spin,), (browser_files.document_pages, bomb, LIMITS, "bomb.pdf")):
        with pytest.raises(TooCostly, match=r"^bomb\.pdf takes more than 1 s of processor time to open"):
            workers.run(*call, label="bomb.pdf")
        assert workers.run(identify_file, picture, LIMITS, label="a").kind == "image"


def test_a_pdf_whose_forms_draw_each_other_ends_in_its_limit(workers: WorkerProcesses, tmp_path: Path) -> None:
    picture, bomb = a_picture(tmp_path), recursive_pdf(tmp_path / "bomb.pdf")
    with pytest.raises(TooCostly, match=r"^bomb\.pdf (takes more than 1 s of processor time|needs more than 0\.5 GB)"):
        workers.run(browser_files.document_pages, bomb, LIMITS, "bomb.pdf", label="bomb.pdf")
    assert workers.run(identify_file, picture, LIMITS, label="a").kind == "image"


def test_memory_beyond_the_limit_is_a_sentence(workers: WorkerProcesses, tmp_path: Path) -> None:
    large = tmp_path / "large.png"
    PIL.Image.new("L", (10_000, 9_000)).save(large)  # 360 MB as PIL keeps RGB, and as much again for the reduced copy
    for call in ((bytearray, 600_000_000), (browser_files.check_opens, large, LIMITS, "large.png")):
        with pytest.raises(UserError, match=r"large\.png needs more than 0\.5 GB of memory to open"):
            workers.run(*call, label="large.png")
    assert workers.run(int, label="a") == 0


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGKILL])
def test_a_decoder_that_crashes_is_a_sentence(number: int, workers: WorkerProcesses) -> None:
    with pytest.raises(UserError, match=r"^a\.png (makes its decoder fail|needs more than)"):
        workers.run(signal.raise_signal, number, label="a.png")
    assert workers.run(int, label="a") == 0


def test_stop_kills_at_once(workers: WorkerProcesses) -> None:
    worker, cancel = workers.run(os.getpid, label="x"), threading.Event()
    threading.Timer(0.1, cancel.set).start()
    with pytest.raises(Cancelled):  # and not its limit of a second
        workers.run(spin, label="x", cancel=cancel)
    wait_until(lambda: ended(worker))
    with pytest.raises(Cancelled):  # also while it waits, and before it begins
        workers.run(spin, label="x", cancel=cancel)


def test_calls_beyond_the_workers_wait_and_a_waiting_one_can_be_cancelled(workers: WorkerProcesses) -> None:
    busy, waiting = threading.Event(), threading.Event()
    failures: list[BaseException] = []

    def call(cancel: threading.Event) -> None:
        try:
            workers.run(time.sleep, 60, label="x", cancel=cancel)
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=call, args=(cancel,)) for cancel in (busy, busy, waiting)]
    for thread in threads:
        thread.start()
        time.sleep(0.1)
    waiting.set()
    threads[2].join(30)
    assert not threads[2].is_alive() and threads[0].is_alive() and threads[1].is_alive()
    busy.set()
    for thread in threads:
        thread.join(30)
    assert [type(failure) for failure in failures] == [Cancelled] * 3


def test_a_worker_can_write_no_file_and_has_neither_secrets_nor_sockets(
    workers: WorkerProcesses, tmp_path: Path
) -> None:
    with pytest.raises(RuntimeError, match="File too large"):
        workers.run(Path.write_text, tmp_path / "new", "text", label="x")
    names = workers.run(os.listdir, "/proc/self/environ".rpartition("/")[0] + "/fd", label="x")
    assert len(names) == 5  # the standard streams, its own socket, and the folder that is listed
    assert workers.run(os.getenv, "HOME", label="x") is None
    devices = workers.run(Path.read_text, Path("/proc/self/net/dev"), label="x").splitlines()[2:]
    if may_leave_the_network():
        assert [line.split(":")[0].strip() for line in devices] in ([], ["lo"])


def may_leave_the_network() -> bool:
    code = "import ctypes, os; os._exit(ctypes.CDLL(None).unshare(0x40000000 if os.geteuid() == 0 else 0x50000000) & 1)"
    return subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.mark.parametrize("end", ["os.kill(os.getpid(), signal.SIGKILL)", "os.kill(os.getpid(), signal.SIGTERM)", ""])
def test_nothing_is_left_when_the_app_ends(end: str) -> None:
    """However it ends, and although a worker is in the middle of something that never does."""
    code = f"""
import os, signal, sys, threading, time
from qwen2vl_demo.decoding.worker_processes import WorkerProcesses
from tests.decoding.test_worker_processes import processes_of, spin
if __name__ == "__main__":
    workers = WorkerProcesses(seconds=60, workers=2, modules=("qwen2vl_demo.media",))
    workers.run(int, label="x")
    threading.Thread(target=workers.run, args=(spin,), kwargs={{"label": "x"}}, daemon=True).start()
    time.sleep(0.3)
    print(*processes_of(os.getpid()), flush=True)
    {end}
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    processes = list(map(int, done.stdout.split()))
    assert len(processes) == 3, done.stderr
    wait_until(lambda: all(map(ended, processes)))


def test_workers_that_were_killed_while_idle_are_not_blamed_on_the_next_file() -> None:
    """As the system does when memory runs out."""
    pool = WorkerProcesses(workers=2, modules=DECODERS[:0])
    try:
        forks = pool.run(os.getppid, label="x")
        workers = processes_of(forks)
        assert len(workers) == 2
        for worker in workers:
            os.kill(worker, signal.SIGKILL)
        wait_until(lambda: all(map(ended, workers)))
        assert pool.run(os.getppid, label="x") == forks
    finally:
        pool.close()


def test_the_pool_recovers_when_the_server_that_forks_is_killed() -> None:
    pool = WorkerProcesses(workers=1, modules=DECODERS[:0])
    try:
        worker = pool.run(os.getpid, label="x")
        os.kill(pool.run(os.getppid, label="x"), signal.SIGKILL)
        wait_until(lambda: ended(worker))
        assert pool.run(int, label="x") == 0
    finally:
        pool.close()
    with pytest.raises(Cancelled):
        pool.run(int, label="x")


def test_slow_calls_give_way_to_new_ones_and_still_end(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Many slow files kept a picture waiting for as long as all of them took together."""
    monkeypatch.setattr(worker_processes, "FIRST_SECONDS", 0.1)
    pool = WorkerProcesses(seconds=60, workers=2)
    try:
        pool.run(int, label="x")
        ended: list[str] = []

        def call() -> None:
            pool.run(wait_for_file, tmp_path / "enough", label="slow")
            ended.append("slow")

        threads = [threading.Thread(target=call) for _ in range(6)]
        for thread in threads:
            thread.start()
        time.sleep(0.2)
        for _ in range(3):
            pool.run(int, label="quick")
        assert ended == []
        (tmp_path / "enough").touch()
        for thread in threads:
            thread.join()
        assert len(ended) == 6
    finally:
        pool.close()

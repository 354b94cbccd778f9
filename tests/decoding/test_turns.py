"""Places: in order, newcomers before slow ones, and one of them never for slow ones."""

import threading
import time

import pytest

from qwen2vl_demo.decoding.turns import Turns
from qwen2vl_demo.errors import Cancelled


def test_newcomers_come_before_slow_ones_and_find_a_place_that_these_left() -> None:
    turns, order, go_on = Turns(2), [], threading.Event()

    def take(name: str, slow: bool) -> None:
        with turns.turn(None, slow=slow):
            order.append(name)
            go_on.wait(60)

    def waiting(slow: bool) -> int:
        return len(turns._waiting[slow])

    threads = []
    for name, slow, settled in (
        ("slow 1", True, lambda: len(order) == 1),
        ("slow 2", True, lambda: waiting(True) == 1),
        ("new 1", False, lambda: len(order) == 2),
        ("new 2", False, lambda: waiting(False) == 1),
        ("slow 3", True, lambda: waiting(True) == 2),
    ):
        threads.append(threading.Thread(target=take, args=(name, slow)))
        threads[-1].start()
        while not settled():
            time.sleep(0.001)
    go_on.set()
    for thread in threads:
        thread.join()
    assert order == ["slow 1", "new 1", "new 2", "slow 2", "slow 3"]


def test_a_single_place_serves_slow_ones_too_and_waiting_can_be_cancelled() -> None:
    turns, cancel = Turns(1), threading.Event()
    with turns.turn(None, slow=True):
        threading.Timer(0.1, cancel.set).start()
        for slow in (True, False):
            with pytest.raises(Cancelled), turns.turn(cancel, slow=slow):
                pass
    with turns.turn(None, slow=False):
        assert turns.newcomers == 0

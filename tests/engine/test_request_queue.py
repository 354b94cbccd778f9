"""The queue of an engine: strictly in order, and left by whoever stops waiting."""

import threading
import time

import pytest

from qwen2vl_demo.engine.request_queue import RequestQueue, waiting_text
from qwen2vl_demo.errors import Cancelled


def test_six_threads_run_in_the_order_in_which_they_joined():
    queue, ran = RequestQueue(), []
    active = threading.Semaphore(1)
    tickets = [queue.join() for _ in range(6)]

    def run(index):
        with tickets[index] as ticket:
            ticket.wait()
            assert active.acquire(blocking=False)  # nobody else runs
            time.sleep(0.01)
            ran.append(index)
            active.release()

    threads = [threading.Thread(target=run, args=(index,)) for index in (3, 5, 1, 0, 4, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert ran == [0, 1, 2, 3, 4, 5]


def test_positions_count_who_is_in_front_and_leaving_moves_the_others_up():
    queue = RequestQueue()
    first, second, third = (queue.join() for _ in range(3))
    assert [t.position for t in (first, second, third)] == [0, 1, 2]
    second.leave()  # while it waits
    assert [t.position for t in (first, third)] == [0, 1]
    second.leave()
    first.leave()
    first.leave()
    assert third.position == 0


def test_several_requests_may_run_in_parallel():
    queue = RequestQueue(parallel=2)
    tickets = [queue.join() for _ in range(4)]
    assert [t.position for t in tickets] == [0, 0, 1, 2]
    tickets[1].leave()
    assert [t.position for t in tickets if t is not tickets[1]] == [0, 0, 1]


def test_without_a_limit_nobody_waits():
    queue = RequestQueue(None)
    tickets = [queue.join() for _ in range(50)]
    assert {t.position for t in tickets} == {0}
    tickets[-1].wait()


def test_waiting_can_be_cancelled_and_the_place_is_given_up_at_the_end_of_the_block():
    queue, cancel = RequestQueue(), threading.Event()
    queue.join()
    threading.Timer(0.05, cancel.set).start()
    began = time.monotonic()
    with pytest.raises(Cancelled), queue.join() as ticket:
        behind = queue.join()
        assert behind.position == 2
        ticket.wait(cancel)
    assert time.monotonic() - began < 5
    assert behind.position == 1


def test_a_cancelled_request_does_not_start_although_it_is_first():
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(Cancelled):
        RequestQueue().join().wait(cancel)


def test_a_ticket_that_has_left_cannot_start():
    ticket = RequestQueue().join()
    ticket.leave()
    with pytest.raises(Cancelled):
        ticket.wait()
    with pytest.raises(Cancelled), ticket.hold():
        pass


def test_leaving_while_the_place_is_held_takes_effect_when_the_hold_ends():
    queue = RequestQueue()
    first, second = queue.join(), queue.join()
    with first.hold():
        first.leave()
        assert second.position == 1
    assert second.position == 0


def test_positions_are_given_as_they_change():
    queue = RequestQueue()
    first, second, third = (queue.join() for _ in range(3))
    positions = third.positions()
    assert next(positions) == 2
    first.leave()
    assert next(positions) == 1
    second.leave()
    assert list(positions) == []


def test_a_waiting_request_costs_no_thread():
    queue = RequestQueue()
    before = threading.active_count()
    tickets = [queue.join() for _ in range(200)]
    assert [t.position for t in tickets[-2:]] == [198, 199]
    assert threading.active_count() == before


def test_the_status_of_a_waiting_request():
    assert waiting_text(2) == "2 before you"

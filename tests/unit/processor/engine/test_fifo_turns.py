"""Turns at the engine come in the order in which they were asked for."""

import threading

import pytest

from common.errors import Cancelled
from processor.engine.fifo_turns import FifoTurns
from tests.support.waiting import wait_for


def nothing() -> None:
    """Goes on."""


def test_turns_come_in_the_order_of_their_asking():
    turns, order = FifoTurns(), []

    def take(number: int) -> None:
        with turns.turn(nothing):
            order.append(number)

    with turns.turn(nothing):
        threads = []
        for number in range(5):
            threads.append(threading.Thread(target=take, args=(number,)))
            threads[-1].start()
            wait_for(lambda n=number: len(turns._queue) == n + 2, 10, "place in the queue")
    for thread in threads:
        thread.join(10)
    assert order == [0, 1, 2, 3, 4]


def test_who_stops_waiting_holds_up_nobody():
    turns = FifoTurns()

    def stop() -> None:
        raise Cancelled

    with turns.turn(nothing), pytest.raises(Cancelled), turns.turn(stop):
        raise AssertionError("it was not its turn")
    with turns.turn(nothing):
        pass

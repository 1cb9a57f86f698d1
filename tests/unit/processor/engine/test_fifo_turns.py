"""Turns at the engine come in the order in which they were asked for."""

import threading

import pytest

from common.errors import Cancelled
from processor.engine.fifo_turns import FifoTurns, WarmFirst
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


def test_warm_models_go_first_four_times_in_a_row():
    policy = WarmFirst({"warm"}.__contains__)
    waiting = ["cold", "cold", "warm"]
    assert [policy.next_of(waiting) for _ in range(6)] == [2, 2, 2, 2, 0, 2]


def test_the_first_goes_first_if_it_is_warm_or_none_is():
    policy = WarmFirst({"warm"}.__contains__)
    assert [policy.next_of(["warm", "cold"]), policy.next_of(["cold", "cool"])] == [0, 0]


def test_a_turn_goes_to_the_one_that_the_policy_takes():
    warm, order = {"warm"}, []
    turns = FifoTurns(WarmFirst(warm.__contains__))

    def take(model: str) -> None:
        with turns.turn(nothing, model):
            order.append(model)

    with turns.turn(nothing, "cold"):
        threads = [threading.Thread(target=take, args=(model,)) for model in ("cold", "cool", "warm")]
        for number, thread in enumerate(threads):
            thread.start()
            wait_for(lambda n=number: len(turns._queue) == n + 2, 10, "place in the queue")
    for thread in threads:
        thread.join(10)
    assert order == ["warm", "cold", "cool"]

"""What waits for Kafka's sockets: woken once for many calls, and never left asleep."""

import contextlib
import selectors
import socket
import threading
from collections.abc import Iterator

import pytest

from common.kafka.net_client import _Net

PATIENCE_S = 20


@pytest.fixture
def net() -> Iterator[_Net]:
    with contextlib.closing(_Net()) as made:
        yield made


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    with contextlib.ExitStack() as closing:
        yield tuple(map(closing.enter_context, socket.socketpair()))


def test_calls_before_the_thread_has_woken_are_one(net):
    for _ in range(5):
        net.wakeup()
    assert net._wakeup_r.recv(100) == b"\0"


def test_after_a_turn_the_next_call_wakes_again(net):
    for _ in range(2):
        net.wakeup()
        net.poll(timeout_ms=1000 * PATIENCE_S)
    with pytest.raises(BlockingIOError):
        net._wakeup_r.recv(100)


def test_nobodys_call_is_lost(net):
    """Each caller waits for its own work before it gives the next: a lost call would end in a time-out."""
    net.start()

    def call() -> None:
        for _ in range(500):
            done = threading.Event()
            net.call_soon_threadsafe(done.set)
            ended.append(done.wait(PATIENCE_S))

    ended: list[bool] = []
    callers = [threading.Thread(target=call) for _ in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert ended == [True] * 2000


def test_a_socket_can_be_waited_for_in_both_directions_and_again(net, pair):
    here, there = pair
    read = []

    async def reading() -> None:
        while len(b"".join(read)) < len(b"onetwo"):
            await net.wait_read(here)
            read.append(here.recv(10))

    async def writing() -> None:
        for data in (b"one", b"two"):
            await net.wait_write(here)
            there.send(data)

    tasks = [net.call_soon(reading), net.call_soon(writing)]
    while not all(task.is_done for task in tasks):
        net.poll(timeout_ms=1000 * PATIENCE_S)
    assert b"".join(read) == b"onetwo"
    assert len(net._selector.get_map()) == 1  # the socket by which it is woken


def test_two_may_not_wait_for_one_socket(net, pair):
    net.register_event(pair[0], selectors.EVENT_READ, lambda: None)
    with pytest.raises(RuntimeError, match="already registered"):
        net.register_event(pair[0], selectors.EVENT_READ, lambda: None)

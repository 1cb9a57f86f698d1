"""Gives jobs their turns at the engine: in order, or for a while first those whose model is warm."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from common.waiting import StopCheck, wait_until

_TICK_S = 0.05
MOST_IN_A_ROW = 4


class Policy(Protocol):
    """Says whose turn is next."""

    def next_of(self, waiting: Sequence[str]) -> int:
        """Return the index of the next of `waiting`, the models of those who wait in the order of arrival."""


class FirstCome:
    """Takes the one who has waited longest."""

    def next_of(self, waiting: Sequence[str]) -> int:
        return 0


class WarmFirst:
    """Takes the first whose model is warm, at most `most_in_a_row` times before the one who came first."""

    def __init__(self, is_warm: Callable[[str], bool], most_in_a_row: int = MOST_IN_A_ROW):
        self._is_warm, self._most = is_warm, most_in_a_row
        self._passed_over = 0

    def next_of(self, waiting: Sequence[str]) -> int:
        warm = next((index for index, model in enumerate(waiting) if self._is_warm(model)), 0)
        if warm == 0 or self._passed_over >= self._most:
            self._passed_over = 0
            return 0
        self._passed_over += 1
        return warm


@dataclass(eq=False)
class _Ticket:
    model: str


class FifoTurns:
    """One turn at a time, in the order that the policy gives. Thread-safe."""

    def __init__(self, policy: Policy | None = None) -> None:
        self._policy = policy or FirstCome()
        self._changed = threading.Condition()
        self._queue: list[_Ticket] = []  # with the one whose turn it is
        self._holder: _Ticket | None = None

    @contextmanager
    def turn(self, check: StopCheck, model: str = "") -> Iterator[None]:
        """Wait for the turn with `model` and hold it for the block. `check` may raise to give up the wait."""
        ticket = _Ticket(model)
        with self._changed:
            self._queue.append(ticket)
            self._hand_on()
        try:
            with self._changed:
                wait_until(self._changed, lambda: self._holder is ticket, check, _TICK_S)
            yield
        finally:
            with self._changed:
                self._queue.remove(ticket)
                if self._holder is ticket:
                    self._holder = None
                self._hand_on()
                self._changed.notify_all()

    def _hand_on(self) -> None:
        if self._holder is None and self._queue:
            self._holder = self._queue[self._policy.next_of([ticket.model for ticket in self._queue])]

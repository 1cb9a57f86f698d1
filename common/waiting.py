"""Waits that can be given up: checks that stop them, deadlines, conditions, and pauses between tries."""

import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TypeVar

# Called several times a second by whoever waits. It raises where the wait is to end, else it does nothing.
StopCheck = Callable[[], None]

TICK_S = 0.2


def go_on() -> None:
    """Stops nothing: the check of a wait that is never given up."""


T = TypeVar("T")


class DeadlineExceeded(Exception):
    """The total time allowed is over."""


def deadline_check(
    deadline_s: float, check: StopCheck, clock: Callable[[], float] = time.monotonic
) -> StopCheck:
    """Returns a check that raises what `check` raises, and DeadlineExceeded `deadline_s` seconds from now."""
    end_s = clock() + deadline_s

    def stop_check() -> None:
        check()
        if clock() >= end_s:
            raise DeadlineExceeded

    return stop_check


def wait_until(
    condition: threading.Condition, ready: Callable[[], bool], check: StopCheck, tick_s: float = TICK_S
) -> None:
    """Waits until `ready()` is true. The caller holds the lock of `condition`.

    Calls `check` with that lock held, after each notification and at least every `tick_s` seconds.
    Raises what `check` raises.
    """
    while not ready():
        condition.wait(tick_s)
        check()


class Backoff:
    """The pauses of a loop that tries again: `first_s` seconds at first, doubled up to `last_s`.

    One thread uses it. `sleep` waits so many seconds, or until the event is set.
    """

    def __init__(
        self,
        first_s: float,
        last_s: float,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[threading.Event, float], object] = threading.Event.wait,
    ):
        self._first_s, self._last_s, self._clock, self._sleep = first_s, last_s, clock, sleep
        self._next_s = first_s

    def reset(self) -> None:
        """Makes the next pause the shortest one again."""
        self._next_s = self._first_s

    def pause(self, stopping: threading.Event) -> None:
        """Waits for the next pause, which is longer each time, or until `stopping` is set."""
        self._sleep(stopping, self._next_s)
        self._next_s = min(2 * self._next_s, self._last_s)

    def first_success(
        self,
        attempt: Callable[[], T],
        stopping: threading.Event,
        failed: Callable[[Exception], None],
        errors: type[Exception] | tuple[type[Exception], ...] = Exception,
    ) -> T | None:
        """Calls `attempt` until it returns, and returns its result; None when `stopping` is set before.

        Passes each of `errors` to `failed` and pauses. Raises all other errors.
        """
        while not stopping.is_set():
            try:
                result = attempt()
            except errors as error:
                failed(error)
                self.pause(stopping)
            else:
                self.reset()
                return result
        return None

    def keep(
        self,
        connect: Callable[[], AbstractContextManager[T]],
        use: Callable[[T], None],
        stopping: threading.Event,
        failed: Callable[[Exception], None],
    ) -> None:
        """Connects, uses the connection and closes it, over and over until `stopping` is set.

        Passes any error to `failed` and pauses. The pauses begin anew once `use` has returned
        by itself, or has worked for longer than `last_s`.
        """
        while not stopping.is_set():
            began_s = None
            try:
                with connect() as connection:
                    began_s = self._clock()
                    use(connection)
                self.reset()
            except Exception as error:  # noqa: BLE001 - the loop's edge: whoever keeps a connection needs it
                if began_s is not None and self._clock() - began_s > self._last_s:
                    self.reset()
                failed(error)
                self.pause(stopping)

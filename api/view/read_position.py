"""Tracks how far the view has read, and lets coroutines wait until it has read further."""

import asyncio
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from kafka import TopicPartition

Offsets = Mapping[TopicPartition, int]


@dataclass(frozen=True, eq=False)
class _Waiter:
    """A coroutine that waits for offsets, or, if `ends` is None, until the view has caught up."""

    ends: Offsets | None
    loop: asyncio.AbstractEventLoop
    passed: asyncio.Event


class ReadPosition:
    """Holds the offsets up to which the view has read.

    The feed's thread sets them. Coroutines of any event loop wait for them.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._lock, self._clock = threading.Lock(), clock
        self._heard_s: float | None = None
        self._reached: dict[TopicPartition, int] = {}
        self._ends: Offsets | None = None
        self._waiters: set[_Waiter] = set()
        self._asked = threading.Event()
        self._caught_up = threading.Event()

    def begin(self, ends: Offsets, is_new: bool) -> None:
        """Begin to read. At `ends` the view has caught up. `is_new` says that the file is empty."""
        with self._lock:
            self._ends, self._reached = ends, {}
            if is_new:
                self._caught_up.clear()

    def reach(self, offsets: Offsets) -> None:
        with self._lock:
            self._reached |= offsets
            if self._ends is not None and self._is_past(self._ends):
                self._caught_up.set()
            for waiter in [w for w in self._waiters if self._has_passed(w.ends)]:
                self._wake(waiter)

    def heard(self) -> None:
        """Note that the feed has begun, or has read something."""
        self._heard_s = self._clock()

    @property
    def silent_s(self) -> float:
        """For how many seconds the feed has read nothing, since it has begun."""
        return 0.0 if self._heard_s is None else self._clock() - self._heard_s

    @property
    def caught_up(self) -> bool:
        """True once the view has reached the ends, since the file was made."""
        return self._caught_up.is_set()

    @property
    def is_awaited(self) -> bool:
        return bool(self._waiters) or not self.caught_up

    def rest(self, at_most_s: float) -> None:
        """Return after `at_most_s` seconds, or as soon as somebody waits."""
        self._asked.clear()
        # A coroutine that began to wait before `clear` is found here; a later one sets the event again.
        if not self.is_awaited:
            self._asked.wait(at_most_s)

    @property
    def behind(self) -> int:
        """The number of offsets that are left until the view has caught up."""
        with self._lock:
            return sum(max(0, end - self._reached.get(p, 0)) for p, end in (self._ends or {}).items())

    async def wait_for(self, ends: Offsets) -> None:
        """Return once the view has read up to `ends`."""
        await self._wait(ends)

    async def wait_until_caught_up(self) -> None:
        await self._wait(None)

    async def _wait(self, ends: Offsets | None) -> None:
        waiter = _Waiter(ends, asyncio.get_running_loop(), asyncio.Event())
        with self._lock:
            if self._has_passed(ends):
                return
            self._waiters.add(waiter)
        self._asked.set()
        try:
            await waiter.passed.wait()
        finally:
            with self._lock:
                self._waiters.discard(waiter)

    def _has_passed(self, ends: Offsets | None) -> bool:
        return self.caught_up if ends is None else self._is_past(ends)

    def _is_past(self, ends: Offsets) -> bool:
        return all(self._reached.get(partition, 0) >= end for partition, end in ends.items())

    def _wake(self, waiter: _Waiter) -> None:
        self._waiters.discard(waiter)
        try:
            waiter.loop.call_soon_threadsafe(waiter.passed.set)
        except RuntimeError:  # the loop is closed: the coroutine no longer waits
            return

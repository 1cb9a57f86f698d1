"""How far the view has read, and who waits for it to have read further."""

import asyncio
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from kafka import TopicPartition

Offsets = Mapping[TopicPartition, int]


@dataclass(frozen=True, eq=False)
class _Waiter:
    """`ends` is None for one who waits until the view has caught up."""

    ends: Offsets | None
    loop: asyncio.AbstractEventLoop
    passed: asyncio.Event


class ReadPosition:
    """The feed's thread tells it how far it is; coroutines of any loop wait."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._lock, self._clock = threading.Lock(), clock
        self._heard_s: float | None = None
        self._reached: dict[TopicPartition, int] = {}
        self._ends: Offsets | None = None
        self._waiters: set[_Waiter] = set()
        self._caught_up = threading.Event()

    def begin(self, ends: Offsets, is_new: bool) -> None:
        """`ends` are where it has caught up; `is_new`: what was read before is gone."""
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
        """The feed has begun, or has read on: to the end or not."""
        self._heard_s = self._clock()

    @property
    def silent_s(self) -> float:
        """How long the feed has not read on, though it has begun."""
        return 0.0 if self._heard_s is None else self._clock() - self._heard_s

    @property
    def caught_up(self) -> bool:
        """It has been at the end once since the file was made."""
        return self._caught_up.is_set()

    @property
    def is_awaited(self) -> bool:
        return bool(self._waiters) or not self.caught_up

    @property
    def behind(self) -> int:
        """Offsets that are left until it has caught up."""
        with self._lock:
            return sum(max(0, end - self._reached.get(p, 0)) for p, end in (self._ends or {}).items())

    async def wait_for(self, ends: Offsets) -> None:
        """Returns once the view has read up to `ends`."""
        await self._wait(ends)

    async def wait_until_caught_up(self) -> None:
        await self._wait(None)

    async def _wait(self, ends: Offsets | None) -> None:
        waiter = _Waiter(ends, asyncio.get_running_loop(), asyncio.Event())
        with self._lock:
            if self._has_passed(ends):
                return
            self._waiters.add(waiter)
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
        except RuntimeError:  # its loop is closed: nobody waits any more
            return

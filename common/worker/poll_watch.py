"""Measures the time between polls, which must stay below `max.poll.interval.ms`."""

import logging
from collections.abc import Callable

log = logging.getLogger(__name__)


class PollWatch:
    """The poll thread calls `restart` and `note_poll`. Any thread may call `overdue_s`."""

    def __init__(self, most_ms: int, on_overrun: Callable[[], None], clock: Callable[[], float]):
        """`most_ms` is the longest time allowed between two polls."""
        self._most_ms, self._on_overrun, self._clock = most_ms, on_overrun, clock
        self._last_poll_s = clock()  # written by the poll thread alone

    def restart(self) -> None:
        """Count from now on: a new consumer begins."""
        self._last_poll_s = self._clock()

    def note_poll(self) -> None:
        """Note that a poll begins, and report a time that was too long."""
        now = self._clock()
        gap_s, self._last_poll_s = now - self._last_poll_s, now
        if gap_s * 1000 > self._most_ms:
            log.warning(
                "max.poll.interval.ms exceeded: %.1f s between two polls (%d ms allowed)",
                gap_s,
                self._most_ms,
            )
            self._on_overrun()

    def overdue_s(self) -> float | None:
        """Return the seconds since the last poll began if that is too long ago, else None."""
        idle_s = self._clock() - self._last_poll_s
        return idle_s if idle_s * 1000 > self._most_ms else None

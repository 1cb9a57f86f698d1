"""Stops jobs whose run was cancelled or has passed its deadline.

Such a run fails, with a code that says why. This differs from a lost lease, after which another worker goes
on with the run.
"""

import itertools
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol, Self
from uuid import UUID

from common.errors import CrashError, ErrorCode, PermanentError, TransientError
from common.jobs.handler import JobContext
from common.jobs.places import Claim
from common.kafka.topics import STATUS_RETENTION_S, status_retention_s
from common.settings.schema import KafkaSettings
from common.tasks.messages import Cancel
from common.waiting import StopCheck

log = logging.getLogger(__name__)

_TICK_S = 0.1
_PATIENCE_S = 10.0
_FORGOTTEN_AT_ONCE = 2


class Run(Protocol):
    """A task, or a result of it. `cancel_at` is in seconds since the epoch."""

    task_uuid: UUID
    run: int
    cancel_at: float | None


class Cancels:
    """The cancels that this process knows: a reader adds them, jobs ask for them. Thread-safe.

    Every cancel counts as known until `fall_behind` is called, and again after `catch_up`.
    """

    def __init__(
        self,
        wall_clock: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
        patience_s: float = _PATIENCE_S,
        retention_s: float = STATUS_RETENTION_S,
    ):
        """`patience_s`: how long all jobs together are held up, in seconds, while cancels may be unknown.

        `retention_s`: no task is as old as that.
        """
        self._wall_clock, self._clock, self._patience_s = wall_clock, clock, patience_s
        self._retention_s = retention_s
        # Each task's highest cancelled run, with the time at which its first cancel was read; in that order.
        self._runs: dict[UUID, tuple[int, float]] = {}
        self._lock = threading.Lock()
        self._all_known = threading.Event()
        self._all_known.set()
        self._waiting_since_s: float | None = None

    @classmethod
    def of(cls, settings: KafkaSettings) -> Self:
        return cls(retention_s=status_retention_s(settings))

    def add(self, cancel: Cancel) -> None:
        with self._lock:
            run, heard_s = self._runs.get(cancel.task_uuid, (0, self._clock()))
            self._runs[cancel.task_uuid] = max(run, cancel.run), heard_s
            self._forget_old_ones()

    def fall_behind(self) -> None:
        """Notes that there may be cancels that are not known here."""
        with self._lock:
            if self._all_known.is_set():
                self._waiting_since_s = None
                self._all_known.clear()

    def catch_up(self) -> None:
        """Notes that every cancel is known that was acknowledged to its user before `fall_behind`."""
        self._all_known.set()

    @contextmanager
    def stoppable(self, run: Run, context: JobContext) -> Iterator[JobContext]:
        """Gives a context whose `check` raises PermanentError (cancelled, deadline_exceeded) to stop the run.

        Raises that error itself before the block begins, if the run is to stop already. If the block ends
        with an error that leads to a retry, raises it in place of that error.
        """
        self._wait_until_all_are_known(context.check)
        stoppable = _StoppableContext(context, lambda: self._check(run))
        stoppable.check()
        try:
            yield stoppable
        except (TransientError, CrashError):
            # Fail now: the retry would fail at its start, which may be an hour away.
            stoppable.check()
            raise

    def _check(self, run: Run) -> None:
        # The topic keeps only a task's last cancel. Runs before the cancelled one are over anyway.
        if self._runs.get(run.task_uuid, (0,))[0] >= run.run:
            raise PermanentError(ErrorCode.CANCELLED, "The task was cancelled")
        if run.cancel_at is not None and self._wall_clock() >= run.cancel_at:
            message = "The task was not done within the time that it was given (cancel_after_s)"
            raise PermanentError(ErrorCode.DEADLINE_EXCEEDED, message)

    def _wait_until_all_are_known(self, check: StopCheck) -> None:
        if self._all_known.is_set():
            return
        with self._lock:
            if self._waiting_since_s is None:
                self._waiting_since_s = self._clock()
            end_s = self._waiting_since_s + self._patience_s
        while self._clock() < end_s:
            if self._all_known.wait(_TICK_S):
                return
            check()
        log.info("cancels cannot be read: not waiting for them any longer")

    def _forget_old_ones(self) -> None:
        """Forgets the oldest cancels when the topic has dropped them, too: their tasks are gone."""
        for task_uuid, (_, heard_s) in list(itertools.islice(self._runs.items(), _FORGOTTEN_AT_ONCE)):
            if self._clock() - heard_s > self._retention_s:
                del self._runs[task_uuid]


class _StoppableContext:
    """A JobContext whose waits also end when the run is to stop."""

    def __init__(self, context: JobContext, check_run: StopCheck):
        self._context, self._check_run = context, check_run

    @property
    def attempt(self) -> int:
        return self._context.attempt

    @property
    def counted_attempts(self) -> int:
        return self._context.counted_attempts

    def check(self) -> None:
        self._context.check()  # first: without the lease this job must not decide how the run ends
        self._check_run()

    def take_place(self, claim: Claim) -> bool:
        return self._context.take_place(claim)

    def leave_place(self) -> None:
        self._context.leave_place()

    def leave_slot(self) -> None:
        self._context.leave_slot()

    def regain_slot(self, check: StopCheck | None = None) -> None:
        self._context.regain_slot(check or self.check)

    def wait(self, timeout_s: float) -> None:
        end_s = time.monotonic() + timeout_s
        while (left_s := end_s - time.monotonic()) > 0:
            self._context.wait(min(left_s, _TICK_S))
            self._check_run()

"""Carries one attempt of a record from decoding to what its transaction publishes.

Whether and when a failed record is tried again is decided here, once, with one reading of the clock.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from common.errors import Cancelled, CrashError, ErrorCode, JobError, TransientError
from common.jobs import dead_letters, retry
from common.jobs.handler import Handler, Job, JobContext
from common.jobs.outcome import Deferred, Done, Dropped, Failed, Outcome, Poison
from common.jobs.retry import Decision, GivenUp, History, Retry, RetryPolicy
from common.kafka.records import Message, Record

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class JobRules:
    """The rules that hold for every job of a worker. `wall_clock` gives seconds since the epoch."""

    dead_letter_topic: str
    max_attempts: int
    retries: RetryPolicy
    wall_clock: Callable[[], float] = time.time


@dataclass(frozen=True)
class _ReadAgain:
    """A crashed attempt commits nothing: the record is read again at once, and its attempts are counted."""


class Settlement:
    """Runs one attempt of a record, and turns its outcome into what its transaction publishes.

    `name` is the record's name in the log.
    """

    def __init__(
        self, record: Record, handler: Handler[Any], context: JobContext, rules: JobRules, name: str
    ):
        self._record, self._handler, self._context = record, handler, context
        self._rules, self._name = rules, name

    def run(self) -> Outcome:
        """Decodes the record and runs the job. Raises what the handler raises."""
        job = self._job
        return job if isinstance(job, Poison) else self._handler.run(job, self._context)

    def settle(self, outcome: Outcome) -> Done | None:
        """Returns what is published; None when this attempt publishes nothing."""
        match outcome:
            case Done():
                return outcome
            case Dropped():
                return None
            case Deferred(messages=messages):
                waiting = self._rules.retries.deferred(self._record, self._rules.wall_clock())
                log.info("%s waits in %s for a place", self._name, waiting.topic)
                return Done((*messages, waiting))
            case Poison(reason):
                log.error("%s put aside: %s", self._name, reason)
                return Done((self._letter(ErrorCode.INVALID_MESSAGE, reason, self._history),))
            case Failed(error):
                log.warning("%s failed (%s): %s", self._name, error.code, error.message)
                return self._settle_failure(outcome)

    def bare_letter(self, reason: str) -> Done:
        """Returns a dead letter that holds nothing of the record but its location.

        For a record of which Kafka takes nothing else.
        """
        topic, attempt = self._rules.dead_letter_topic, self._context.counted_attempts
        return Done(
            (dead_letters.bare_letter(topic, self._record, ErrorCode.INTERNAL_ERROR, reason, attempt),)
        )

    @cached_property
    def _job(self) -> Job[Any] | Poison:
        content = self._handler.decode(self._record)
        if isinstance(content, Poison):
            return content
        return Job(self._record, content, self._history)

    @cached_property
    def _history(self) -> History:
        return retry.history(self._record)

    def _settle_failure(self, failed: Failed) -> Done | None:
        match self._decide(failed.error):
            case _ReadAgain():
                return None
            case Retry(waiting=waiting) as decision:
                log.info("%s waits in %s for its next try", self._name, waiting.topic)
                done = self._after_failure(failed, decision)
                return replace(done, messages=(*done.messages, waiting))
            case GivenUp() as decision:
                return self._give_up(failed, decision)

    def _decide(self, error: JobError) -> Decision | _ReadAgain:
        past = self._history
        match error:
            case TransientError():
                schedule = self._handler.schedule(error)
                now_s = self._rules.wall_clock()
                next_try = self._rules.retries.next_try(self._record, error, schedule, now_s)
                if next_try is not None:
                    return next_try
                past = past.failed(schedule, error)
            case CrashError() if self._context.counted_attempts < self._rules.max_attempts:
                return _ReadAgain()
        return GivenUp(self._letter(error.code, error.message, past))

    def _give_up(self, failed: Failed, decision: GivenUp) -> Done | None:
        try:
            return self._after_failure(failed, decision)
        except Cancelled:
            return None
        except (Exception, SystemExit) as second:  # the loop's edge: the record must not be lost
            log.exception("%s: could not be given up", self._name)
            error = failed.error
            reason = f"{error.code}: {error.message}; then {type(second).__name__}: {second}"
            return Done((self._letter(ErrorCode.INTERNAL_ERROR, reason, self._history),))

    def _after_failure(self, failed: Failed, decision: Decision) -> Done:
        job = self._job
        if isinstance(job, Poison):
            raise ValueError(job.reason)
        return self._handler.after_failure(job, failed, decision, self._context)

    def _letter(self, code: ErrorCode, reason: str, past: History) -> Message:
        topic, attempt = self._rules.dead_letter_topic, self._context.counted_attempts
        return dead_letters.letter(topic, self._record, code, reason, attempt, past)

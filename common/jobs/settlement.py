"""What is published for an outcome: a result, the record of the next try, a dead letter, or nothing."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from common.errors import Cancelled, CrashError, ErrorCode, JobError, PermanentError, TransientError
from common.jobs import dead_letters, retry
from common.jobs.handler import Handler, JobContext
from common.jobs.outcome import Deferred, Done, Dropped, Failed, Outcome, Poison
from common.jobs.retry import RetryPolicy
from common.kafka.records import Message, Record

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class JobRules:
    """What holds for every job of a worker. `wall_clock` gives seconds since the epoch."""

    dead_letter_topic: str
    max_attempts: int
    retries: RetryPolicy
    wall_clock: Callable[[], float] = time.time


class Settlement:
    """Turns one record's outcome into what its transaction publishes. `name` is the record's in the log."""

    def __init__(self, record: Record, handler: Handler, context: JobContext, rules: JobRules, name: str):
        self._record, self._handler, self._context = record, handler, context
        self._rules, self._name = rules, name

    def settle(self, outcome: Outcome) -> Done | None:
        """None where nothing may be published, now or by this attempt."""
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
                return Done((self._letter(ErrorCode.INVALID_MESSAGE, reason),))
            case Failed(error):
                log.warning("%s failed (%s): %s", self._name, error.code, error.message)
                return self._again(outcome) if self._may_go_on(error) else self._end(outcome)

    def bare_letter(self, reason: str) -> Done:
        """For a record of which nothing can be written: a letter that tells where it is."""
        topic, attempt = self._rules.dead_letter_topic, self._context.counted_attempts
        return Done(
            (dead_letters.bare_letter(topic, self._record, ErrorCode.INTERNAL_ERROR, reason, attempt),)
        )

    def _may_go_on(self, error: JobError) -> bool:
        match error:
            case TransientError():
                schedule = self._handler.schedule(error)
                return self._rules.retries.delay_s(self._record, error, schedule) is not None
            case CrashError():
                return self._context.counted_attempts < self._rules.max_attempts
        return False

    def _again(self, failed: Failed) -> Done | None:
        """A crashed record is read again at once, where its attempts are counted; others wait their delay."""
        error, retries = failed.error, self._rules.retries
        if not isinstance(error, TransientError):
            return None
        schedule = self._handler.schedule(error)
        now_s = self._rules.wall_clock()
        waiting = retries.next_try(self._record, error, schedule, now_s)
        log.info("%s waits in %s for its next try", self._name, waiting.topic)
        next_try_at = now_s + retries.delay_s(self._record, error, schedule)
        told = self._handler.waiting(self._record, error, next_try_at, self._context)
        return Done((*failed.messages, *told, waiting), failed.after_commit)

    def _end(self, failed: Failed) -> Done | None:
        error, messages = failed.error, failed.messages
        try:
            done = self._handler.give_up(self._record, error, self._context)
        except Cancelled:
            return None
        except (Exception, SystemExit) as second:  # the loop's edge: the record must not be lost
            log.exception("%s: could not be given up", self._name)
            reason = f"{error.code}: {error.message}; then {type(second).__name__}: {second}"
            return Done((*messages, self._letter(ErrorCode.INTERNAL_ERROR, reason)), failed.after_commit)
        if not isinstance(error, PermanentError):
            messages = (*messages, self._letter(error.code, error.message, error))

        def follow() -> None:
            failed.after_commit()
            done.after_commit()

        return replace(done, messages=(*done.messages, *messages), after_commit=follow)

    def _letter(self, code: ErrorCode, reason: str, error: JobError | None = None) -> Message:
        past = retry.history(self._record)
        if isinstance(error, TransientError):
            past = past.failed(self._handler.schedule(error), error)
        topic, attempt = self._rules.dead_letter_topic, self._context.counted_attempts
        return dead_letters.letter(topic, self._record, code, reason, attempt, past)

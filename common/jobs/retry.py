"""Decides whether and when a record is tried again, and makes the record that waits until then.

Each retry topic holds one fixed delay, so the record at a partition's head is always the earliest due.
A record's history travels in its headers, whose names are the constants here.
"""

import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from common.errors import JobError, TransientError
from common.kafka import retry_topics
from common.kafka.records import Message, Record

TRIES = "uvr-tries"
NOT_BEFORE_MS = "uvr-not-before-ms"
ORIGIN = "uvr-origin"
FIRST_ERROR = "uvr-first-error"
LAST_ERROR = "uvr-last-error"
DEFERRED_SINCE_MS = "uvr-deferred-since-ms"
HEADERS = (TRIES, NOT_BEFORE_MS, ORIGIN, FIRST_ERROR, LAST_ERROR, DEFERRED_SINCE_MS)
# The schedule for failures that a later try will hardly mend: three tries in less than a minute.
BRIEF = "brief"
_BRIEF_RETRIES = 2
# Two such texts travel in the headers of every retry: fewer characters than a result carries.
_MAX_HEADER_CHARS = 500
_MAX_DIGITS = 15
# Anyone can write headers. Larger numbers are cut, so that no reader's arithmetic or database fails.
_MAX_TRIES = 100_000
_MAX_SCHEDULES = 8


@dataclass(frozen=True)
class RetrySchedule:
    """The number of retries after failures of one kind. Failures are counted by the schedule's `name`.

    The delays are those of the retry topics, one after the other; then the last one repeats. Failing under
    this schedule means that the earlier steps succeeded, so the counts of the schedules in `resets` go back
    to 0.

    A brief schedule waits `retry_topics.BRIEF_DELAY_S` each time instead. Its failures also count under the
    schedule that `also` names.
    """

    name: str
    retries: int
    resets: tuple[str, ...] = ()
    is_brief: bool = False
    also: str | None = None


@dataclass(frozen=True)
class Retry:
    """The record is tried again at `at` (seconds since the epoch): `waiting` is the record for that try."""

    at: float
    waiting: Message


@dataclass(frozen=True)
class GivenUp:
    """The record is not tried again. `letter` is its dead letter, from which an operator can replay it."""

    letter: Message


Decision = Retry | GivenUp


@dataclass(frozen=True)
class History:
    """The failed tries of a record and of the retries before it. `failed_tries` counts by schedule name."""

    origin: str
    failed_tries: Mapping[str, int] = field(default_factory=dict)
    first_error: str | None = None
    last_error: str | None = None

    def tries(self, schedule: RetrySchedule) -> int:
        """Returns how many tries have failed under the schedule so far."""
        return self.failed_tries.get(schedule.name, 0)

    def failed(self, schedule: RetrySchedule, error: JobError) -> "History":
        """Returns the history with one more failed try, which ended with `error`."""
        text = f"{error.code}: {error.message}"[:_MAX_HEADER_CHARS]
        kept = {name: tries for name, tries in self.failed_tries.items() if name not in schedule.resets}
        counts = {**kept, schedule.name: self.tries(schedule) + 1}
        if schedule.also is not None:
            counts[schedule.also] = self.failed_tries.get(schedule.also, 0) + 1
        return replace(self, failed_tries=counts, first_error=self.first_error or text, last_error=text)

    @property
    def headers(self) -> tuple[tuple[str, bytes], ...]:
        fields = {ORIGIN: self.origin, FIRST_ERROR: self.first_error, LAST_ERROR: self.last_error}
        if self.failed_tries:
            fields[TRIES] = json.dumps(self.failed_tries, separators=(",", ":"))
        return tuple((name, value.encode()) for name, value in fields.items() if value is not None)


def history(record: Record) -> History:
    """Reads a record's history from its headers.

    A record without such headers is on its first try, and its origin is its own location.
    """
    headers = {name: (value or b"").decode(errors="replace") for name, value in record.headers}
    return History(
        headers.get(ORIGIN, record.location),
        _counts(headers.get(TRIES, "")),
        headers.get(FIRST_ERROR),
        headers.get(LAST_ERROR),
    )


def foreign_headers(record: Record) -> tuple[tuple[str, bytes], ...]:
    """Returns the record's headers that are not part of its history, ready to be written again."""
    # Kafka allows a null header. Our client reads one, and cannot write one.
    return tuple((name, value or b"") for name, value in record.headers if name not in HEADERS)


def wait_s(record: Record, now_s: float) -> float:
    """Returns how many seconds the record still has to wait. `now_s` is in seconds since the epoch.

    The wait is never longer than the topic's delay, because the clock of the host that wrote it may be wrong.
    """
    delay = retry_topics.RETRY_TOPIC.search(record.topic)
    due_s = _seconds(record, NOT_BEFORE_MS)
    if delay is None or due_s is None:
        return 0.0
    return min(max(0.0, due_s - now_s), float(delay[1]))


def is_retry(record: Record) -> bool:
    """Tells whether the record has waited in a retry topic."""
    return retry_topics.RETRY_TOPIC.search(record.topic) is not None


def brief_schedule(of: RetrySchedule) -> RetrySchedule:
    """Returns the schedule for an UnlikelyError in a job whose other failures follow `of`.

    It allows two more tries, or as many as `of` if that has fewer. They count as tries of `of` as well. A
    failure under `of` itself means that the cause has changed, so the `resets` of `of` must contain BRIEF.
    """
    resets = tuple(name for name in of.resets if name != BRIEF)
    return RetrySchedule(BRIEF, min(_BRIEF_RETRIES, of.retries), resets, is_brief=True, also=of.name)


@dataclass(frozen=True)
class RetryPolicy:
    """The retries of one topic: records come from `base` first; `delays_s`, ascending, has its retry topics.

    All points in time are in seconds since the epoch.
    """

    base: str
    delays_s: Sequence[int]

    def next_try(
        self, record: Record, error: TransientError, schedule: RetrySchedule, now_s: float
    ) -> Retry | None:
        """Returns the next try of a record that failed at `now_s`; None when the schedule is used up."""
        past = history(record)
        tried = past.tries(schedule)
        if tried >= schedule.retries:
            return None
        delay_s = self._delay_s(tried, error, schedule)
        waiting = self._waiting(
            record, past.failed(schedule, error), delay_s, {NOT_BEFORE_MS: now_s + delay_s}
        )
        return Retry(now_s + delay_s, waiting)

    def deferred(self, record: Record, now_s: float) -> Message:
        """Returns the record that comes again later without a failed try, because no place was free.

        The delay is the longest that is at most a third of the time since the record was first deferred, or
        the shortest there is. So a long wait costs few reads, and no record waits much longer than it must.
        """
        since_s = _seconds(record, DEFERRED_SINCE_MS)
        since_s = now_s if since_s is None else since_s
        fitting = [delay_s for delay_s in self.delays_s if delay_s <= (now_s - since_s) / 3]
        delay_s = max(fitting, default=self.delays_s[0])
        times = {DEFERRED_SINCE_MS: since_s, NOT_BEFORE_MS: now_s + delay_s}
        return self._waiting(record, history(record), delay_s, times)

    def is_for_later(self, name: str) -> bool:
        """Tells whether the topic of that name is one of the retry topics."""
        return name in retry_topics.topics(self.base, retry_topics.with_brief(self.delays_s))

    def _delay_s(self, tried: int, error: TransientError, schedule: RetrySchedule) -> int:
        if schedule.is_brief:
            return retry_topics.brief_delay_s(self.delays_s)
        wanted_s = max(self.delays_s[min(tried, len(self.delays_s) - 1)], error.retry_after_s or 0)
        # A longer Retry-After is rounded up to the next delay that has a topic, and capped at the longest.
        return next((delay_s for delay_s in self.delays_s if delay_s >= wanted_s), self.delays_s[-1])

    def _waiting(self, record: Record, past: History, delay_s: int, times: Mapping[str, float]) -> Message:
        """`times` are the points in time for the headers, by the headers' names."""
        waits = [(name, str(int(at_s * 1000)).encode()) for name, at_s in times.items()]
        headers = (*foreign_headers(record), *past.headers, *waits)
        return Message(retry_topics.topic(self.base, delay_s), record.key, record.value, headers)


def _seconds(record: Record, header: str) -> float | None:
    """Returns the point in time that a header gives in milliseconds, in seconds; None without a valid one."""
    text = dict(record.headers).get(header) or b""
    return int(text) / 1000 if text.isdigit() and len(text) <= _MAX_DIGITS else None


def _counts(text: str) -> dict[str, int]:
    try:
        counts = itertools.islice(json.loads(text).items(), _MAX_SCHEDULES)
        return {str(name): min(max(int(count), 0), _MAX_TRIES) for name, count in counts}
    except (ValueError, TypeError, AttributeError, ArithmeticError, RecursionError):
        return {}

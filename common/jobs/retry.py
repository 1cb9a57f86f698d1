"""When a record is tried again, and the one that waits for it: computed apart from the worker.

Each retry topic holds one fixed delay, so that the record at a partition's head is always the earliest due.
What has become of a record so far travels in its headers, whose names are the constants here.
"""

import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from common.errors import JobError, TransientError
from common.jobs.outcome import RetrySchedule
from common.kafka import retry_topics
from common.kafka.records import Message, Record

TRIES = "uvr-tries"
NOT_BEFORE_MS = "uvr-not-before-ms"
ORIGIN = "uvr-origin"
FIRST_ERROR = "uvr-first-error"
LAST_ERROR = "uvr-last-error"
DEFERRED_SINCE_MS = "uvr-deferred-since-ms"
HEADERS = (TRIES, NOT_BEFORE_MS, ORIGIN, FIRST_ERROR, LAST_ERROR, DEFERRED_SINCE_MS)
# What a later try will hardly mend is tried three times in less than a minute.
BRIEF = "brief"
_MAX_ERROR_CHARS = 500
_MAX_DIGITS = 15
# A header that says more was not written by us, and must not stop whoever reads it.
_MAX_TRIES = 100_000
_MAX_SCHEDULES = 8


@dataclass(frozen=True)
class History:
    """What has become of a record so far. `failed_tries` counts by the schedule's name."""

    origin: str
    failed_tries: Mapping[str, int] = field(default_factory=dict)
    first_error: str | None = None
    last_error: str | None = None

    def tries(self, schedule: RetrySchedule) -> int:
        """Those of the schedule that have failed before this one."""
        return self.failed_tries.get(schedule.name, 0)

    def failed(self, schedule: RetrySchedule, error: JobError) -> "History":
        said = f"{error.code}: {error.message}"[:_MAX_ERROR_CHARS]
        kept = {name: tries for name, tries in self.failed_tries.items() if name not in schedule.resets}
        counts = {**kept, schedule.name: self.tries(schedule) + 1}
        if schedule.also is not None:
            counts[schedule.also] = self.failed_tries.get(schedule.also, 0) + 1
        return replace(self, failed_tries=counts, first_error=self.first_error or said, last_error=said)

    @property
    def headers(self) -> tuple[tuple[str, bytes], ...]:
        fields = {ORIGIN: self.origin, FIRST_ERROR: self.first_error, LAST_ERROR: self.last_error}
        if self.failed_tries:
            fields[TRIES] = json.dumps(self.failed_tries, separators=(",", ":"))
        return tuple((name, value.encode()) for name, value in fields.items() if value is not None)


def history(record: Record) -> History:
    """From the headers; a record without them is on its first try, and its own origin."""
    headers = {name: (value or b"").decode(errors="replace") for name, value in record.headers}
    return History(
        headers.get(ORIGIN, record.location),
        _counts(headers.get(TRIES, "")),
        headers.get(FIRST_ERROR),
        headers.get(LAST_ERROR),
    )


def foreign_headers(record: Record) -> tuple[tuple[str, bytes], ...]:
    """The record's headers that are not part of its history."""
    # Kafka allows a header to be null; our client reads such a one and cannot write it.
    return tuple((name, value or b"") for name, value in record.headers if name not in HEADERS)


def wait_s(record: Record, now_s: float) -> float:
    """How long the record still has to wait. `now_s` is since the epoch.

    Never longer than its topic's delay: whoever wrote it may have another idea of the time than we.
    """
    delay = retry_topics.RETRY_TOPIC.search(record.topic)
    due_s = _seconds(record, NOT_BEFORE_MS)
    if delay is None or due_s is None:
        return 0.0
    return min(max(0.0, due_s - now_s), float(delay[1]))


def is_retry(record: Record) -> bool:
    """Whether the record has waited in a retry topic."""
    return retry_topics.RETRY_TOPIC.search(record.topic) is not None


def brief_schedule(of: RetrySchedule) -> RetrySchedule:
    """For an UnlikelyError where other failures follow `of`: two more tries, if `of` has as many.

    They are tries of `of` as well. A failure under `of` itself shows that things have changed, so BRIEF, the
    name of the brief schedule, belongs to the `resets` of `of`.
    """
    resets = tuple(name for name in of.resets if name != BRIEF)
    return RetrySchedule(BRIEF, min(2, of.retries), resets, is_brief=True, also=of.name)


@dataclass(frozen=True)
class RetryPolicy:
    """`base` is where records come from first; `delays_s`, ascending, are those of its retry topics."""

    base: str
    delays_s: Sequence[int]

    def delay_s(self, record: Record, error: TransientError, schedule: RetrySchedule) -> int | None:
        """How long until the next try; None when the schedule is used up.

        A longer `retry_after_s` is rounded up to the next delay there is, and capped at the longest.
        """
        tried = history(record).tries(schedule)
        if tried >= schedule.retries:
            return None
        if schedule.is_brief:
            return retry_topics.brief_delay_s(self.delays_s)
        wanted_s = max(self.delays_s[min(tried, len(self.delays_s) - 1)], error.retry_after_s or 0)
        return next((delay_s for delay_s in self.delays_s if delay_s >= wanted_s), self.delays_s[-1])

    def is_for_later(self, name: str) -> bool:
        """Whether the topic of that name is one of the retry topics."""
        return name in retry_topics.topics(self.base, retry_topics.with_brief(self.delays_s))

    def deferred(self, record: Record, now_s: float) -> Message:
        """The record that comes again later without a try counted, since its user has too much under way.

        The delay is the longest that is at most a third of the time since it was first deferred, or the
        shortest there is. So what waits for long is read seldom, and none waits much longer than it must.
        """
        since_s = _seconds(record, DEFERRED_SINCE_MS)
        since_s = now_s if since_s is None else since_s
        fitting = [delay_s for delay_s in self.delays_s if delay_s <= (now_s - since_s) / 3]
        delay_s = max(fitting, default=self.delays_s[0])
        times = {DEFERRED_SINCE_MS: since_s, NOT_BEFORE_MS: now_s + delay_s}
        waits = [(name, str(int(at_s * 1000)).encode()) for name, at_s in times.items()]
        headers = (*foreign_headers(record), *history(record).headers, *waits)
        return Message(retry_topics.topic(self.base, delay_s), record.key, record.value, headers)

    def next_try(
        self, record: Record, error: TransientError, schedule: RetrySchedule, now_s: float
    ) -> Message | None:
        """The record that waits for the next try; None when there is none. `now_s` is since the epoch."""
        delay_s = self.delay_s(record, error, schedule)
        if delay_s is None:
            return None
        due = (NOT_BEFORE_MS, str(int((now_s + delay_s) * 1000)).encode())
        headers = (*foreign_headers(record), *history(record).failed(schedule, error).headers, due)
        return Message(retry_topics.topic(self.base, delay_s), record.key, record.value, headers)


def _seconds(record: Record, header: str) -> float | None:
    """A point in time that a header gives in milliseconds."""
    text = dict(record.headers).get(header) or b""
    return int(text) / 1000 if text.isdigit() and len(text) <= _MAX_DIGITS else None


def _counts(text: str) -> dict[str, int]:
    try:
        counts = itertools.islice(json.loads(text).items(), _MAX_SCHEDULES)
        return {str(name): min(max(int(count), 0), _MAX_TRIES) for name, count in counts}
    except (ValueError, TypeError, AttributeError, ArithmeticError, RecursionError):
        return {}

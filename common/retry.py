"""When a record is tried again, and the one that waits for it: computed apart from the worker.

Each retry topic holds one fixed delay, so that the record at a partition's head is always the earliest due.
What has become of a record so far travels in its headers, whose names are the constants here.
"""

import itertools
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from common.errors import JobError, TransientError
from common.outcome import Message, Record, RetrySchedule

TRIES = "uvr-tries"
NOT_BEFORE_MS = "uvr-not-before-ms"
ORIGIN = "uvr-origin"
FIRST_ERROR = "uvr-first-error"
LAST_ERROR = "uvr-last-error"
HEADERS = (TRIES, NOT_BEFORE_MS, ORIGIN, FIRST_ERROR, LAST_ERROR)
_MAX_ERROR_CHARS = 500
_MAX_DIGITS = 15
# A header that says more was not written by us, and must not stop whoever reads it.
_MAX_TRIES = 100_000
_MAX_SCHEDULES = 8
_RETRY_TOPIC = re.compile(r"_retry_(\d{1,15})s$")


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
        headers.get(ORIGIN, record.origin),
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
    delay = _RETRY_TOPIC.search(record.topic)
    due_ms = dict(record.headers).get(NOT_BEFORE_MS) or b""
    if delay is None or not due_ms.isdigit() or len(due_ms) > _MAX_DIGITS:
        return 0.0
    return min(max(0.0, int(due_ms) / 1000 - now_s), float(delay[1]))


def topic(base: str, delay_s: int) -> str:
    return f"{base}_retry_{delay_s}s"


def topics(base: str, delays_s: Iterable[int]) -> list[str]:
    return [topic(base, delay_s) for delay_s in delays_s]


def family(base: str, existing: Iterable[str]) -> list[str]:
    """`base` and its retry topics, of whatever delay: what an earlier setting left must be done too."""
    return [base, *sorted(name for name in existing if _RETRY_TOPIC.sub("", name) == base != name)]


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
        wanted_s = max(self.delays_s[min(tried, len(self.delays_s) - 1)], error.retry_after_s or 0)
        return next((delay_s for delay_s in self.delays_s if delay_s >= wanted_s), self.delays_s[-1])

    def is_for_later(self, name: str) -> bool:
        """Whether the topic of that name is one of the retry topics."""
        return name in topics(self.base, self.delays_s)

    def next_try(
        self, record: Record, error: TransientError, schedule: RetrySchedule, now_s: float
    ) -> Message | None:
        """The record that waits for the next try; None when there is none. `now_s` is since the epoch."""
        delay_s = self.delay_s(record, error, schedule)
        if delay_s is None:
            return None
        due = (NOT_BEFORE_MS, str(int((now_s + delay_s) * 1000)).encode())
        headers = (*foreign_headers(record), *history(record).failed(schedule, error).headers, due)
        return Message(topic(self.base, delay_s), record.key, record.value, headers)


def _counts(text: str) -> dict[str, int]:
    try:
        counts = itertools.islice(json.loads(text).items(), _MAX_SCHEDULES)
        return {str(name): min(max(int(count), 0), _MAX_TRIES) for name, count in counts}
    except (ValueError, TypeError, AttributeError, ArithmeticError, RecursionError):
        return {}

"""The names of the retry topics. Each topic holds one fixed delay, which is part of its name."""

import re
from collections.abc import Iterable, Sequence

# The delay of a brief schedule, see `common.jobs.retry`.
BRIEF_DELAY_S = 20
RETRY_TOPIC = re.compile(r"_retry_(\d{1,15})s$")


def topic(base: str, delay_s: int) -> str:
    return f"{base}_retry_{delay_s}s"


def topics(base: str, delays_s: Iterable[int]) -> list[str]:
    return [topic(base, delay_s) for delay_s in delays_s]


def brief_delay_s(delays_s: Sequence[int]) -> int:
    """Return the delay of brief schedules: never longer than the first of `delays_s`, which ascend."""
    return min(BRIEF_DELAY_S, delays_s[0])


def with_brief(delays_s: Sequence[int]) -> list[int]:
    """Return every delay that has a retry topic."""
    return sorted({brief_delay_s(delays_s), *delays_s})


def family(base: str, existing: Iterable[str]) -> list[str]:
    """Return `base` and its `existing` retry topics, of whatever delay.

    Records in the topics of an earlier RETRY_DELAYS_S must be done too.
    """
    return [base, *sorted(name for name in existing if RETRY_TOPIC.sub("", name) == base != name)]

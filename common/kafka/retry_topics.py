"""The names of the retry topics: each holds one fixed delay, which is part of its name."""

import re
from collections.abc import Iterable, Sequence

# Of a brief schedule, see `common.jobs.retry`.
BRIEF_DELAY_S = 20
RETRY_TOPIC = re.compile(r"_retry_(\d{1,15})s$")


def topic(base: str, delay_s: int) -> str:
    return f"{base}_retry_{delay_s}s"


def topics(base: str, delays_s: Iterable[int]) -> list[str]:
    return [topic(base, delay_s) for delay_s in delays_s]


def brief_delay_s(delays_s: Sequence[int]) -> int:
    """The delay of brief schedules beside these delays, which ascend: never longer than the first of them."""
    return min(BRIEF_DELAY_S, delays_s[0])


def with_brief(delays_s: Sequence[int]) -> list[int]:
    """Every delay that has a retry topic."""
    return sorted({brief_delay_s(delays_s), *delays_s})


def family(base: str, existing: Iterable[str]) -> list[str]:
    """`base` and its retry topics, of whatever delay: what an earlier setting left must be done too."""
    return [base, *sorted(name for name in existing if RETRY_TOPIC.sub("", name) == base != name)]

"""What both consumers count and measure."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
)
from prometheus_client.core import GaugeMetricFamily

from common.errors import UNWANTED, CrashError, ErrorCode
from common.jobs import dead_letters
from common.jobs.outcome import Deferred, Done, Failed, Outcome, Poison
from common.jobs.settlement import JobRules
from common.observability.prometheus import Numbers, Reading, new_registry

# From a small file to a long song on a slow machine.
_STAGE_BUCKETS_S = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600)


class AttemptResult(StrEnum):
    """The values of `outcome`: what became of one attempt at a record."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    """For good: what that means for its user is published."""
    RETRIED = "retried"
    """It waits for its next try, or is read again after a crash."""
    UNWANTED = "unwanted"
    """Its run was cancelled, or its deadline has passed."""
    DEFERRED = "deferred"
    """It waits until its user or its receiver has a free place. Nothing counts."""
    PUT_ASIDE = "put_aside"
    """It is no message: it is in the dead letters."""
    DROPPED = "dropped"
    """Stopped, or not known to be committed: another attempt ends it, here or elsewhere."""


@dataclass(frozen=True)
class WorkerMetrics:
    """What both consumers have. `service` is a label of each."""

    service: str
    registry: CollectorRegistry
    jobs: Counter
    stage_seconds: Histogram
    retries: Counter
    dead_letters: Counter
    rebalances: Counter
    poll_overruns: Counter
    clock: Callable[[], float] = time.monotonic

    @classmethod
    def create(
        cls, service: str, stages: Iterable[str] = (), clock: Callable[[], float] = time.monotonic
    ) -> Self:
        """`stages` are those that `timed` is used with."""
        registry = new_registry()

        def counter(name: str, documentation: str, label: str, values: Iterable[str]) -> Counter:
            made = Counter(name, documentation, ["service", label], registry=registry)
            for value in values:
                made.labels(service, value)
            return made

        jobs = counter(
            "uvr_jobs", "Attempts at a task or result, by what became of them.", "outcome", AttemptResult
        )
        stage_seconds = Histogram(
            "uvr_stage_seconds",
            "How long the stages of jobs took that came through them.",
            ["service", "stage"],
            registry=registry,
            buckets=_STAGE_BUCKETS_S,
        )
        for stage in stages:
            stage_seconds.labels(service, stage)
        poll_overruns = Counter(
            "uvr_poll_overruns",
            "Times between two polls above the allowed.",
            ["service"],
            registry=registry,
        )
        poll_overruns.labels(service)
        return cls(
            service,
            registry,
            jobs,
            stage_seconds,
            counter("uvr_retries", "Tries that failed and are made again, by why.", "code", ErrorCode),
            counter("uvr_dead_letters", "Records put into the dead letters, by why.", "code", ErrorCode),
            counter(
                "uvr_rebalances",
                "Times that partitions came (after the first) or left.",
                "change",
                ("assigned", "revoked"),
            ),
            poll_overruns,
            clock,
        )

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Notes how long its block takes, unless that raises."""
        began_s = self.clock()
        yield
        self.note_stage(stage, self.clock() - began_s)

    def note_stage(self, stage: str, seconds: float) -> None:
        self.stage_seconds.labels(self.service, stage).observe(seconds)

    def job_ended(self, rules: JobRules, outcome: Outcome, done: Done | None) -> None:
        """`done` is what was committed of the outcome, None if nothing is known to be."""
        end = _end(rules, outcome, done)
        self.jobs.labels(self.service, end).inc()
        if end is AttemptResult.RETRIED and isinstance(outcome, Failed):
            self.retries.labels(self.service, outcome.error.code).inc()
        for message in done.messages if done else ():
            if message.topic == rules.dead_letter_topic:
                code = dict(message.headers)[dead_letters.ERROR_CODE].decode()
                self.dead_letters.labels(self.service, code).inc()

    def rebalanced(self, change: str) -> None:
        """`change` is assigned or revoked."""
        self.rebalances.labels(self.service, change).inc()

    def overran(self) -> None:
        self.poll_overruns.labels(self.service).inc()

    def register_gauge(
        self, name: str, documentation: str, labels: Sequence[str], numbers: Callable[[], Numbers]
    ) -> None:
        """Registers a gauge that is read whenever it is asked for."""

        def ours() -> Numbers:
            return {(self.service, *values): number for values, number in numbers().items()}

        self.registry.register(Reading(GaugeMetricFamily, name, documentation, ["service", *labels], ours))


def _end(rules: JobRules, outcome: Outcome, done: Done | None) -> AttemptResult:
    if done is None:
        crashed = isinstance(outcome, Failed) and isinstance(outcome.error, CrashError)
        return AttemptResult.RETRIED if crashed else AttemptResult.DROPPED
    match outcome:
        case Deferred():
            return AttemptResult.DEFERRED
        case Poison():
            return AttemptResult.PUT_ASIDE
        case Failed(error) if error.code in UNWANTED:
            return AttemptResult.UNWANTED
        case Failed():
            again = any(rules.retries.is_for_later(message.topic) for message in done.messages)
            return AttemptResult.RETRIED if again else AttemptResult.FAILED
    # A result that Kafka does not take has become a failure.
    return AttemptResult.SUCCEEDED if done is outcome else AttemptResult.FAILED

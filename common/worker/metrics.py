"""The metrics that the processor and the uploader have in common."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily

from common.errors import UNWANTED, CrashError, ErrorCode
from common.jobs import dead_letters
from common.jobs.outcome import Deferred, Done, Failed, Outcome, Poison
from common.jobs.settlement import JobRules
from common.kafka.lanes import PRIORITIES
from common.observability.prometheus import Numbers, Reading, new_registry

# From a small file to a long song on a slow machine.
_PHASE_BUCKETS_S = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600)


class AttemptResult(StrEnum):
    """The ends of an attempt at a record: the values of the label `outcome`."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    """The job failed for good, and the failure is published for its user."""
    RETRIED = "retried"
    """The record waits for its next try, or is read again after a crash."""
    UNWANTED = "unwanted"
    """The run was cancelled, or its deadline has passed."""
    DEFERRED = "deferred"
    """The record waits until its user or its receiver has a free place. No attempt and no try counts."""
    PUT_ASIDE = "put_aside"
    """The record is no message: it went to the dead letters."""
    DROPPED = "dropped"
    """The attempt was stopped, or no commit of it is known. Another attempt ends the job."""


@dataclass(frozen=True)
class WorkerMetrics:
    """The metrics of a worker. `service` is a label of each."""

    service: str
    registry: CollectorRegistry
    jobs: Counter
    phase_seconds: Histogram
    stage_seconds: Histogram
    retries: Counter
    dead_letters: Counter
    rebalances: Counter
    poll_overruns: Counter
    starts: Counter
    clock: Callable[[], float] = time.monotonic

    @classmethod
    def create(
        cls, service: str, phases: Iterable[str] = (), clock: Callable[[], float] = time.monotonic
    ) -> Self:
        """Make the metrics in a registry of their own. `phases` are the names that `timed` is used with."""
        registry = new_registry()

        def counter(name: str, documentation: str, label: str, values: Iterable[str]) -> Counter:
            made = Counter(name, documentation, ["service", label], registry=registry)
            for value in values:
                made.labels(service, value)
            return made

        attempts = "Attempts at a task or result, by what became of them."
        poll_overruns = Counter(
            "uvr_poll_overruns",
            "Times between two polls above the allowed.",
            ["service"],
            registry=registry,
        )
        poll_overruns.labels(service)
        phases = tuple(phases)
        return cls(
            service,
            registry,
            counter("uvr_jobs", attempts, "outcome", AttemptResult),
            _durations(registry, service, "phase", phases),
            # the earlier name, for dashboards: it goes with the next release
            _durations(registry, service, "stage", phases),
            counter("uvr_retries", "Tries that failed and are made again, by why.", "code", ErrorCode),
            counter("uvr_dead_letters", "Records put into the dead letters, by why.", "code", ErrorCode),
            counter(
                "uvr_rebalances",
                "Times that partitions came (after the first) or left.",
                "change",
                ("assigned", "revoked"),
            ),
            poll_overruns,
            counter(
                "uvr_job_starts",
                "Jobs that were given a slot, by the priority of their lane.",
                "priority",
                map(str, PRIORITIES),
            ),
            clock,
        )

    @contextmanager
    def timed(self, phase: str) -> Iterator[None]:
        """Measure how long the block takes, unless the block raises."""
        began_s = self.clock()
        yield
        self.note_phase(phase, self.clock() - began_s)

    def note_phase(self, phase: str, seconds: float) -> None:
        for histogram in (self.phase_seconds, self.stage_seconds):
            histogram.labels(self.service, phase).observe(seconds)

    def attempt_ended(self, rules: JobRules, outcome: Outcome, done: Done | None) -> None:
        """Count an attempt. `done` is what was committed of its outcome, None if no commit is known."""
        result = _result(rules, outcome, done)
        self.jobs.labels(self.service, result).inc()
        if result is AttemptResult.RETRIED and isinstance(outcome, Failed):
            self.retries.labels(self.service, outcome.error.code).inc()
        for message in done.messages if done else ():
            if message.topic == rules.dead_letter_topic:
                code = dict(message.headers)[dead_letters.ERROR_CODE].decode()
                self.dead_letters.labels(self.service, code).inc()

    def started(self, priority: int) -> None:
        """Count a job that was given a slot."""
        self.starts.labels(self.service, str(priority)).inc()

    def rebalanced(self, change: str) -> None:
        """Count a rebalance. `change` is assigned or revoked."""
        self.rebalances.labels(self.service, change).inc()

    def overran(self) -> None:
        self.poll_overruns.labels(self.service).inc()

    def register_gauge(
        self, name: str, documentation: str, labels: Sequence[str], numbers: Callable[[], Numbers]
    ) -> None:
        """Register a gauge whose `numbers` are read whenever the metrics are scraped."""

        def with_service() -> Numbers:
            return {(self.service, *values): number for values, number in numbers().items()}

        labels = ["service", *labels]
        self.registry.register(Reading(GaugeMetricFamily, name, documentation, labels, with_service))


def _durations(registry: CollectorRegistry, service: str, label: str, phases: Iterable[str]) -> Histogram:
    made = Histogram(
        f"uvr_{label}_seconds",
        "How long each phase of a job took, of the jobs that came through the phase.",
        ["service", label],
        registry=registry,
        buckets=_PHASE_BUCKETS_S,
    )
    for phase in phases:
        made.labels(service, phase)
    return made


def _result(rules: JobRules, outcome: Outcome, done: Done | None) -> AttemptResult:
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

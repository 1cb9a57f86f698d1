"""Defines the processor's own metrics, beside those that it shares with the uploader."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

from prometheus_client import Counter, Histogram
from prometheus_client.core import CounterMetricFamily

from common.observability.prometheus import Reading
from common.worker.metrics import WorkerMetrics

_SPEED_BUCKETS = (0.25, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500)


class Phase(StrEnum):
    """The values of the label `phase`. No phase includes the wait for the engine."""

    DOWNLOAD = "download"
    PREPARE = "prepare"
    SEPARATE = "separate"
    STAGE = "stage"


@dataclass(frozen=True)
class ProcessorMetrics:
    """The metrics of one processor, in the registry of `worker`."""

    worker: WorkerMetrics
    audio_seconds: Counter
    speed: Histogram
    cache_lookups: Counter

    @classmethod
    def create(cls) -> Self:
        """Register all metrics in a new registry."""
        worker = WorkerMetrics.create("processor", Phase)
        return cls(
            worker,
            Counter("uvr_separated_audio_seconds", "Audio that was separated.", registry=worker.registry),
            Histogram(
                "uvr_separation_speed_ratio",
                "Seconds of audio separated in a second, for each song.",
                registry=worker.registry,
                buckets=_SPEED_BUCKETS,
            ),
            _cache_lookups(worker),
        )

    def looked_up(self, found: bool) -> None:
        """Record that stems of an earlier task were looked for, and whether there were any."""
        self.cache_lookups.labels("hit" if found else "miss").inc()

    def separated(self, audio_s: float, took_s: float) -> None:
        """Record that the engine worked for `took_s` seconds on a song of `audio_s` seconds."""
        self.worker.note_phase(Phase.SEPARATE, took_s)
        self.audio_seconds.inc(audio_s)
        if took_s > 0:
            self.speed.observe(audio_s / took_s)

    def read_engine(self, busy_s: Callable[[], float]) -> None:
        """Register a counter that reads `busy_s`, the seconds that the engine has worked so far."""
        documentation = "Seconds that the engine has worked, the song under way included."
        self.worker.registry.register(
            Reading(CounterMetricFamily, "uvr_engine_busy_seconds", documentation, (), lambda: {(): busy_s()})
        )


def _cache_lookups(worker: WorkerMetrics) -> Counter:
    lookups = Counter(
        "uvr_cache_lookups",
        "Look-ups of stems that an earlier task has, by outcome.",
        ["outcome"],
        registry=worker.registry,
    )
    for outcome in ("hit", "miss"):
        lookups.labels(outcome)
    return lookups

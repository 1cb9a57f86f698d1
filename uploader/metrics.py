"""Counts and times what only the uploader does: uploads and callbacks."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

from prometheus_client import Counter

from common.observability.prometheus import Numbers
from common.worker.metrics import WorkerMetrics
from uploader.webhook import Delivered, Delivery, Gone, Refused, Rejected, TimedOut


class Phase(StrEnum):
    """The values of the label `phase`."""

    UPLOAD = "upload"
    CALLBACK = "callback"


_CLASSES = ("2xx", "3xx", "4xx", "5xx", "other", "timeout", "network", "blocked")


@dataclass(frozen=True)
class UploaderMetrics:
    """The worker's metrics, and a counter of callbacks by outcome."""

    worker: WorkerMetrics
    callbacks: Counter

    @classmethod
    def create(cls) -> Self:
        worker = WorkerMetrics.create("uploader", Phase)
        callbacks = Counter(
            "uvr_callbacks",
            "Callbacks POSTed, by outcome: HTTP status, no answer, or an address that is not called.",
            ["class"],
            registry=worker.registry,
        )
        for value in _CLASSES:
            callbacks.labels(value)
        return cls(worker, callbacks)

    def read_bucket(self, sizes_bytes: Callable[[], Numbers], objects: Callable[[], Numbers]) -> None:
        """Registers gauges that read what the last sweep has found in the bucket, by kind."""
        gauge = self.worker.register_gauge
        gauge("uvr_bucket_bytes", "Bytes in the bucket as of the last sweep.", ("kind",), sizes_bytes)
        gauge("uvr_bucket_objects", "Objects in the bucket as of the last sweep.", ("kind",), objects)

    def read_stage(self, size_bytes: Callable[[], Numbers]) -> None:
        """Registers a gauge that reads how many bytes the last sweep has found in the stage."""
        text = "Bytes of staged stems, as of the last sweep of the stage."
        self.worker.register_gauge("uvr_stage_bytes", text, (), size_bytes)

    def called(self, answer: Delivery, took_s: float) -> None:
        """Notes one try of a callback, which took `took_s` seconds and was answered by `answer`."""
        self.callbacks.labels(class_of(answer)).inc()
        self.worker.note_phase(Phase.CALLBACK, took_s)


def class_of(answer: Delivery) -> str:
    """Returns the value of the label `class` for `answer`."""
    match answer:
        case Delivered(status) | Rejected(status):
            return f"{status // 100}xx" if 200 <= status < 600 else "other"
        case Gone():
            return "4xx"
        case Refused():
            return "blocked"
        case TimedOut():
            return "timeout"
    return "network"

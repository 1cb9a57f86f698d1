"""What the uploader measures besides what both consumers do."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Self

from prometheus_client import Counter

from common.worker.metrics import WorkerMetrics
from uploader.webhook import Delivered, Delivery, Gone, Refused, Rejected, TimedOut


class Phase(StrEnum):
    """The values of `stage` here."""

    UPLOAD = "upload"
    CALLBACK = "callback"


_CLASSES = ("2xx", "3xx", "4xx", "5xx", "other", "timeout", "network", "blocked")


@dataclass(frozen=True)
class UploaderMetrics:
    worker: WorkerMetrics
    callbacks: Counter

    @classmethod
    def create(cls) -> Self:
        worker = WorkerMetrics.create("uploader", Phase)
        callbacks = Counter(
            "uvr_callbacks",
            "Callbacks POSTed, by what came of it: a status, no answer, or an address that is not called.",
            ["class"],
            registry=worker.registry,
        )
        for value in _CLASSES:
            callbacks.labels(value)
        return cls(worker, callbacks)

    def called(self, answer: Delivery, took_s: float) -> None:
        """A callback was POSTed once, or kept from being."""
        self.callbacks.labels(class_of(answer)).inc()
        self.worker.note_phase(Phase.CALLBACK, took_s)


def class_of(answer: Delivery) -> str:
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

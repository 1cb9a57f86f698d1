"""The records of a poll, decoded for the view's file."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from kafka import TopicPartition

from api.view.merge import of_task
from common.tasks import messages
from common.tasks.messages import DeliveryAttempt, Status, TaskBatch, WorkerSeen


@dataclass
class Batch:
    """The records of a poll, and the offsets from which the next poll reads."""

    statuses: list[Status] = field(default_factory=list)
    deliveries: list[DeliveryAttempt] = field(default_factory=list)
    offsets: dict[TopicPartition, int] = field(default_factory=dict)
    workers: list[WorkerSeen] = field(default_factory=list)
    batches: list[TaskBatch] = field(default_factory=list)

    @property
    def count(self) -> int:
        return len(self.statuses) + len(self.deliveries) + len(self.workers) + len(self.batches)

    @property
    def kind(self) -> str:
        """The kind of a single record: `statuses`, `deliveries`, `batches` or `workers`."""
        kinds = {"statuses": self.statuses, "deliveries": self.deliveries, "batches": self.batches}
        return next((kind for kind, records in kinds.items() if records), "workers")

    def singles(self) -> Iterator["Batch"]:
        """Return a batch for each record, without offsets."""
        yield from (Batch([status]) for status in self.statuses)
        yield from (Batch([], [delivery]) for delivery in self.deliveries)
        yield from (Batch(workers=[worker]) for worker in self.workers)
        yield from (Batch(batches=[batch]) for batch in self.batches)

    def add(self, kind: str, value: bytes | None) -> None:
        """Decode a record of this kind, and add it. Raise UndecodableMessage."""
        match kind:
            case "tasks":
                self.statuses.append(of_task(messages.decode_task(value)))
            case "statuses":
                self.statuses.append(messages.decode_status(value))
            case "deliveries":
                self.deliveries.append(messages.decode_delivery(value))
            case "batches":
                self.batches.append(messages.decode_batch(value))
            case _:
                self.workers.append(messages.decode_worker_seen(value))

"""Makes the records of a batch, all of which go to Kafka in one transaction."""

from collections.abc import Sequence

from common.kafka import lanes
from common.kafka.records import Message
from common.settings.schema import KafkaSettings
from common.tasks.messages import BatchEnded, Cancel, Task, TaskBatch


def records_of(batch: TaskBatch, tasks: Sequence[Task], settings: KafkaSettings) -> list[Message]:
    """Return the records that submit the batch."""
    base = settings.kafka_task_topic
    queued = [
        Message(lanes.topic(base, task.priority), str(task.task_uuid).encode(), task.to_bytes())
        for task in tasks
    ]
    return [*queued, _batch_record(batch, settings)]


def records_of_end(batch: TaskBatch, ended: BatchEnded, settings: KafkaSettings) -> list[Message]:
    """Return the order to call the batch's `hook_url`, and the record that says that it was given."""
    order = Message(settings.kafka_result_topic, str(ended.batch_uuid).encode(), ended.to_bytes())
    return [order, _batch_record(batch, settings)]


def records_of_cancels(cancels: Sequence[Cancel], settings: KafkaSettings) -> list[Message]:
    """Return the records that cancel tasks."""
    topic = settings.kafka_control_topic
    return [Message(topic, str(cancel.task_uuid).encode(), cancel.to_bytes()) for cancel in cancels]


def _batch_record(batch: TaskBatch, settings: KafkaSettings) -> Message:
    return Message(settings.kafka_batch_topic, str(batch.batch_uuid).encode(), batch.to_bytes())

"""The topics that a view reads, in memory, and the consumers that read them."""

import time
from types import SimpleNamespace
from uuid import UUID

from kafka import TopicPartition

from common.kafka import lanes
from common.tasks.messages import Task

_POLL_S = 0.005
TOPICS = ("uvr_tasks", "uvr_status", "uvr_deliveries", "uvr_models", "uvr_batches")
OTHER_LANES = lanes.topics("uvr_tasks")[1:]
TASKS, STATUSES, DELIVERIES, WORKERS, BATCHES = (TopicPartition(topic, 0) for topic in TOPICS)


def task(number: int) -> bytes:
    return Task(task_uuid=UUID(int=number), audio="a", hook_url="h", submitted_at=9e9 + number).to_bytes()


class Log:
    """Topics of one partition in memory, and the consumers that read them; `errors` are raised by polls."""

    def __init__(self) -> None:
        names = (*TOPICS, *OTHER_LANES)
        self.records: dict[TopicPartition, list[bytes]] = {TopicPartition(topic, 0): [] for topic in names}
        self.errors: list[Exception] = []
        self.begins: list[int] = []

    def connect(self) -> "Source":
        return Source(self)


class Source:
    def __init__(self, log: Log):
        self._log = log
        self.muted: set[TopicPartition] = set()
        self._positions: dict[TopicPartition, int] = {}

    def partitions_for_topic(self, topic):
        return {0} if TopicPartition(topic, 0) in self._log.records else None

    def assign(self, partitions): ...

    def beginning_offsets(self, partitions):
        return dict.fromkeys(partitions, 0)

    def end_offsets(self, partitions):
        return {partition: len(self._log.records[partition]) for partition in partitions}

    def seek(self, partition, offset):
        self._positions[partition] = offset
        if partition == TASKS:
            self._log.begins.append(offset)

    def poll(self, timeout_ms, max_records):
        if self._log.errors:
            raise self._log.errors.pop()
        found = {}
        for partition, offset in self._positions.items():
            new = [] if partition in self.muted else list(enumerate(self._log.records[partition]))[offset:]
            if new:
                found[partition] = [SimpleNamespace(offset=n, value=value) for n, value in new]
                self._positions[partition] = len(self._log.records[partition])
        if not found:
            # As a consumer waits for records, though not as long: the feed's thread would keep a core busy.
            time.sleep(_POLL_S)
        return found

    def position(self, partition, timeout_ms):
        return self._positions[partition]

    def close(self): ...

"""Reads a topic once, from its beginning or a point in time to its present end."""

import contextlib
import time
from collections.abc import Callable, Iterator

from kafka import KafkaConsumer, TopicPartition
from kafka.admin import OffsetSpec

from common.kafka import clients
from common.kafka.groupless import read_to_ends, topic_source
from common.kafka.records import Record
from common.settings.schema import KafkaSettings


def records(
    settings: KafkaSettings, topic: str, since_s: float = 0.0, clock: Callable[[], float] = time.monotonic
) -> Iterator[Record]:
    """Yields every committed record that was written up to now; none if there is no such topic.

    `since_s` is in seconds since the epoch: earlier records are left out. Waits for transactions that are
    open now: the records behind them, such as the mark of another replay, were written before this call.
    Raises KafkaError, also when nothing comes for 30 s.
    """
    with contextlib.closing(topic_source(settings, isolation_level="read_committed")) as consumer:
        partitions = [TopicPartition(topic, n) for n in sorted(consumer.partitions_for_topic(topic) or ())]
        ends = _ends(settings, partitions)
        for r in read_to_ends(consumer, _begins(consumer, partitions, since_s), ends, clock):
            yield Record(r.topic, r.partition, r.offset, r.key, r.value, r.headers, r.timestamp)


def _ends(settings: KafkaSettings, partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
    """Returns the offset behind the last record of each partition, be it committed or not.

    The consumer's own `end_offsets` would stop at the first open transaction.
    """
    if not partitions:
        return {}
    with contextlib.closing(clients.admin(settings)) as admin:
        found = admin.list_partition_offsets({partition: OffsetSpec.LATEST for partition in partitions})
    return {partition: found[partition].offset for partition in partitions}


def _begins(
    consumer: KafkaConsumer, partitions: list[TopicPartition], since_s: float
) -> dict[TopicPartition, int]:
    if not partitions:
        return {}
    begins: dict[TopicPartition, int] = consumer.beginning_offsets(partitions)
    if since_s > 0:
        found = consumer.offsets_for_times({partition: int(since_s * 1000) for partition in partitions})
        ends = consumer.end_offsets(partitions)
        for partition, at in found.items():
            begins[partition] = at.offset if at is not None else ends[partition]
    return begins

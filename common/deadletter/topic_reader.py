"""Reads a topic from its beginning to its present end, without a group."""

import contextlib
import time
from collections.abc import Callable, Iterator

from kafka import KafkaConsumer, TopicPartition
from kafka.admin import OffsetSpec
from kafka.errors import KafkaTimeoutError

from common.kafka import clients
from common.kafka.net_client import closed_on_error
from common.kafka.records import Record
from common.settings.schema import KafkaSettings

_STALL_S = 30.0


def records(
    settings: KafkaSettings, topic: str, since_s: float = 0.0, clock: Callable[[], float] = time.monotonic
) -> Iterator[Record]:
    """Every committed record that was written up to now; of a topic that is not there, none.

    Transactions that are open now are waited for: what they hold back was written before this call, a mark
    of another replay for one. Raises KafkaError, also when nothing comes for 30 s.
    """
    with closed_on_error() as net_client:
        consumer = KafkaConsumer(
            **clients.kafka_options(settings), enable_auto_commit=False, auto_offset_reset="earliest",
            isolation_level="read_committed", allow_auto_create_topics=False, kafka_client=net_client,
        )  # fmt: skip
    with contextlib.closing(consumer):
        partitions = [TopicPartition(topic, n) for n in sorted(consumer.partitions_for_topic(topic) or ())]
        ends = _ends(settings, partitions)
        begins = _begins(consumer, partitions, since_s)
        consumer.assign(partitions)
        for partition, offset in begins.items():
            consumer.seek(partition, offset)
        yield from _until(consumer, ends, clock)


def _until(
    consumer: KafkaConsumer, ends: dict[TopicPartition, int], clock: Callable[[], float]
) -> Iterator[Record]:
    moved_at, before = clock(), None
    while behind := {p: at for p, end in ends.items() if (at := consumer.position(p)) < end}:
        if behind != before:
            moved_at, before = clock(), behind
        elif clock() - moved_at > _STALL_S:
            where = ", ".join(f"{p.topic}[{p.partition}] at {at}" for p, at in behind.items())
            raise KafkaTimeoutError(f"nothing came for {_STALL_S:.0f} s: {where}")
        for partition, batch in consumer.poll(timeout_ms=500).items():
            for r in batch:
                # What was written after the look at the ends belongs to the next reading.
                if r.offset < ends[partition]:
                    yield Record(r.topic, r.partition, r.offset, r.key, r.value, r.headers, r.timestamp)


def _ends(settings: KafkaSettings, partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
    """Behind the last record, committed or not: the consumer's own answer stops at the first open one."""
    if not partitions:
        return {}
    with contextlib.closing(clients.admin(settings)) as admin:
        found = admin.list_partition_offsets({partition: OffsetSpec.LATEST for partition in partitions})
    return {partition: found[partition].offset for partition in partitions}


def _begins(
    consumer: KafkaConsumer, partitions: list[TopicPartition], since_s: float
) -> dict[TopicPartition, int]:
    begins = consumer.beginning_offsets(partitions) if partitions else {}
    if partitions and since_s > 0:
        found = consumer.offsets_for_times({partition: int(since_s * 1000) for partition in partitions})
        ends = consumer.end_offsets(partitions)
        for partition, at in found.items():
            begins[partition] = at.offset if at is not None else ends[partition]
    return begins

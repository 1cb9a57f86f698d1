"""Reads topics without a group, from any offset, for readers that go on for good."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaTimeoutError

from common.kafka import clients
from common.kafka.net_client import cleaned_up_client
from common.settings.schema import KafkaSettings

_STALL_S = 30.0
_POLL_MS = 500


class Source(Protocol):
    """The methods of a KafkaConsumer that a reader without a group uses."""

    def partitions_for_topic(self, topic: str) -> set[int] | None: ...
    def assign(self, partitions: Sequence[TopicPartition]) -> None: ...
    def beginning_offsets(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]: ...
    def end_offsets(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]: ...
    def seek(self, partition: TopicPartition, offset: int) -> None: ...
    def poll(self, timeout_ms: int, max_records: int) -> Mapping[TopicPartition, list[Any]]: ...
    def position(self, partition: TopicPartition, timeout_ms: int) -> int | None: ...
    def close(self) -> None: ...


class TopicMissing(Exception):
    """The topic is not there yet."""


def topic_source(settings: KafkaSettings, **options: Any) -> KafkaConsumer:
    """Return a consumer for a reader without a group, with nothing assigned to it yet. Raises KafkaError.

    `options` are further options of KafkaConsumer. With a `group_id` the consumer can ask for that group's
    committed offsets, and still does not join the group.
    """
    with cleaned_up_client() as net_client:
        return KafkaConsumer(
            **clients.kafka_options(settings),
            **clients.WITHOUT_METRICS,
            **clients.LONG_FETCHES,
            kafka_client=net_client,
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            allow_auto_create_topics=False,
            metadata_max_age_ms=60000,
            **options,
        )


def partitions_of(source: Source, topics: Iterable[str]) -> list[TopicPartition]:
    """Return all partitions of all `topics`, in order. Raises TopicMissing."""
    found = []
    for topic in topics:
        numbers = source.partitions_for_topic(topic)
        if not numbers:
            raise TopicMissing(f"topic {topic} is not there yet")
        found += [TopicPartition(topic, number) for number in sorted(numbers)]
    return found


def read_to_ends(
    consumer: KafkaConsumer,
    begins: Mapping[TopicPartition, int],
    ends: Mapping[TopicPartition, int],
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[Any]:
    """Yield the records from each offset of `begins` up to, and without, the one of `ends`.

    Raises KafkaError, also when no position has moved for 30 s.
    """
    consumer.assign(list(begins))
    for partition, offset in begins.items():
        consumer.seek(partition, offset)
    moved_s, before = clock(), None
    while behind := {p: at for p, end in ends.items() if (at := consumer.position(p)) < end}:
        if behind != before:
            moved_s, before = clock(), behind
        elif clock() - moved_s > _STALL_S:
            where = ", ".join(f"{p.topic}[{p.partition}] at {at}" for p, at in behind.items())
            raise KafkaTimeoutError(f"nothing came for {_STALL_S:.0f} s: {where}")
        for partition, batch in consumer.poll(timeout_ms=_POLL_MS).items():
            # Records at or behind the end were written after the reader asked for the ends.
            yield from (record for record in batch if record.offset < ends[partition])

"""Reads topics without a group, from any offset, for readers that go on for good."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from kafka import KafkaConsumer, TopicPartition

from common.kafka import clients
from common.kafka.net_client import cleaned_up_client
from common.settings.schema import KafkaSettings


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


def partitions_of(source: Source, topics: Iterable[str]) -> list[TopicPartition]:
    """Return the partitions of all `topics`, in order. Raises TopicMissing."""
    found = []
    for topic in topics:
        numbers = source.partitions_for_topic(topic)
        if not numbers:
            raise TopicMissing(f"topic {topic} is not there yet")
        found += [TopicPartition(topic, number) for number in sorted(numbers)]
    return found


def topic_source(settings: KafkaSettings, **options: Any) -> KafkaConsumer:
    """Return a Source. `options` are further ones of the consumer. Raises KafkaError."""
    with cleaned_up_client() as net_client:
        return KafkaConsumer(
            **clients.kafka_options(settings),
            kafka_client=net_client,
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            allow_auto_create_topics=False,
            metadata_max_age_ms=60000,
            **options,
        )

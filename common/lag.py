"""Shows how much work each group has left: `python -m common.lag` prints a line for each partition.

Waiting records have not begun: in a retry topic most are not due yet, others wait for a place. Running
records are shown with their attempts. The command reads and counts the records, because offsets also count
transaction markers.
"""

import contextlib
import itertools
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

from common.kafka import clients, lanes, retry_topics
from common.kafka.groupless import read_to_ends, topic_source
from common.settings import command_line
from common.settings.loading import load_or_exit
from common.settings.schema import CommandSettings, KafkaSettings
from common.worker import committed_state
from common.worker.committed_state import CommittedState

_USAGE = "usage: python -m common.lag  (its settings are environment variables)"
EXIT_UNAVAILABLE = 69


@dataclass(frozen=True)
class PartitionLag:
    """The work left in a partition. `running` maps offsets to the attempts that count toward MAX_ATTEMPTS."""

    partition: TopicPartition
    waiting: int
    running: dict[int, int]


def lags(settings: KafkaSettings, group_id: str, bases: Sequence[str]) -> list[PartitionLag]:
    """Returns the lag of each partition of topics `bases` and of their retry topics. Raises KafkaError."""
    source = topic_source(settings, group_id=group_id, isolation_level="read_committed")
    with contextlib.closing(source) as consumer:
        existing = consumer.topics()
        partitions = [
            TopicPartition(topic, n)
            for base in bases
            for topic in retry_topics.family(base, existing)
            for n in sorted(consumer.partitions_for_topic(topic) or ())
        ]
        states = {
            partition: committed_state.decode(consumer.committed(partition, metadata=True, timeout_ms=10000))
            for partition in partitions
        }
        counts = _count(consumer, {partition: state.next_offset for partition, state in states.items()})
        return [_lag(partition, counts[partition], state) for partition, state in states.items()]


def _lag(partition: TopicPartition, unread: int, state: CommittedState) -> PartitionLag:
    running = {offset: counted for offset in state.active if (counted := state.counted_attempts(offset))}
    return PartitionLag(partition, unread + len(state.active) - len(running), running)


def _count(consumer: KafkaConsumer, begins: dict[TopicPartition, int]) -> Counter[TopicPartition]:
    """Counts the records from each offset, or the first that is left behind it, to the present end."""
    firsts = consumer.beginning_offsets(list(begins))
    there = {partition: max(firsts[partition], begin) for partition, begin in begins.items()}
    records = read_to_ends(consumer, there, consumer.end_offsets(list(begins)))
    return Counter(TopicPartition(record.topic, record.partition) for record in records)


def _print(group_id: str, found: Sequence[PartitionLag]) -> None:
    print(f"{group_id}: {_sum(found)}")
    for topic, of_topic in itertools.groupby(found, lambda lag: lag.partition.topic):
        _print_topic(topic, list(of_topic))


def _print_topic(topic: str, found: Sequence[PartitionLag]) -> None:
    print(f"  {topic}: {_sum(found)}")
    for lag in found:
        if lag.waiting or lag.running:
            jobs = ", ".join(f"@{offset} attempt {n}" for offset, n in sorted(lag.running.items()))
            print(f"    [{lag.partition.partition}]  {lag.waiting} waiting  {jobs}".rstrip())


def _sum(found: Iterable[PartitionLag]) -> str:
    found = list(found)
    waiting = sum(lag.waiting for lag in found)
    running = sum(len(lag.running) for lag in found)
    return f"{waiting} waiting, {running} running, {len(found)} partitions"


def main() -> int:
    """Prints the lag of both groups, and returns the exit code."""
    command_line.refuse(sys.argv[1:], _USAGE)
    settings = load_or_exit(CommandSettings)
    clients.tell_brokers(settings)
    groups = {
        settings.kafka_processor_group_id: lanes.topics(settings.kafka_task_topic),
        settings.kafka_uploader_group_id: (settings.kafka_result_topic,),
    }
    try:
        for group_id, bases in groups.items():
            _print(group_id, lags(settings, group_id, bases))
    except KafkaError as error:
        print(f"Kafka at {settings.kafka_bootstrap_servers}: {error}", file=sys.stderr)
        return EXIT_UNAVAILABLE
    return 0


if __name__ == "__main__":
    sys.exit(command_line.run(main))

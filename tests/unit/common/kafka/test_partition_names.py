"""Partitions in few words."""

from kafka import TopicPartition

from common.kafka.partition_names import partition_names


def test_partitions_are_told_by_topic_in_runs():
    given = [TopicPartition("tasks_retry_30s", 3)] + [TopicPartition("tasks", n) for n in (8, 0, 2, 1, 9)]
    assert partition_names(given) == "tasks 0-2 8-9, tasks_retry_30s 3"


def test_none_is_said_so():
    assert partition_names([]) == "none"

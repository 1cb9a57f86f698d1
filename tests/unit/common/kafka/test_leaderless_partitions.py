"""Whoever looks for hanging transactions waits for partitions that have no leader for a moment."""

from types import SimpleNamespace

import pytest
from kafka import TopicPartition
from kafka.errors import NotLeaderForPartitionError

from common.kafka.hanging_transactions import OFFSETS_TOPIC, Scope, find

SCOPE = Scope(("tasks",), "workers")


class Admin:
    """Describes topics of one partition. The first so many questions about `tasks` find no leader."""

    def __init__(self, leaderless: int):
        self.leaderless = leaderless
        self.described: list[str] = []

    def describe_topics(self, names):
        return [{"name": name, "partitions": [{"partition_index": 0}]} for name in names]

    def describe_producers(self, partitions: list[TopicPartition]):
        (topic,) = {partition.topic for partition in partitions}
        if topic == "tasks" and self.leaderless:
            self.leaderless -= 1
            raise NotLeaderForPartitionError
        self.described.append(topic)
        return {partition: SimpleNamespace(active_producers=[]) for partition in partitions}


def test_a_leader_that_comes_is_waited_for():
    admin = Admin(leaderless=2)
    assert find(admin, SCOPE) == []
    assert admin.described == ["tasks", OFFSETS_TOPIC]


def test_a_leader_that_does_not_come_is_an_error():
    with pytest.raises(NotLeaderForPartitionError):
        find(Admin(leaderless=1), SCOPE, leader_patience_s=0)

"""Who gets which partitions: every topic evenly, as few moved as can be, none with two owners."""

from collections import Counter
from types import SimpleNamespace

import pytest
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.protocol.consumer.metadata import ConsumerProtocolSubscription

from common.assignor import EvenTopicsAssignor

TOPICS = ["tasks", "tasks_retry_300s", "tasks_retry_30s", "tasks_retry_3600s"]
PARTITIONS = 12


class Cluster:
    def topics(self) -> set[str]:
        return set(TOPICS)

    def partitions_for_topic(self, topic: str) -> set[int]:
        return set(range(PARTITIONS))


class Group:
    """What each member has, through rounds of assignment until nothing moves any more."""

    def __init__(self, assignor: CooperativeStickyAssignor):
        self._assignor = assignor
        self.owned: dict[str, dict[str, list[int]]] = {}
        self.moved = 0

    def settle(self, **topics: list[str]) -> None:
        """With these members, each with its topics."""
        self.owned = {name: self.owned.get(name, {}) for name in topics}
        for _ in range(5):
            assigned = self._assignor.assign(Cluster(), [self._member(n, topics[n]) for n in topics])
            new = {n: {t: list(p) for t, p in a.assigned_partitions if p} for n, a in assigned.items()}
            owners = Counter((t, p) for a in new.values() for t, ps in a.items() for p in ps)
            assert max(owners.values()) == 1
            for name, before in self.owned.items():
                self.moved += sum(len(set(ps) - set(new[name].get(t, ()))) for t, ps in before.items())
            if new == self.owned and len(owners) == PARTITIONS * len(set().union(*topics.values())):
                return
            self.owned = new
        raise AssertionError("it does not settle")

    def _member(self, name: str, topics: list[str]) -> SimpleNamespace:
        mine = [
            ConsumerProtocolSubscription.TopicPartition(topic=topic, partitions=partitions)
            for topic, partitions in self.owned[name].items()
        ]
        metadata = ConsumerProtocolSubscription(
            version=1, topics=topics, user_data=b"", owned_partitions=mine
        )
        return SimpleNamespace(member_id=name, metadata=metadata)

    def counts(self, topic: str) -> list[int]:
        return sorted(len(owned.get(topic, ())) for owned in self.owned.values())


@pytest.fixture
def group() -> Group:
    return Group(EvenTopicsAssignor())


def test_the_bare_assignor_leaves_one_that_joins_without_tasks():
    group = Group(CooperativeStickyAssignor())
    group.settle(a=TOPICS)
    group.settle(a=TOPICS, b=TOPICS)
    assert group.counts("tasks") != [6, 6]


def test_ours_gives_it_its_share_of_every_topic(group):
    group.settle(a=TOPICS)
    group.settle(a=TOPICS, b=TOPICS)
    assert [group.counts(topic) for topic in TOPICS] == [[6, 6]] * 4
    group.settle(a=TOPICS, b=TOPICS, c=TOPICS)
    assert [group.counts(topic) for topic in TOPICS] == [[4, 4, 4]] * 4


def test_no_more_is_moved_than_its_share(group):
    group.settle(a=TOPICS)
    group.settle(a=TOPICS, b=TOPICS)
    assert group.moved == 24


def test_what_one_leaves_goes_to_the_others_and_nothing_else_moves(group):
    group.settle(a=TOPICS, b=TOPICS, c=TOPICS)
    group.moved = 0
    group.settle(a=TOPICS, c=TOPICS)
    assert [group.counts(topic) for topic in TOPICS] == [[6, 6]] * 4
    assert group.moved == 0


def test_members_of_different_topics_share_what_they_have_in_common(group):
    group.settle(a=["tasks"], b=TOPICS)  # one of a version that knew no retry topics
    assert group.counts("tasks") == [6, 6]
    assert group.counts("tasks_retry_30s") == [0, 12]

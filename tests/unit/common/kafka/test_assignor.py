"""Who gets which partitions: every topic evenly, as few moved as can be, none with two owners."""

from collections import Counter
from types import SimpleNamespace

import pytest
from kafka import TopicPartition
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.protocol.consumer.metadata import ConsumerProtocolAssignment, ConsumerProtocolSubscription

from common.kafka.assignor import EvenTopicsAssignor
from common.kafka.member_data import Needs, decode_drained, decode_needs, encode_drained
from tests.support.common.kafka.earlier_assignor import EarlierAssignor

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


# Busy partitions


def members(**user_data: bytes | None) -> list[SimpleNamespace]:
    """The first has all of the tasks, the others nothing."""
    made = []
    for name, data in user_data.items():
        mine = [] if made else [
            ConsumerProtocolSubscription.TopicPartition(topic="tasks", partitions=list(range(PARTITIONS)))
        ]  # fmt: skip
        metadata = ConsumerProtocolSubscription(
            version=1, topics=["tasks"], user_data=data, owned_partitions=mine
        )
        encoded = ConsumerProtocolSubscription.decode(metadata.encode())
        made.append(SimpleNamespace(member_id=name, metadata=encoded))
    return made


def all_busy() -> bytes:
    return Needs(tuple(TopicPartition("tasks", n) for n in range(PARTITIONS))).encode()


def kept(assigned: dict) -> int:
    return len(assigned["a"].partitions())


def test_a_busy_partition_stays_and_its_owner_is_told_to_give_it_up_later():
    assignor = EvenTopicsAssignor()
    assigned = assignor.assign(Cluster(), members(a=all_busy(), b=b""))
    assert kept(assigned) == PARTITIONS
    assert assignor.withheld == 0
    decoded = ConsumerProtocolAssignment.decode(assigned["a"].encode())
    assert decode_drained(decoded.user_data) == {TopicPartition("tasks", n) for n in range(6)}
    assert assigned["b"].user_data == b""


@pytest.mark.parametrize(
    "data",
    [
        b"",
        None,
        b"\x00\x00\x00\x07",
        b"\xff\xfe",
        b"null",
        b"[]",
        b'{"busy": 1}',
        b'{"busy": {"tasks": 3}}',
        b'{"busy": {"tasks": [null, "3", 2.5, true, [], {}]}}',
        b'{"busy": {"other": [1]}, "waiting": "all", "leaves": "yes"}',
        b'{"busy": {"tasks": [99, -1, 100000000000000000000]}}',
        b"[" * 100_000,
    ],
)
def test_a_member_that_says_nothing_that_is_understood_gives_up_its_share_as_ever(data):
    assigned = EvenTopicsAssignor().assign(Cluster(), members(a=data, b=data))
    assert kept(assigned) == PARTITIONS // 2


def test_a_leader_of_an_earlier_version_shares_out_as_it_did_and_names_nothing_to_finish():
    assigned = EarlierAssignor().assign(Cluster(), members(a=all_busy(), b=all_busy()))
    assert kept(assigned) == PARTITIONS // 2
    assert decode_drained(assigned["a"].user_data) == frozenset()


@pytest.mark.parametrize("data", [None, b"", b"\x01", b"{}", b'{"drained": [1]}', b'{"drained": {"t": 1}}'])
def test_a_leaders_answer_that_is_not_understood_names_nothing(data):
    assert decode_drained(data) == frozenset()


def test_what_a_member_needs_is_said_at_each_join_and_the_answer_passed_on():
    assignor = EvenTopicsAssignor()
    heard: list[frozenset[TopicPartition]] = []
    needs = Needs((TopicPartition("tasks", 3),), (TopicPartition("tasks", 1),), leaves=True)
    assignor.needs, assignor.on_drained = (lambda: needs), heard.append
    said = ConsumerProtocolSubscription.decode(assignor.metadata(["tasks"]).encode())
    assert decode_needs(said.user_data) == needs
    answer = ConsumerProtocolAssignment(1, [("tasks", [3])], encode_drained([TopicPartition("tasks", 3)]))
    assignor.on_assignment(ConsumerProtocolAssignment.decode(answer.encode()), 1)
    assert heard == [{TopicPartition("tasks", 3)}]

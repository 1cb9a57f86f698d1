"""Shares out a group's partitions: each topic's evenly, and no partition with a running job moves."""

from collections import defaultdict
from collections.abc import Callable, Set
from typing import Any

from kafka import TopicPartition
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.protocol.consumer.metadata import ConsumerProtocolAssignment, ConsumerProtocolSubscription

from common.kafka.member_data import Needs, decode_drained, decode_needs, encode_drained
from common.kafka.sharing import Claim, share_out


def _nothing_needed() -> Needs:
    return Needs()


def _nothing_to_finish(drained: Set[TopicPartition]) -> None:
    """Ignore the drained partitions: a member without jobs has none to finish."""


class EvenTopicsAssignor(CooperativeStickyAssignor):  # type: ignore[misc]  # kafka-python has no types
    """Speaks the protocol of CooperativeStickyAssignor under the same name, with shares of our own.

    A group may have members of both, and of our earlier versions. The original counts the partitions of all
    topics together. So a worker that joins could be given nothing but partitions of retry topics, and would
    stand idle while the tasks wait. The original also moves partitions whose records are being worked on.
    """

    def __init__(self) -> None:
        super().__init__()
        # how many partitions move, and have no owner, between the last assignment made here and the next one
        self.withheld = 0
        # Both are set before the member joins, and called on the client's I/O thread.
        self.needs: Callable[[], Needs] = _nothing_needed
        self.on_drained: Callable[[Set[TopicPartition]], None] = _nothing_to_finish

    def metadata(self, topics: Any) -> ConsumerProtocolSubscription:
        """Return what this member tells the leader when it joins."""
        subscription = super().metadata(topics)
        subscription.user_data = self.needs().encode()
        return subscription

    def on_assignment(self, assignment: ConsumerProtocolAssignment, generation: int) -> None:
        """Take over what the leader has given this member."""
        super().on_assignment(assignment, generation)
        self.on_drained(decode_drained(assignment.user_data))

    def assign(self, cluster: Any, members: Any) -> dict[str, ConsumerProtocolAssignment]:
        """Give each member its partitions. Called on the leader alone."""
        parts = {member.member_id: _Part(member.metadata) for member in members}
        given: dict[str, list[tuple[str, list[int]]]] = defaultdict(list)
        drained: dict[str, list[TopicPartition]] = defaultdict(list)
        withheld = 0
        for topic in sorted({topic for part in parts.values() for topic in part.topics}):
            partitions = set(cluster.partitions_for_topic(topic) or ())
            shares = share_out(partitions, {name: part.claim(topic) for name, part in parts.items()})
            withheld += len(partitions)
            for name, share in shares.items():
                withheld -= len(share.partitions)
                if share.partitions:
                    given[name].append((topic, sorted(share.partitions)))
                drained[name] += (TopicPartition(topic, number) for number in share.drained)
        self.withheld = withheld
        return {
            name: ConsumerProtocolAssignment(self.version, given[name], encode_drained(drained[name]))
            for name in parts
        }


class _Part:
    """One member's own account of its needs, by topic."""

    def __init__(self, metadata: Any):
        self.topics = frozenset(metadata.topics)
        self._needs = decode_needs(metadata.user_data)
        self._owned: dict[str, set[int]] = defaultdict(set)
        for of_topic in metadata.owned_partitions or ():
            self._owned[of_topic.topic].update(of_topic.partitions)

    def claim(self, topic: str) -> Claim:
        return Claim(
            frozenset(self._owned[topic]),
            tuple(p.partition for p in self._needs.busy if p.topic == topic),
            frozenset(p.partition for p in self._needs.waiting if p.topic == topic),
            subscribes=topic in self.topics,
            takes=topic in self.topics and not self._needs.leaves,
        )

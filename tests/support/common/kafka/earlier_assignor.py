"""The assignor of the version before members told which partitions are busy, for groups of both versions."""

from collections import defaultdict
from types import SimpleNamespace
from typing import Any

from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.protocol.consumer.metadata import ConsumerProtocolAssignment


class EarlierAssignor(CooperativeStickyAssignor):
    """Shares out each topic apart, and says nothing of jobs."""

    def __init__(self) -> None:
        super().__init__()
        self.withheld = 0

    def assign(self, cluster: Any, members: Any) -> dict[str, ConsumerProtocolAssignment]:
        members = list(members)
        found: dict[str, list] = defaultdict(list)
        withheld = 0
        for topic in sorted({topic for member in members for topic in member.metadata.topics}):
            withheld += len(cluster.partitions_for_topic(topic) or ())
            of_topic = [_of_topic(member, topic) for member in members if topic in member.metadata.topics]
            for member_id, assignment in super().assign(_only(cluster, topic), of_topic).items():
                found[member_id] += assignment.assigned_partitions
                withheld -= len(assignment.partitions())
        self.withheld = withheld
        return {
            member.member_id: ConsumerProtocolAssignment(self.version, found[member.member_id], b"")
            for member in members
        }


def _only(cluster: Any, topic: str) -> Any:
    return SimpleNamespace(topics=lambda: {topic}, partitions_for_topic=cluster.partitions_for_topic)


def _of_topic(member: Any, topic: str) -> Any:
    """The member as if it had subscribed to nothing else."""
    metadata = member.metadata
    owned = [mine for mine in metadata.owned_partitions or () if mine.topic == topic]
    narrowed = SimpleNamespace(
        topics=[topic], owned_partitions=owned, generation_id=metadata.generation_id, user_data=b""
    )
    return SimpleNamespace(member_id=member.member_id, metadata=narrowed)

"""The consumer as the worker's loop needs it. What kafka-python gets wrong stays behind this class.

"row N" is the fault's number in KAFKA_CONSUMER.md.
"""

import time
from collections.abc import Callable, Mapping, Sequence, Set
from typing import Any, Self

from kafka import TopicPartition
from kafka.coordinator.base import ConsumerGroupMetadata
from kafka.errors import FencedInstanceIdError
from kafka.structs import OffsetAndMetadata

from common.kafka import clients
from common.kafka.guarded_consumer import GuardedConsumer, Listener, OnPartitions
from common.kafka.member_data import Needs
from common.kafka.membership import ConsumerLost, Membership
from common.kafka.records import Record
from common.settings.schema import WorkerSettings

# Row 4: shorter polls starve a rebalance.
SHORTEST_POLL_MS = 20


class Consumer:
    """One member of a group, until it is closed or lost.

    Only the poll thread may call `subscribe`, `poll`, `has_fetched`, `check_membership`, `assignment`,
    `steer`, `read_again` and `close`. Any thread may call the other methods.
    """

    def __init__(self, client: GuardedConsumer, clock: Callable[[], float] = time.monotonic):
        self._client = client
        self._membership = Membership(client, clock)

    @classmethod
    def connect(cls, settings: WorkerSettings, group_id: str, max_poll_interval_ms: int) -> Self:
        """Return a consumer that is not subscribed yet. Raises KafkaError."""
        return cls(clients.consumer(settings, group_id, max_poll_interval_ms))

    def subscribe(
        self, topics: Sequence[str], assigned: OnPartitions, revoked: OnPartitions, lost: OnPartitions
    ) -> None:
        """Join the group for `topics`. The three functions are called on the client's I/O thread."""
        self._client.subscribe(list(topics), listener=Listener(assigned, revoked, lost))

    def share_with(
        self,
        needs: Callable[[Set[TopicPartition]], Needs],
        on_drained: Callable[[Set[TopicPartition]], None],
    ) -> None:
        """Tell the group's leader `needs` at each join, and pass its answer to `on_drained`.

        `needs` is given the partitions that have records to be read. Both are called on the I/O thread.
        """
        self._client.share_with(needs, on_drained)

    def poll(self, timeout_ms: int) -> list[Record]:
        """Return the records that have come, after at least `SHORTEST_POLL_MS` if there are none.

        Raises Fenced if another worker has our id, and ConsumerLost if the consumer must be replaced.
        """
        try:
            polled = self._client.poll(timeout_ms=max(timeout_ms, SHORTEST_POLL_MS))
        except FencedInstanceIdError as error:
            raise self._membership.fenced() from error
        except Exception as error:  # the loop's edge: the client raises more than it documents
            raise ConsumerLost(f"poll failed: {error!r}") from error
        return [_record(raw) for records in polled.values() for raw in records]

    def has_fetched(self) -> bool:
        """Return whether fetched records are left for the next poll. No I/O.

        Also True after the last record of a batch: only a poll finds the batch's end, and gives nothing then.
        """
        return self._client.has_fetched()

    def check_membership(self) -> None:
        """Look after each poll whether this is still a member of a group that works. Raises as `poll`."""
        self._membership.check()

    def assignment(self) -> set[TopicPartition]:
        return set(self._client.assignment())

    def steer(
        self, assigned: Set[TopicPartition], seeks: Mapping[TopicPartition, int], paused: Set[TopicPartition]
    ) -> None:
        """Seek, and let the next poll read the `assigned` partitions that are not in `paused`."""
        for partition, offset in seeks.items():
            self._client.seek(partition, offset)
        # Row 5: a newly assigned partition arrives unpaused, so this must be called before every poll.
        paused_now = self._client.paused()
        if pause := paused - paused_now:
            self._client.pause(*pause)
        if resume := (paused_now & assigned) - paused:
            self._client.resume(*resume)

    def read_again(self, partition: TopicPartition, offset: int) -> None:
        """Put a polled record back, if its partition is still ours."""
        if self._client.is_assigned(partition):
            self._client.seek(partition, offset)

    def group_metadata(self) -> ConsumerGroupMetadata:
        return self._client.group_metadata()

    def fresh_committed(self, partition: TopicPartition, timeout_ms: int) -> OffsetAndMetadata | None:
        """Return what the broker has committed, once open transactions have ended. Raises KafkaError."""
        return self._client.fresh_committed(partition, timeout_ms)

    def may_be_forgotten(self) -> bool:
        """Return whether the broker may have forgotten this member, so that fencing proves nothing."""
        return self._client.may_be_forgotten()

    def known_lag(self) -> dict[TopicPartition, int]:
        """Return the records behind our positions, in each partition of which that is known. No I/O."""
        return self._client.known_lag()

    def look_for_ends(self, timeout_ms: int) -> None:
        """Ask the broker where the partitions end. Raises KafkaError."""
        self._client.look_for_ends(timeout_ms)

    def unread(self) -> set[TopicPartition]:
        """Return the partitions with records to be read, as far as `known_lag` knows. No I/O."""
        return self._client.unread()

    def is_joining(self) -> bool:
        return self._client.is_joining()

    def is_cut_off(self) -> bool:
        """Return whether the group's coordinator has not answered for a whole session."""
        return self._client.is_cut_off()

    def rejoin(self) -> None:
        """Ask for another assignment."""
        self._client.rejoin()

    def close(self) -> None:
        """End the connections. The member stays in its group: see `clients.leave_group`."""
        clients.close_consumer(self._client)


def _record(raw: Any) -> Record:
    headers = tuple(raw.headers)
    return Record(raw.topic, raw.partition, raw.offset, raw.key, raw.value, headers, raw.timestamp)

"""A consumer with the guards that kafka-python 3.0.12 needs.

"row N" is the fault's number in KAFKA_CONSUMER.md. The guards reach into the client's private parts, so
its version is pinned, and each guard has a test that fails without it: an upgrade tells us.
"""

from collections.abc import Callable, Iterable, Mapping, Set
from typing import Any

from kafka import KafkaConsumer, TopicPartition
from kafka.consumer.subscription_state import ConsumerRebalanceListener
from kafka.structs import OffsetAndMetadata

from common.kafka.member_data import Needs

_MEMBER_SUFFIX_CHARS = len("-") + 36


class GuardedConsumer(KafkaConsumer):
    """KafkaConsumer that reads paused partitions again, ends its joins, and reads offsets afresh."""

    def __init__(self, *topics: str, **options: Any):
        super().__init__(*topics, **options)
        self._leader, self._has_fallen_out, self._has_lost_coordinator = "", False, False
        self._ends: Mapping[TopicPartition, int] = {}
        process = self._coordinator._process_join_group_response

        def process_and_note(response: Any, *rest: Any) -> Any:
            found = process(response, *rest)
            self._leader = response.leader
            return found

        self._coordinator._process_join_group_response = process_and_note
        self._tell_what_is_lost(self._coordinator)

    def _tell_what_is_lost(self, coordinator: Any) -> None:
        """Row 21: a member that falls out of its group in the middle of a rejoin is told of no loss."""
        reset, complete = coordinator.reset_generation, coordinator._on_join_complete_async
        lose = coordinator.coordinator_dead

        def reset_and_tell(*arguments: Any, **named: Any) -> None:
            reset(*arguments, **named)
            for assignor in coordinator._assignors.values():
                assignor.member_assignment = None  # else the next join would claim it still
            lost = set(self._subscription.assigned_partitions())
            if lost and self._subscription.rebalance_listener:
                # Now, and not with the next assignment: that one's generation is there before it, and with it
                # the broker would take what a stale lease commits.
                self._subscription.rebalance_listener.on_partitions_lost(lost)
                self._has_fallen_out = True

        async def complete_afresh(*arguments: Any) -> None:
            if self._has_fallen_out:
                self._has_fallen_out = False
                self._subscription.assign_from_subscribed([])  # so that all that comes is newly assigned
            self._has_lost_coordinator = False
            await complete(*arguments)

        def lose_and_note(error: Any) -> None:
            self._has_lost_coordinator = True
            lose(error)

        coordinator.coordinator_dead = lose_and_note
        coordinator.reset_generation = reset_and_tell
        coordinator._on_join_complete_async = complete_afresh

    def poll(self, *args: Any, **kwargs: Any) -> Mapping[TopicPartition, list]:
        # Row 1: parked records come back only when this is None, and a drained batch is merely falsy.
        if not self._fetcher._next_partition_records:
            self._fetcher._next_partition_records = None
        # Row 3: a poll that timed out between the leader's assignment and its SyncGroup answer would
        # leave the join unfinished for ever.
        if self._coordinator._join_task is not None:
            self._coordinator.request_rejoin()
        return super().poll(*args, **kwargs)

    def fresh_committed(self, partition: TopicPartition, timeout_ms: int) -> OffsetAndMetadata | None:
        """What the broker has now, open transactions waited for. Any thread. Raises KafkaError."""
        # Row 6: a timed-out OffsetFetch stays cached, and its old answer would be served here.
        self._coordinator._offset_fetch_futures.pop(frozenset([partition]), None)
        return self.committed(partition, metadata=True, timeout_ms=timeout_ms)

    def known_lag(self) -> dict[TopicPartition, int]:
        """How far our positions are behind the partitions' ends, as the last fetch and look told. No I/O."""
        lags = {}
        for partition in self.assignment():
            state = self._subscription.assignment.get(partition)
            position, end = (state.position, state.highwater) if state else (None, None)
            ends = [known for known in (end, self._ends.get(partition)) if known is not None]
            if position is not None and ends:
                lags[partition] = max(0, max(ends) - position.offset)
        return lags

    def look_for_ends(self, timeout_ms: int) -> None:
        """Asks the broker where the partitions end. Any thread. Raises KafkaError."""
        self._ends = self.end_offsets(list(self.assignment()), timeout_ms)

    def unread(self) -> set[TopicPartition]:
        """The partitions with records to be read, as far as `known_lag` tells. No I/O."""
        return {partition for partition, lag in self.known_lag().items() if lag > 0}

    def is_assigned(self, partition: TopicPartition) -> bool:
        return self._subscription.is_assigned(partition)

    def is_joining(self) -> bool:
        return not self._coordinator.stable() or self._coordinator.rejoining

    def is_cut_off(self) -> bool:
        """The group's coordinator has not answered for a whole session."""
        return self._coordinator.heartbeat.session_timeout_expired()

    def may_be_forgotten(self) -> bool:
        """Row 22: the coordinator was away since the last join.

        A broker that was killed does not remember a member that had just joined, and fences it for that.
        """
        return self._has_lost_coordinator

    def withholds_partitions(self) -> bool:
        """The last assignment was made here, and left what moves to the next one."""
        assignors = self._coordinator._assignors.values()
        return self._coordinator._is_leader and any(assignor.withheld for assignor in assignors)

    def follows_its_former_self(self) -> bool:
        """Row 20: who takes a static member's place in a stable group is told that the one before it leads.

        The broker makes such an id of the instance's and a UUID.
        """
        instance_id, member_id = self.config["group_instance_id"], self._coordinator._generation.member_id
        if not instance_id or self.is_joining() or self._leader == member_id:
            return False
        return self._leader[:-_MEMBER_SUFFIX_CHARS] == instance_id

    def share_with(
        self,
        needs: Callable[[Set[TopicPartition]], Needs],
        on_drained: Callable[[Set[TopicPartition]], None],
    ) -> None:
        """Tells the group's leader `needs` at each join, and `on_drained` the leader's answer.

        `needs` is given the partitions that have records to be read. Both are called on the I/O thread.
        """

        for assignor in self._coordinator._assignors.values():
            assignor.needs, assignor.on_drained = lambda: needs(self.unread()), on_drained

    def rejoin(self) -> None:
        """Asks for another assignment."""
        self._coordinator.request_rejoin()

    def is_silently_fenced(self) -> bool:
        """Row 10: a fenced member that is idle is told nothing; its heartbeats end while it is stable."""
        return not self.is_joining() and not self._coordinator._heartbeat_enabled


OnPartitions = Callable[[Iterable[TopicPartition]], object]


class Listener(ConsumerRebalanceListener):
    """Passes a rebalance on, on the client's I/O thread: it waits, and heartbeats with it."""

    def __init__(self, assigned: OnPartitions, revoked: OnPartitions, lost: OnPartitions):
        self._assigned, self._revoked, self._lost = assigned, revoked, lost

    def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        self._assigned(assigned)

    def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        self._revoked(revoked)

    def on_partitions_lost(self, lost: Iterable[TopicPartition]) -> None:
        self._lost(lost)

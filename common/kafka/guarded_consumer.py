"""The guards that kafka-python 3.0.12's consumer needs. The worker's loop uses them through `Consumer`.

"row N" is the fault's number in KAFKA_CONSUMER.md. The guards reach into the client's private parts, so the
client's version is pinned. Each guard has a test that fails without it, so an upgrade shows what has changed.
"""

from collections.abc import Callable, Iterable, Mapping, Set
from typing import Any

from kafka import KafkaConsumer, TopicPartition
from kafka.consumer.subscription_state import ConsumerRebalanceListener
from kafka.structs import OffsetAndMetadata

from common.kafka.member_data import Needs

_MEMBER_SUFFIX_CHARS = len("-") + 36


class GuardedConsumer(KafkaConsumer):  # type: ignore[misc]  # kafka-python has no types
    """A KafkaConsumer that reads paused partitions again, ends its joins, and reads offsets afresh."""

    def __init__(self, *topics: str, **options: Any):
        super().__init__(*topics, **options)
        # The client's I/O thread writes these, other threads read the first and the last.
        self._leader, self._has_fallen_out, self._has_lost_coordinator = "", False, False
        # Replaced as a whole by the thread that looks, read by any thread.
        self._ends: Mapping[TopicPartition, int] = {}
        process = self._coordinator._process_join_group_response

        def process_and_note(response: Any, *rest: Any) -> Any:
            found = process(response, *rest)
            self._leader = response.leader
            return found

        self._coordinator._process_join_group_response = process_and_note
        self._report_losses(self._coordinator)

    def _report_losses(self, coordinator: Any) -> None:
        """Report lost partitions at once. Row 21: who falls out while it rejoins hears of no loss."""
        reset, complete = coordinator.reset_generation, coordinator._on_join_complete_async
        lose = coordinator.coordinator_dead

        def reset_and_report(*arguments: Any, **named: Any) -> None:
            reset(*arguments, **named)
            for assignor in coordinator._assignors.values():
                assignor.member_assignment = None  # else the next join would claim it still
            lost = set(self._subscription.assigned_partitions())
            if lost and self._subscription.rebalance_listener:
                # Report now, and not with the next assignment: its generation is known before the assignment
                # is, and in that generation the broker would take what a stale lease commits.
                self._subscription.rebalance_listener.on_partitions_lost(lost)
                self._has_fallen_out = True

        async def complete_afresh(*arguments: Any) -> None:
            if self._has_fallen_out:
                self._has_fallen_out = False
                self._subscription.assign_from_subscribed([])  # so that each partition that comes is new
            self._has_lost_coordinator = False
            await complete(*arguments)

        def lose_and_note(error: Any) -> None:
            self._has_lost_coordinator = True
            lose(error)

        coordinator.coordinator_dead = lose_and_note
        coordinator.reset_generation = reset_and_report
        coordinator._on_join_complete_async = complete_afresh

    def poll(self, *args: Any, **kwargs: Any) -> Mapping[TopicPartition, list[Any]]:
        # Row 1: parked records come back only when this is None, and a drained batch is merely falsy.
        if not self._fetcher._next_partition_records:
            self._fetcher._next_partition_records = None
        # Row 3: a poll that timed out between the leader's assignment and its SyncGroup answer would leave
        # the join unfinished for ever.
        if self._coordinator._join_task is not None:
            self._coordinator.request_rejoin()
        polled: Mapping[TopicPartition, list[Any]] = super().poll(*args, **kwargs)
        return polled

    def has_fetched(self) -> bool:
        """Return whether fetched records are left, or a batch whose end no poll has found yet. No I/O."""
        fetcher, paused = self._fetcher, self._subscription.is_paused
        current = fetcher._next_partition_records
        if current and not paused(current.topic_partition):
            return True
        if any(not paused(fetched.topic_partition) for fetched in fetcher._completed_fetches.copy()):
            return True
        parked = (*fetcher._paused_completed_fetches, *fetcher._paused_partition_records)
        return any(not paused(partition) for partition in parked)

    def fresh_committed(self, partition: TopicPartition, timeout_ms: int) -> OffsetAndMetadata | None:
        """Return what the broker has committed, once open transactions have ended. Raises KafkaError.

        Any thread.
        """
        # Row 6: a timed-out OffsetFetch stays cached, and its old answer would be served here.
        self._coordinator._offset_fetch_futures.pop(frozenset([partition]), None)
        return self.committed(partition, metadata=True, timeout_ms=timeout_ms)

    def known_lag(self) -> dict[TopicPartition, int]:
        """Return how many records our positions are behind the ends, as of the last fetch or look. No I/O."""
        lags = {}
        for partition in self.assignment():
            state = self._subscription.assignment.get(partition)
            position, end = (state.position, state.highwater) if state else (None, None)
            ends = [known for known in (end, self._ends.get(partition)) if known is not None]
            if position is not None and ends:
                lags[partition] = max(0, max(ends) - position.offset)
        return lags

    def look_for_ends(self, timeout_ms: int) -> None:
        """Ask the broker where the partitions end. Any thread. Raises KafkaError."""
        self._ends = self.end_offsets(list(self.assignment()), timeout_ms)

    def unread(self) -> set[TopicPartition]:
        """Return the partitions with records to be read, as far as `known_lag` knows. No I/O."""
        return {partition for partition, lag in self.known_lag().items() if lag > 0}

    def is_assigned(self, partition: TopicPartition) -> bool:
        return bool(self._subscription.is_assigned(partition))

    def is_joining(self) -> bool:
        return bool(not self._coordinator.stable() or self._coordinator.rejoining)

    def is_cut_off(self) -> bool:
        """Return whether the group's coordinator has not answered for a whole session."""
        return bool(self._coordinator.heartbeat.session_timeout_expired())

    def may_be_forgotten(self) -> bool:
        """Return whether the coordinator was away since the last join.

        Row 22: a broker that was killed does not remember a member that had just joined, and fences it.
        """
        return self._has_lost_coordinator

    def withholds_partitions(self) -> bool:
        """Return whether the last assignment was made here, and left what moves to the next one."""
        assignors = self._coordinator._assignors.values()
        return bool(self._coordinator._is_leader and any(assignor.withheld for assignor in assignors))

    def follows_its_former_self(self) -> bool:
        """Return whether the group's leader is the static member whose place this one has taken.

        Row 20: the broker names that former member as leader if the group was stable. Its id is made of the
        instance's id and a UUID.
        """
        instance_id, member_id = self.config["group_instance_id"], self._coordinator._generation.member_id
        if not instance_id or self.is_joining() or self._leader == member_id:
            return False
        return bool(self._leader[:-_MEMBER_SUFFIX_CHARS] == instance_id)

    def share_with(
        self,
        needs: Callable[[Set[TopicPartition]], Needs],
        on_drained: Callable[[Set[TopicPartition]], None],
    ) -> None:
        """Send the leader `needs` at each join, and pass its answer to `on_drained`. See Consumer."""
        for assignor in self._coordinator._assignors.values():
            assignor.needs, assignor.on_drained = lambda: needs(self.unread()), on_drained

    def rejoin(self) -> None:
        """Ask for another assignment."""
        self._coordinator.request_rejoin()

    def is_silently_fenced(self) -> bool:
        """Return whether heartbeats have ended while the member is stable.

        Row 10: that is all that shows an idle member that it was fenced.
        """
        return not self.is_joining() and not self._coordinator._heartbeat_enabled


OnPartitions = Callable[[Iterable[TopicPartition]], object]


class Listener(ConsumerRebalanceListener):  # type: ignore[misc]  # kafka-python has no types
    """Calls three functions at a rebalance, on the client's I/O thread. Heartbeats wait until they return."""

    def __init__(self, assigned: OnPartitions, revoked: OnPartitions, lost: OnPartitions):
        self._assigned, self._revoked, self._lost = assigned, revoked, lost

    def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        self._assigned(assigned)

    def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        self._revoked(revoked)

    def on_partitions_lost(self, lost: Iterable[TopicPartition]) -> None:
        self._lost(lost)

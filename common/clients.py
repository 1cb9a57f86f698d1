"""Kafka's clients with the settings and guards that kafka-python 3.0.12 needs.

"row N" is the fault's number in KAFKA_CONSUMER.md. The guards reach into the client's private parts, so
its version is pinned, and each guard has a test that fails without it: an upgrade tells us.
"""

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import MemberToRemove
from kafka.consumer.subscription_state import ConsumerRebalanceListener
from kafka.errors import KafkaError
from kafka.structs import OffsetAndMetadata

from common.assignor import EvenTopicsAssignor
from common.half_built import closed_on_error
from common.settings import KafkaSettings, TransactionSettings, WorkerSettings

log = logging.getLogger(__name__)

# Row 15: a fetched batch is drained before the next partition gets a turn; our records are small.
_MAX_PARTITION_FETCH_BYTES = 4096
# Row 13: the producer sleeps this long whenever the last transaction's markers are still being written. It
# also looks this often for the answer of a broker that hangs, which costs a few percent of a core.
_RETRY_BACKOFF_MS = 2
_PRODUCER_MAX_BLOCK_MS = 15000
_CLOSE_TIMEOUT_MS = 2000
# Callers try again; a longer wait would only make them deaf to SIGTERM.
_BOOTSTRAP_TIMEOUT_MS = 5000
# The default of 30 s outlasts a session: after an outage the members would come back too late to keep their
# partitions, and every running job would be done again.
_RECONNECT_BACKOFF_MAX_MS = 1000
_MEMBER_SUFFIX_CHARS = len("-") + 36


def kafka_options(settings: KafkaSettings) -> dict[str, Any]:
    """How to reach Kafka, as arguments of any client of kafka-python."""
    options: dict[str, Any] = {
        "bootstrap_servers": settings.kafka_bootstrap_servers.split(","),
        "security_protocol": settings.kafka_security_protocol,
        "bootstrap_timeout_ms": _BOOTSTRAP_TIMEOUT_MS,
        "reconnect_backoff_max_ms": _RECONNECT_BACKOFF_MAX_MS,
    }
    if settings.kafka_sasl_mechanism:
        password = settings.kafka_sasl_password
        options["sasl_mechanism"] = settings.kafka_sasl_mechanism
        options["sasl_plain_username"] = settings.kafka_sasl_username
        options["sasl_plain_password"] = password.get_secret_value() if password else None
    if settings.kafka_security_protocol.endswith("SSL"):
        options["ssl_check_hostname"] = settings.kafka_ssl_check_hostname
        for name in ("ssl_cafile", "ssl_certfile", "ssl_keyfile"):
            path = getattr(settings, f"kafka_{name}")
            if path is not None:
                options[name] = str(path)
    return options


class GuardedConsumer(KafkaConsumer):
    """KafkaConsumer that reads paused partitions again, ends its joins, and reads offsets afresh."""

    def __init__(self, *topics: str, **options: Any):
        super().__init__(*topics, **options)
        self._leader, self._has_fallen_out, self._has_lost_coordinator = "", False, False
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
        """How far our positions are behind the partitions' ends, as the last fetch told them. No I/O."""
        lags = {}
        for partition in self.assignment():
            state = self._subscription.assignment.get(partition)
            position, end = (state.position, state.highwater) if state else (None, None)
            if position is not None and end is not None:
                lags[partition] = max(0, end - position.offset)
        return lags

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

    def rejoin(self) -> None:
        """Asks for another assignment."""
        self._coordinator.request_rejoin()

    def is_silently_fenced(self) -> bool:
        """Row 10: a fenced member that is idle is told nothing; its heartbeats end while it is stable."""
        return not self.is_joining() and not self._coordinator._heartbeat_enabled


def instance_id(settings: WorkerSettings) -> str:
    """The static member's `group.instance.id`."""
    return settings.worker_id


def consumer(settings: WorkerSettings, group_id: str, max_poll_interval_ms: int) -> GuardedConsumer:
    """A consumer that is not subscribed yet. Raises KafkaError."""
    return GuardedConsumer(**consumer_options(settings, group_id, max_poll_interval_ms))


def consumer_options(settings: WorkerSettings, group_id: str, max_poll_interval_ms: int) -> dict[str, Any]:
    """The arguments of a worker's consumer; KAFKA_CONSUMER.md says why each is as it is."""
    return {
        **kafka_options(settings),
        "group_id": group_id,
        "group_instance_id": instance_id(settings),
        "enable_auto_commit": False,
        "max_poll_records": 1,
        "max_poll_interval_ms": max_poll_interval_ms,
        "session_timeout_ms": settings.kafka_session_timeout_ms,
        # By these the others hear of a rebalance: a restarted leader waits for them.
        "heartbeat_interval_ms": min(1000, settings.kafka_session_timeout_ms // 4),
        "auto_offset_reset": "earliest",
        "isolation_level": "read_committed",
        # Row 2: eager assignors hand a partition back with the client's old position.
        "partition_assignment_strategy": [EvenTopicsAssignor],
        "max_partition_fetch_bytes": _MAX_PARTITION_FETCH_BYTES,
        # Row 16: the client's defaults are `latest` and auto-creation.
        "allow_auto_create_topics": False,
        "metadata_max_age_ms": 60000,
    }


def close_consumer(client: KafkaConsumer) -> None:
    try:
        client.close(autocommit=False, timeout_ms=_CLOSE_TIMEOUT_MS)
    except KafkaError as error:
        log.info("closing the consumer: %r", error)


def transactional_producer(
    settings: TransactionSettings, transactional_id: str, **overrides: Any
) -> KafkaProducer:
    """A producer whose earlier self's open transaction has been ended. Raises KafkaError."""
    options = {
        **kafka_options(settings),
        "transactional_id": transactional_id,
        "acks": "all",
        "transaction_timeout_ms": settings.kafka_transaction_timeout_ms,
        "retry_backoff_ms": _RETRY_BACKOFF_MS,
        "max_block_ms": _PRODUCER_MAX_BLOCK_MS,
        "allow_auto_create_topics": False,
        **overrides,
    }
    with closed_on_error() as net_client:
        producer = KafkaProducer(**options, kafka_client=net_client)
    try:
        producer.init_transactions()
    except BaseException:
        discard_producer(producer)
        raise
    return producer


def discard_producer(producer: KafkaProducer) -> None:
    """Ends a producer at once, whatever it still holds."""
    try:
        producer.close(timeout=0)
    except (KafkaError, AssertionError, ValueError) as error:
        # Row 12: close(0) raises with batches open and leaves its thread.
        log.debug("closing the producer: %r", error)
        producer._sender.force_close()


def admin(settings: KafkaSettings) -> KafkaAdminClient:
    """Raises KafkaError."""
    with closed_on_error() as net_client:
        return KafkaAdminClient(**kafka_options(settings), kafka_client=net_client)


def leave_group(settings: WorkerSettings, group_id: str) -> None:
    """Row 11: a static member never leaves by `close()`; this hands its partitions on at once."""
    client = admin(settings)
    try:
        client.remove_group_members(group_id, [MemberToRemove(group_instance_id=instance_id(settings))])
    finally:
        client.close()


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

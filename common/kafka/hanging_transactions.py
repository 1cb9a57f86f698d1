"""Finds transactions that the broker has forgotten, and ends them as their coordinator had decided.

Seen with Apache Kafka 4.3.1 on a single node, or wherever all replicas of a partition are away at once. A
broker that was killed within a transaction is started again. Its transaction coordinator decides how the
transaction ends before the node has registered anew. So it finds no leader to send the markers to, takes the
partitions for deleted, and closes the transaction without them ("Couldn't find leader endpoint").

In the partitions the transaction then stays open for good. Whoever reads committed records, or asks for the
group's offset, waits for ever. Kafka's own remedy is `kafka-transactions.sh abort` by hand (KIP-664). This
module does the same by itself. It also commits what was to be committed, since the producer may have heard
already that its commit succeeded.
"""

import contextlib
import logging
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from kafka import KafkaAdminClient, TopicPartition
from kafka.admin import AbortTransactionSpec
from kafka.errors import AuthorizationError, KafkaError, NotLeaderForPartitionError

from common.kafka import clients
from common.kafka.coordinator_log import Decision, last_decision
from common.settings.schema import KafkaSettings

log = logging.getLogger(__name__)

OFFSETS_TOPIC = "__consumer_offsets"
_PERIOD_S = 10.0
# A partition has no leader just after its creation, and while its leader changes.
_LEADER_PATIENCE_S, _LEADER_TICK_S = 5.0, 0.1


@dataclass(frozen=True)
class OpenTransaction:
    """A transaction as its partition knows it. `start_offset` is the offset of its first record there.

    `coordinator_epoch` is the last marker's: the broker would refuse an older one.
    """

    partition: TopicPartition
    producer_id: int
    producer_epoch: int
    coordinator_epoch: int
    start_offset: int
    last_written_ms: int

    def __str__(self) -> str:
        topic, number = self.partition
        return f"transaction of producer {self.producer_id} in {topic}[{number}]@{self.start_offset}"


@dataclass(frozen=True)
class Forgotten:
    """A transaction that is over for its coordinator, which knows the producer by `transactional_id`."""

    transaction: OpenTransaction
    transactional_id: str


@dataclass(frozen=True)
class Scope:
    """The transactions that are ours: all in our topics, and our group's in the offsets' topic."""

    topics: tuple[str, ...]
    group_id: str

    def covers(self, found: Forgotten) -> bool:
        if found.transaction.partition.topic != OFFSETS_TOPIC:
            return True
        return found.transactional_id.startswith(f"{self.group_id}-")


class Undecided(KafkaError):  # type: ignore[misc]  # kafka-python has no types
    """The coordinator's log does not tell whether the transaction was to be committed"""


def watch(settings: KafkaSettings, scope: Scope, stopping: threading.Event) -> None:
    """End hanging transactions, whoever left them, until `stopping` is set."""
    named: set[OpenTransaction] = set()
    while not stopping.wait(_PERIOD_S):
        try:
            _end_all(settings, scope, named)
        except KafkaError as error:
            log.debug("could not look for hanging transactions: %r", error)
        except Exception:  # the loop's edge: a transaction that could not be ended now is ended later
            log.exception("could not look for hanging transactions")


def _end_all(settings: KafkaSettings, scope: Scope, named: set[OpenTransaction]) -> None:
    with contextlib.closing(clients.admin(settings)) as admin:
        for found in find(admin, scope):
            _end_or_name(admin, found, settings, named)


def end_own(settings: KafkaSettings, scope: Scope, transactional_id: str) -> None:
    """End the hanging transactions of an id before its new producer sends anything. Raises KafkaError.

    The new producer has the old one's producer id. So whatever it sent would become part of the transaction
    that hangs, and its first commit would commit that transaction too.
    """
    with contextlib.closing(clients.admin(settings)) as admin:
        for found in find(admin, scope):
            if found.transactional_id == transactional_id:
                _end(admin, found, settings)


def find(
    admin: KafkaAdminClient, scope: Scope, leader_patience_s: float = _LEADER_PATIENCE_S
) -> list[Forgotten]:
    """Return the transactions that are open in their partition and over for their coordinator.

    Wait for partitions without a leader, for `leader_patience_s` each time. Raises KafkaError.
    """
    seen = _open(admin, scope.topics, leader_patience_s)
    # The other topics are looked at even without the right to read the topic of the groups' offsets.
    with contextlib.suppress(AuthorizationError):
        seen |= _open(admin, [OFFSETS_TOPIC], leader_patience_s)
    if not seen:
        return []
    suspects = [f for f in _forgotten(admin, seen) if scope.covers(f)]
    # The coordinator lets go of a partition only when its marker is written there. So it will not end what is
    # still open now, after the coordinator was asked.
    topics = {f.transaction.partition.topic for f in suspects}
    still = _open(admin, topics, leader_patience_s) if suspects else set()
    return [f for f in suspects if f.transaction in still]


def _open(
    admin: KafkaAdminClient, topics: Iterable[str], leader_patience_s: float = _LEADER_PATIENCE_S
) -> set[OpenTransaction]:
    partitions = [
        TopicPartition(topic["name"], partition["partition_index"])
        for topic in admin.describe_topics(list(topics))
        for partition in topic["partitions"]
    ]
    return {
        OpenTransaction(
            partition,
            p.producer_id,
            p.producer_epoch,
            max(0, p.coordinator_epoch),
            p.current_transaction_start_offset,
            p.last_timestamp,
        )
        for partition, state in _described(admin, partitions, leader_patience_s).items()
        for p in state.active_producers
        if p.current_transaction_start_offset >= 0
    }


def _described(
    admin: KafkaAdminClient, partitions: list[TopicPartition], leader_patience_s: float
) -> Mapping[TopicPartition, Any]:
    deadline_s = time.monotonic() + leader_patience_s
    while True:
        try:
            described: Mapping[TopicPartition, Any] = admin.describe_producers(partitions)
        except NotLeaderForPartitionError:
            if time.monotonic() >= deadline_s:
                raise
            time.sleep(_LEADER_TICK_S)
        else:
            return described


def _forgotten(admin: KafkaAdminClient, seen: Iterable[OpenTransaction]) -> list[Forgotten]:
    """Leave out a producer that no coordinator lists: its coordinator may be away."""
    seen = list(seen)
    listed = admin.list_transactions(producer_id_filters={t.producer_id for t in seen}).values()
    ids = [listing.transactional_id for listings in listed for listing in listings]
    described: Mapping[str, Any] = admin.describe_transactions(ids)
    return [
        Forgotten(t, name)
        for name, state in described.items()
        for t in seen
        if t.producer_id == state.producer_id and t.partition not in state.topic_partitions
    ]


def _end_or_name(
    admin: KafkaAdminClient, found: Forgotten, settings: KafkaSettings, named: set[OpenTransaction]
) -> None:
    """End the transaction, or log once that it cannot be ended."""
    hanging = found.transaction
    try:
        _end(admin, found, settings)
    except KafkaError as error:
        is_news = hanging not in named and hanging in _open(admin, [hanging.partition.topic])
        named.add(hanging)
        if is_news:  # and no other worker has ended the transaction
            by_hand = "(by hand: kafka-transactions.sh abort)"
            log.error("%s hangs, and cannot be ended: %r %s", hanging, error, by_hand)


def _end(admin: KafkaAdminClient, found: Forgotten, settings: KafkaSettings) -> None:
    """Raises KafkaError."""
    hanging = found.transaction
    # The last decision about this partition: the end of a later transaction would have ended this one too.
    decision = last_decision(
        settings,
        found.transactional_id,
        lambda producer_id, where: producer_id == hanging.producer_id and hanging.partition in where,
        hanging.last_written_ms,
    )
    if decision is None:
        raise Undecided(Undecided.__doc__)
    _write_marker(admin, hanging, decision)
    log.warning("%s was forgotten by the broker: ended (%s)", hanging, decision.name.lower())


def _write_marker(admin: KafkaAdminClient, hanging: OpenTransaction, decision: Decision) -> None:
    """Write the end into the partition. The client can only abort, but its request has a field for both."""
    spec = AbortTransactionSpec(
        hanging.partition, hanging.producer_id, hanging.producer_epoch, hanging.coordinator_epoch
    )
    request = admin._abort_transaction_request(spec)
    request.markers[0].transaction_result = decision is Decision.COMMIT

    async def send() -> None:
        (leader,) = await admin._async_get_leader_for_partitions([spec.topic_partition])
        response = await admin._manager.send(request, node_id=leader)
        admin._abort_transaction_process_response(response, spec)

    admin._manager.run(send)

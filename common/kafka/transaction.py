"""Kafka transactions: messages and consumed offsets, together or not at all.

"row N" is the fault's number in KAFKA_CONSUMER.md.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Self

from kafka import KafkaProducer, TopicPartition
from kafka.coordinator.base import ConsumerGroupMetadata
from kafka.errors import InvalidTopicError, KafkaError, MessageSizeTooLargeError, RecordListTooLargeError
from kafka.producer.future import FutureRecordMetadata
from kafka.structs import OffsetAndMetadata

from common.failpoint import Failpoint
from common.kafka import clients
from common.kafka.records import Message
from common.settings.schema import TransactionSettings

_ACK_TIMEOUT_S = 30.0
# The errors by which the client or the broker says that it will never take a message.
_REFUSALS = (MessageSizeTooLargeError, RecordListTooLargeError, InvalidTopicError, TypeError)


class Unpublishable(Exception):
    """Kafka will never take one of the messages."""


class UnclearEnd(Exception):
    """The commit was sent, and what became of it is not known."""


class TransactionalProducer:
    """Publishes in transactions. Used by one thread.

    After any failure a producer must be discarded: row 7, its next transaction would carry the offsets of the
    one that was refused. Calls wait for a broker that is away without limit (row 14).
    """

    def __init__(self, client: KafkaProducer):
        self._client = client

    @classmethod
    def connect(cls, settings: TransactionSettings, transactional_id: str) -> Self:
        """Return a producer once the open transaction of the earlier one is over. Raises KafkaError."""
        return cls(clients.transactional_producer(settings, transactional_id))

    def commit(
        self,
        rounds: Iterable[Sequence[Message]],
        offsets: Callable[[], Mapping[TopicPartition, OffsetAndMetadata]],
        metadata: ConsumerGroupMetadata,
    ) -> None:
        """Commit the messages of all `rounds` with `offsets`, if `metadata` has the group's generation still.

        Each round is acknowledged before the next one is asked for, and all are before `offsets` is called.
        Raises Unpublishable, UnclearEnd, and what the client raises. After UnclearEnd the commit may have
        succeeded. After anything else nothing is committed, and nothing will be: the commit was never sent.
        The start of the next producer of the same id ends the open transaction
        (`hanging_transactions.end_own` ends one that the broker has forgotten).
        """
        self._client.begin_transaction()
        acknowledgements: list[FutureRecordMetadata] = []
        try:
            for messages in rounds:
                self._send(messages, acknowledgements)
                _await(acknowledgements)
            if acknowledgements:
                Failpoint.JOB_SENT.reach()
            self._client.send_offsets_to_transaction(offsets(), metadata)
        except (KafkaError, TypeError) as error:
            # Whatever step fails after a refused message, only the message's own answer says why.
            for reason in (error, *(a.exception for a in acknowledgements)):
                if isinstance(reason, _REFUSALS):
                    raise Unpublishable(f"{type(reason).__name__}: {reason}") from error
            raise
        (Failpoint.JOB_IN_TRANSACTION if acknowledgements else Failpoint.ATTEMPT_IN_TRANSACTION).reach()
        try:
            self._client.commit_transaction()
        except Exception as error:
            raise UnclearEnd(f"the commit failed: {error!r}") from error
        (Failpoint.JOB_COMMITTED if acknowledgements else Failpoint.ATTEMPT_COMMITTED).reach()

    def publish(self, messages: Sequence[Message]) -> None:
        """Commit messages without offsets. Raises KafkaError."""
        acknowledgements: list[FutureRecordMetadata] = []
        self._client.begin_transaction()
        self._send(messages, acknowledgements)
        _await(acknowledgements)
        Failpoint.SENT_TOGETHER.reach()
        self._client.commit_transaction()

    def discard(self) -> None:
        """End the producer at once, whatever it still holds."""
        clients.discard_producer(self._client)

    def _send(self, messages: Sequence[Message], acknowledgements: list[FutureRecordMetadata]) -> None:
        """Append to `acknowledgements` one by one: the earlier ones are looked at if a later send raises."""
        for m in messages:
            sent = self._client.send(m.topic, key=m.key, value=m.value, headers=list(m.headers))
            acknowledgements.append(sent)


def _await(acknowledgements: Sequence[FutureRecordMetadata]) -> None:
    # Row 8: the commit alone can return as if all were well although a message is gone.
    for acknowledgement in acknowledgements:
        acknowledgement.get(timeout=_ACK_TIMEOUT_S)

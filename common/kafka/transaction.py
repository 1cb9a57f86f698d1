"""One Kafka transaction: messages and consumed offsets, together or not at all."""

from collections.abc import Callable, Iterable, Mapping, Sequence

from kafka import KafkaProducer, TopicPartition
from kafka.coordinator.base import ConsumerGroupMetadata
from kafka.errors import InvalidTopicError, KafkaError, MessageSizeTooLargeError, RecordListTooLargeError
from kafka.producer.future import FutureRecordMetadata
from kafka.structs import OffsetAndMetadata

from common.failpoint import Failpoint
from common.kafka.records import Message

_ACK_TIMEOUT_S = 30.0
# What the client or the broker says of a message that it will never take.
_REFUSALS = (MessageSizeTooLargeError, RecordListTooLargeError, InvalidTopicError, TypeError)


class Unpublishable(Exception):
    """Kafka will never take one of the messages."""


class UnclearEnd(Exception):
    """The commit was sent, and what became of it is not known."""


def publish(
    rounds: Iterable[Sequence[Message]],
    offsets: Callable[[], Mapping[TopicPartition, OffsetAndMetadata]],
    metadata: ConsumerGroupMetadata,
    producer: KafkaProducer,
) -> None:
    """Each round of messages is acknowledged before the next is asked for, all before the offsets are.

    Raises Unpublishable, UnclearEnd, and what the client raises. But for UnclearEnd nothing is committed
    then, and nothing will be: the commit was never sent, and the start of the next producer of the same id
    ends what is open (`hanging.end_own`, what is forgotten).
    """
    producer.begin_transaction()
    acknowledgements: list[FutureRecordMetadata] = []
    try:
        for messages in rounds:
            for m in messages:
                sent = producer.send(m.topic, key=m.key, value=m.value, headers=list(m.headers))
                acknowledgements.append(sent)
            # Row 8: the commit alone can return as if all were well although a message is gone.
            _await(acknowledgements)
        if acknowledgements:
            Failpoint.JOB_SENT.reach()
        producer.send_offsets_to_transaction(offsets(), metadata)
    except (KafkaError, TypeError) as error:
        # Whatever step fails after a refused message, only the message's own answer tells why.
        for reason in (error, *(a.exception for a in acknowledgements)):
            if isinstance(reason, _REFUSALS):
                raise Unpublishable(f"{type(reason).__name__}: {reason}") from error
        raise
    (Failpoint.JOB_IN_TRANSACTION if acknowledgements else Failpoint.ATTEMPT_IN_TRANSACTION).reach()
    try:
        producer.commit_transaction()
    except Exception as error:
        raise UnclearEnd(f"the commit failed: {error!r}") from error
    (Failpoint.JOB_COMMITTED if acknowledgements else Failpoint.ATTEMPT_COMMITTED).reach()


def _await(acknowledgements: Sequence[FutureRecordMetadata]) -> None:
    for acknowledgement in acknowledgements:
        acknowledgement.get(timeout=_ACK_TIMEOUT_S)

"""Publishes letters again: each with its mark in one transaction, and never in two replays at once."""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from uuid import UUID

from kafka.errors import IllegalStateError, InvalidProducerEpochError, KafkaError, ProducerFencedError

from common.deadletter.topic_reader import records
from common.kafka import hanging_transactions, topics
from common.kafka.records import Message
from common.kafka.transaction import TransactionalProducer
from common.settings.schema import KafkaSettings, TransactionSettings
from common.tasks import messages
from common.tasks.messages import Separated, UndecodableMessage

# IllegalStateError: a fenced client may take a new epoch by itself (KIP-360). Then its open transaction is
# gone, and its next `send` finds none.
_FENCED = (ProducerFencedError, InvalidProducerEpochError, IllegalStateError)

Publish = Callable[[Sequence[Message]], None]


class Overtaken(Exception):
    """Another replay has begun, or this one stood still for too long: run it again to see what is left."""


@contextlib.contextmanager
def publisher(settings: TransactionSettings) -> Iterator[Publish]:
    """Gives a function that publishes messages in one transaction. Both raise KafkaError and Overtaken.

    All replays share one transactional id. Once this one begins, no earlier replay can commit any more, and
    all that it has committed is in the topic. So read the letters inside the block.
    """
    name = f"{settings.kafka_dead_letter_topic}_replay"
    with _overtaken_when_fenced():
        producer = TransactionalProducer.connect(settings, name)
    try:
        hanging_transactions.end_own(settings, hanging_transactions.Scope(topics.names(settings), name), name)
        yield lambda batch: _publish(batch, producer)
    finally:
        producer.discard()


def _publish(batch: Sequence[Message], producer: TransactionalProducer) -> None:
    with _overtaken_when_fenced():
        producer.publish(batch)


@contextlib.contextmanager
def _overtaken_when_fenced() -> Iterator[None]:
    try:
        yield
    except KafkaError as error:
        # A fenced client raises a plain KafkaError on every call, with the reason in its text.
        if any(kind.__name__ in repr(error) for kind in _FENCED):
            raise Overtaken(Overtaken.__doc__) from error
        raise


def succeeded_runs(settings: KafkaSettings, tasks: Iterable[UUID], since_s: float) -> dict[UUID, int]:
    """Returns the highest run of each task that was separated since `since_s` and has not failed after that.

    Raises KafkaError.
    """
    wanted, ends = set(tasks), {}
    for record in records(settings, settings.kafka_result_topic, since_s):
        try:
            result = messages.decode_result(record.value)
        except UndecodableMessage:
            continue
        if result.task_uuid in wanted:
            # A failure can follow the success of the same run, if its stems could not be published.
            ends[result.task_uuid, result.run] = isinstance(result, Separated)
    return {task: run for (task, run), good in sorted(ends.items(), key=lambda end: end[0][1]) if good}

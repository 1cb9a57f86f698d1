"""Publishes letters again: each with its mark in one transaction, and never two replays at once."""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from uuid import UUID

from kafka.errors import InvalidProducerEpochError, KafkaError, ProducerFencedError

from common.deadletter.topic_reader import records
from common.kafka import hanging_transactions, topics
from common.kafka.records import Message
from common.kafka.transaction import TransactionalProducer
from common.settings.schema import KafkaSettings, TransactionSettings
from common.tasks import messages
from common.tasks.messages import Separated, UndecodableMessage

_FENCED = (ProducerFencedError, InvalidProducerEpochError)

Publish = Callable[[Sequence[Message]], None]


class Overtaken(Exception):
    """Another replay has begun, or this one stood still for too long: run it again to see what is left."""


@contextlib.contextmanager
def publisher(settings: TransactionSettings) -> Iterator[Publish]:
    """What publishes messages in one transaction. Raises KafkaError and Overtaken, as it does itself.

    All replays have one transactional id: from here on no earlier one can commit any more, and what it
    has committed is in the topic. So read the letters after this begins.
    """
    name = f"{settings.kafka_dead_letter_topic}_replay"
    with _fencing_told():
        producer = TransactionalProducer.connect(settings, name)
    try:
        hanging_transactions.end_own(settings, hanging_transactions.Scope(topics.names(settings), name), name)
        yield lambda batch: _publish(batch, producer)
    finally:
        producer.discard()


def _publish(batch: Sequence[Message], producer: TransactionalProducer) -> None:
    with _fencing_told():
        producer.publish(batch)


@contextlib.contextmanager
def _fencing_told() -> Iterator[None]:
    try:
        yield
    except KafkaError as error:
        # Once it knows, the client answers every call with a plain KafkaError that holds the reason.
        if any(kind.__name__ in repr(error) for kind in _FENCED):
            raise Overtaken(Overtaken.__doc__) from error
        raise


def succeeded_runs(settings: KafkaSettings, tasks: Iterable[UUID], since_s: float) -> dict[UUID, int]:
    """The highest run of each task that has been separated since then and has not failed after it.

    Raises KafkaError.
    """
    wanted, ends = set(tasks), {}
    for record in records(settings, settings.kafka_result_topic, since_s):
        try:
            result = messages.decode_result(record.value)
        except UndecodableMessage:
            continue
        if result.task_uuid in wanted:
            # A failure comes after the success whose stems could not be published.
            ends[result.task_uuid, result.run] = isinstance(result, Separated)
    return {task: run for (task, run), good in sorted(ends.items(), key=lambda end: end[0][1]) if good}

"""Publishes several messages in one Kafka transaction: all of them, or none."""

import asyncio
import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol
from uuid import uuid4

from kafka.errors import KafkaError

from api.publishing.one_thread import OneThread
from api.publishing.publisher import NotSent, PublisherUnavailable
from common.kafka.records import Message
from common.kafka.transaction import TransactionalProducer
from common.settings.schema import TransactionSettings

_TRANSACTIONAL_ID = "uvr_batch-"


class TogetherPublisher(Protocol):
    async def publish(self, messages: Sequence[Message]) -> None:
        """Return once all messages are stored.

        Raise NotSent if none is, and another PublisherUnavailable if all may be stored, or none.
        """

    def close(self) -> None: ...


class KafkaTogether:
    """A TogetherPublisher with a thread of its own, since each step of a transaction blocks.

    It blocks for as long as the broker is away, and the api must be able to stop meanwhile.

    Each transaction has a new producer and a new id, which costs some 50 ms: none has to be mended, and none
    carries what another one left. The broker ends the transaction of an api that has died after
    KAFKA_TRANSACTION_TIMEOUT_MS.
    """

    def __init__(self, connect: Callable[[], TransactionalProducer], ack_timeout_s: float):
        """`connect` may block and raise."""
        self._connect, self._ack_timeout_s = connect, ack_timeout_s
        self._thread = OneThread("kafka-batch")

    @classmethod
    def of(cls, settings: TransactionSettings, ack_timeout_s: float) -> "KafkaTogether":
        def connect() -> TransactionalProducer:
            return TransactionalProducer.connect(settings, f"{_TRANSACTIONAL_ID}{uuid4()}")

        return cls(connect, ack_timeout_s)

    async def publish(self, messages: Sequence[Message]) -> None:
        # Taken once: by the thread before it sends, or by who gives up before that. Who was told "not queued"
        # while Kafka was away must not see it appear later.
        turn = threading.Lock()
        sending = self._thread.submit(partial(self._publish, messages, turn))
        try:
            async with asyncio.timeout(self._ack_timeout_s):
                await asyncio.wrap_future(sending)
        except TimeoutError:
            raise _failure(turn)("Kafka did not confirm in time") from None
        except (KafkaError, OSError, ValueError) as error:
            raise _failure(turn)(str(error) or type(error).__name__) from error

    def close(self) -> None:
        self._thread.close()

    def _publish(self, messages: Sequence[Message], turn: threading.Lock) -> None:
        producer = self._connect()
        try:
            if turn.acquire(blocking=False):
                producer.publish(messages)
        finally:
            producer.discard()


def _failure(turn: threading.Lock) -> type[PublisherUnavailable]:
    """Return what to raise about messages that are not confirmed, and let them not be sent from now on."""
    return NotSent if turn.acquire(blocking=False) else PublisherUnavailable

"""KafkaTogether: what was not begun in time is never sent, and the caller knows whether that is so."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from kafka.errors import KafkaConnectionError, KafkaError

from api.publishing.publisher import NotSent, PublisherUnavailable
from api.publishing.together import KafkaTogether
from common.kafka.records import Message
from tests.support.waiting import wait_for

PATIENCE_S = 20
ONE, TWO = ([Message("topic", b"key", value)] for value in (b"1", b"2"))


class Producer:
    def __init__(self, fails_with: Exception | None = None, waits_for: threading.Event | None = None):
        self.fails_with, self.waits_for = fails_with, waits_for
        self.published: list[list[Message]] = []
        self.discarded = 0

    def publish(self, messages):
        self.published.append(messages)
        if self.waits_for:
            self.waits_for.wait(PATIENCE_S)
        if self.fails_with:
            raise self.fails_with

    def discard(self):
        self.discarded += 1


@contextmanager
def together(connect: Callable[[], Producer], ack_timeout_s: float = PATIENCE_S) -> Iterator[KafkaTogether]:
    publisher = KafkaTogether(connect, ack_timeout_s)
    try:
        yield publisher
    finally:
        publisher.close()


def failures(publisher: KafkaTogether, *batches: list[Message]) -> list[type]:
    async def publish() -> list:
        return await asyncio.gather(*map(publisher.publish, batches), return_exceptions=True)

    return [type(result) for result in asyncio.run(publish())]


def test_messages_are_published_together_and_the_producer_ends():
    producer = Producer()
    with together(lambda: producer) as publisher:
        assert failures(publisher, ONE, TWO) == [type(None)] * 2
    assert producer.published == [ONE, TWO]
    assert producer.discarded == 2


@pytest.mark.parametrize(
    "error", [KafkaConnectionError("away"), OSError("no certificate"), ValueError("bad")]
)
def test_without_a_connection_nothing_is_sent(error):
    def connect():
        raise error

    with together(connect) as publisher:
        assert failures(publisher, ONE) == [NotSent]


def test_what_waits_for_a_connection_until_it_is_late_is_never_sent():
    producer, has_kafka = Producer(), threading.Event()

    def connect():
        has_kafka.wait(PATIENCE_S)
        return producer

    with together(connect, ack_timeout_s=0.2) as publisher:
        # The second one waits for the first one's thread.
        assert failures(publisher, ONE, TWO) == [NotSent, NotSent]
        has_kafka.set()
        wait_for(lambda: producer.discarded, PATIENCE_S, "end of the first producer")
        assert failures(publisher, TWO) == [type(None)]
    assert producer.published == [TWO]


def test_what_was_begun_may_be_stored():
    goes_on = threading.Event()
    with together(lambda: Producer(waits_for=goes_on), ack_timeout_s=0.2) as publisher:
        assert failures(publisher, ONE, TWO) == [PublisherUnavailable, NotSent]
        goes_on.set()
    with together(lambda: Producer(KafkaError("the commit failed"))) as publisher:
        assert failures(publisher, ONE) == [PublisherUnavailable]

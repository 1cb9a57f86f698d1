"""Publishing in a transaction blocks for as long as Kafka does, and the caller knows what was not sent."""

import asyncio
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager

import pytest
from kafka.errors import KafkaConnectionError, KafkaError

from api.publishing.one_thread import OneThread
from api.publishing.publisher import NotSent, PublisherUnavailable
from api.publishing.together import KafkaTogether
from common.kafka.records import Message
from tests.support.waiting import wait_for

PATIENCE_S = 60
ONE, TWO = ([Message("topic", b"key", value)] for value in (b"1", b"2"))


class Frozen:
    """A producer of a broker that answers nothing until `ends` is set."""

    def __init__(self) -> None:
        self.ends = threading.Event()
        self.published: list[str] = []

    def publish(self, messages) -> None:
        self.published += messages
        self.ends.wait()

    def discard(self) -> None: ...


async def refused_in_time(together: KafkaTogether, *messages: str) -> None:
    with pytest.raises(PublisherUnavailable, match="in time"):
        await together.publish(messages)


def test_what_was_refused_in_time_is_not_published_later():
    producer = Frozen()
    together = KafkaTogether(lambda: producer, ack_timeout_s=0.1)

    async def story() -> None:
        await refused_in_time(together, "begun")
        await refused_in_time(together, "not begun")
        producer.ends.set()
        while True:
            try:
                return await together.publish(["later"])
            except PublisherUnavailable:  # the thread was not yet free
                continue

    asyncio.run(story())
    assert producer.published[0] == "begun"
    assert "not begun" not in producer.published
    assert producer.published[-1] == "later"


def test_a_call_that_waits_is_cancelled_by_the_end():
    began, ends = threading.Event(), threading.Event()
    thread = OneThread("test")

    def block() -> bool:
        began.set()
        return ends.wait()

    first, second = thread.submit(block), thread.submit(block)
    assert began.wait(PATIENCE_S)
    thread.close()
    ends.set()
    assert first.result(PATIENCE_S) is True
    with pytest.raises(CancelledError):
        second.result(PATIENCE_S)


def test_a_process_ends_though_a_transaction_hangs():
    story = (
        "from tests.unit.api.publishing.test_api_together import *\n"
        "together = KafkaTogether(Frozen, ack_timeout_s=0.1)\n"
        "asyncio.run(refused_in_time(together, 'a batch'))\n"
        "together.close()\n"
        "print('stopped')"
    )
    done = subprocess.run([sys.executable, "-c", story], capture_output=True, text=True, timeout=PATIENCE_S)
    assert (done.returncode, done.stdout) == (0, "stopped\n"), done.stderr


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
    with together(connect) as publisher:
        assert failures(publisher, TWO) == [type(None)]
    assert producer.published == [TWO]


def test_what_was_begun_may_be_stored():
    goes_on = threading.Event()
    with together(lambda: Producer(waits_for=goes_on), ack_timeout_s=0.5) as publisher:
        assert failures(publisher, ONE, TWO) == [PublisherUnavailable, NotSent]
        goes_on.set()
    with together(lambda: Producer(KafkaError("the commit failed"))) as publisher:
        assert failures(publisher, ONE) == [PublisherUnavailable]

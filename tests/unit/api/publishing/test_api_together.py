"""Publishing in a transaction blocks for as long as Kafka does, and nobody else with it."""

import asyncio
import subprocess
import sys
import threading
from concurrent.futures import CancelledError

import pytest

from api.publishing.one_thread import OneThread
from api.publishing.publisher import PublisherUnavailable
from api.publishing.together import KafkaTogether

PATIENCE_S = 60


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

"""Asks the broker where the task topics end: tasks that were confirmed before are before these offsets."""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

from api.view.read_position import Offsets
from common.kafka.groupless import topic_source
from common.settings.schema import KafkaSettings

_TIMEOUT_MS = 4000


class TopicEnds:
    """Asks in a thread of its own. Requests that ask meanwhile share the next answer."""

    def __init__(self, connect: Callable[[], KafkaConsumer], topics: Sequence[str]):
        self._connect, self._topics = connect, topics
        self._lock = threading.Lock()
        self._next: Future[Offsets] | None = None
        self._client: KafkaConsumer | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="view-ends")

    async def now(self) -> Offsets:
        """Return the end offset of each partition. Raise KafkaError."""
        with self._lock:
            if self._next is None:
                self._next = self._thread.submit(self._ask)
            future = self._next
        answer = asyncio.wrap_future(future)
        # Otherwise asyncio logs an error that comes after its request is over.
        answer.add_done_callback(lambda done: done.cancelled() or done.exception())
        return await asyncio.shield(answer)

    def close(self) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)
        if self._client is not None:
            self._client.close()

    def _ask(self) -> Offsets:
        with self._lock:
            self._next = None  # later requests may be about tasks that are confirmed from now on
        try:
            if self._client is None:
                self._client = self._connect()
            partitions = [
                TopicPartition(topic, number)
                for topic in self._topics
                for number in self._client.partitions_for_topic(topic) or ()
            ]
            ends: Offsets = self._client.end_offsets(partitions, timeout_ms=_TIMEOUT_MS)
            return ends
        except Exception as error:  # whatever a client raises: its next use may fail as well
            client, self._client = self._client, None
            if client is not None:
                with contextlib.suppress(KafkaError):
                    client.close()
            raise error if isinstance(error, KafkaError) else KafkaError(repr(error)) from error


def ends_client(settings: KafkaSettings) -> KafkaConsumer:
    """Return a consumer whose end offsets include open transactions. Raise KafkaError."""
    return topic_source(settings)

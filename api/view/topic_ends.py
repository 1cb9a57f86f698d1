"""Where the task topic ends now, asked of the broker: what was confirmed before that is before it."""

import asyncio
import contextlib
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

from api.view.read_position import Offsets
from common.kafka.groupless import topic_source
from common.settings.schema import KafkaSettings

_TIMEOUT_MS = 4000


class TopicEnds:
    """Asks from a thread of its own; those who ask while it is busy share the next answer."""

    def __init__(self, connect: Callable[[], KafkaConsumer], topic: str):
        self._connect, self._topic = connect, topic
        self._lock = threading.Lock()
        self._next: Future[Offsets] | None = None
        self._client: KafkaConsumer | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="view-ends")

    async def now(self) -> Offsets:
        """Raises KafkaError."""
        with self._lock:
            if self._next is None:
                self._next = self._thread.submit(self._ask)
            future = self._next
        return await asyncio.shield(asyncio.wrap_future(future))

    def close(self) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)
        if self._client is not None:
            self._client.close()

    def _ask(self) -> Offsets:
        with self._lock:
            self._next = None  # whoever asks from here on may have just been confirmed something
        try:
            if self._client is None:
                self._client = self._connect()
            numbers = self._client.partitions_for_topic(self._topic) or ()
            partitions = [TopicPartition(self._topic, number) for number in numbers]
            return self._client.end_offsets(partitions, timeout_ms=_TIMEOUT_MS)
        except Exception as error:
            client, self._client = self._client, None
            if client is not None:
                with contextlib.suppress(KafkaError):
                    client.close()
            raise error if isinstance(error, KafkaError) else KafkaError(repr(error)) from error


def ends_client(settings: KafkaSettings) -> KafkaConsumer:
    """It sees what is in open transactions too. Raises KafkaError."""
    return topic_source(settings)

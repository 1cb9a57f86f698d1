"""The committer's transactional producer, which is replaced after each failure."""

import logging
import threading
from collections.abc import Callable

from kafka.errors import KafkaError

from common.kafka.transaction import TransactionalProducer
from common.observability.repeats import Repeats
from common.waiting import Backoff

log = logging.getLogger(__name__)

_FIRST_BACKOFF_S = 0.1
_LAST_BACKOFF_S = 5.0


class ProducerSlot:
    """Holds one producer or none. The committer's thread uses it; any thread may read `is_filled`."""

    def __init__(
        self, connect: Callable[[], TransactionalProducer], stopping: threading.Event, repeats: Repeats
    ):
        self._connect, self._stopping, self._repeats = connect, stopping, repeats
        self._producer: TransactionalProducer | None = None  # written by the committer's thread alone

    @property
    def is_filled(self) -> bool:
        return self._producer is not None

    def producer(self) -> TransactionalProducer:
        assert self._producer is not None, "replace() has filled the slot, or the committer is stopping"
        return self._producer

    def replace(self) -> None:
        """Discard the producer and wait for a new one. The slot stays empty only if the committer stops.

        The new producer has the same transactional id, so its start ends the old one's transaction for good.
        """
        self.empty()
        backoff = Backoff(_FIRST_BACKOFF_S, _LAST_BACKOFF_S)
        self._producer = backoff.first_success(self._connect, self._stopping, self._not_connected, KafkaError)

    def _not_connected(self, error: Exception) -> None:
        if self._repeats.is_news("producer", error):
            log.warning("no transactional producer yet: %r", error)

    def empty(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            producer.discard()

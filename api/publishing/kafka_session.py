"""One spell of being connected to Kafka: a producer whose writes are confirmed, and an admin client."""

import contextlib
import logging
from collections.abc import Callable
from typing import Protocol

from kafka.errors import KafkaError

from common.failpoint import Failpoint
from common.kafka import clients, topics
from common.settings.schema import KafkaSettings
from common.tasks.messages import Cancel, Redelivery, Task

log = logging.getLogger(__name__)

# A request that got no answer is tried again well within the time that the client's request may take.
_REQUEST_TIMEOUT_MS = 4000
_RECONNECT_BACKOFF_MAX_MS = 1000

Confirmed = Callable[[BaseException | None], None]


Sendable = Task | Redelivery | Cancel


class Session(Protocol):
    def send(self, message: Sendable, confirmed: Confirmed) -> None:
        """Calls `confirmed` once, from any thread: with None after the broker's ack, or with the error.

        May block for a moment, and may raise KafkaError instead of calling.
        """

    def probe(self) -> None:
        """Raises KafkaError when Kafka does not answer."""

    def close(self, timeout_s: float) -> None:
        """Waits so long for what was sent, and then gives it up."""


class KafkaSession:
    """A Session with the real broker. The constructor blocks until it is connected.

    It makes the topics, and knows the partitions of those that it writes to when it returns, so that `send`
    does not wait for them. A record that is not acknowledged `delivery_timeout_s` after `send` is given up:
    it must not turn up minutes after its client was told that it has failed.
    """

    def __init__(self, settings: KafkaSettings, delivery_timeout_s: float, connect_timeout_s: float = 5.0):
        """Raises KafkaError, OSError (a certificate that cannot be read), ValueError."""
        self._topics = {
            Task: settings.kafka_task_topic,
            Redelivery: settings.kafka_result_topic,
            Cancel: settings.kafka_control_topic,
        }
        delivery_timeout_ms = int(delivery_timeout_s * 1000)
        request_timeout_ms = min(_REQUEST_TIMEOUT_MS, delivery_timeout_ms)
        options = {
            "request_timeout_ms": request_timeout_ms,
            # Without api_version a constructor waits until it has found the broker, or raises.
            "bootstrap_timeout_ms": int(connect_timeout_s * 1000),
            "reconnect_backoff_max_ms": _RECONNECT_BACKOFF_MAX_MS,
        }
        with contextlib.ExitStack() as on_error:
            self._admin = clients.admin(settings, **options)
            on_error.callback(self._admin.close)
            topics.ensure(self._admin, settings)
            self._producer = clients.idempotent_producer(
                settings, **options, delivery_timeout_ms=delivery_timeout_ms, max_block_ms=request_timeout_ms
            )
            on_error.callback(self._close_producer, 0)
            for topic in self._topics.values():
                self._producer.partitions_for(topic)
            on_error.pop_all()

    def send(self, message: Sendable, confirmed: Confirmed) -> None:
        topic, key = self._topics[type(message)], str(message.task_uuid).encode()
        Failpoint.API_BEFORE_SEND.reach()
        try:
            future = self._producer.send(topic, key=key, value=message.to_bytes())
        except KafkaError:
            raise
        except Exception as error:  # such as ValueError for a topic that has vanished from the metadata
            raise KafkaError(f"kafka-python failed: {error!r}") from error
        future.add_callback(lambda _: confirmed(None))
        future.add_errback(confirmed)

    def probe(self) -> None:
        self._admin.describe_cluster()

    def close(self, timeout_s: float) -> None:
        try:
            self._admin.close()
        finally:
            self._close_producer(timeout_s)

    def _close_producer(self, timeout_s: float) -> None:
        try:
            self._producer.close(timeout=timeout_s)
        except KafkaError as error:  # raised when records are left, with the sender's thread still running
            log.warning("records given up while closing the producer: %s", error)
            clients.discard_producer(self._producer)

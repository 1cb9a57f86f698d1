"""One connection to Kafka: a producer whose writes are confirmed, and an admin client."""

import contextlib
import logging
from collections.abc import Callable
from typing import Protocol

from kafka.errors import KafkaError

from common.failpoint import Failpoint
from common.kafka import clients, lanes, topics
from common.settings.schema import KafkaSettings
from common.tasks.messages import BatchEnded, Cancel, Deletion, HookTest, Redelivery, Task

log = logging.getLogger(__name__)

# A request without an answer is repeated well within the time that the api's client waits.
_REQUEST_TIMEOUT_MS = 4000
_RECONNECT_BACKOFF_MAX_MS = 1000
# Messages go out by `flush`, all together. Without linger the first one of them would go alone.
_LINGER_MS = 50
# A broker that hangs delays the messages for the others by no more than this.
_FLUSH_TIMEOUT_S = 0.05

Confirmed = Callable[[BaseException | None], None]


Sendable = Task | Redelivery | Cancel | Deletion | HookTest | BatchEnded


class Session(Protocol):
    def send(self, message: Sendable, confirmed: Confirmed) -> None:
        """Call `confirmed` once, from any thread: with None after the broker's ack, else with the error.

        May block for a moment. May raise KafkaError instead of calling: the message is not sent then.
        """

    def flush(self) -> None:
        """Let Kafka have at once what was sent. Return once it is confirmed, or after a moment."""

    def probe(self) -> None:
        """Raise KafkaError when Kafka does not answer."""

    def close(self, timeout_s: float) -> None:
        """Wait up to `timeout_s` for unconfirmed messages, then give them up."""


class KafkaSession:
    """A Session with a real broker. The constructor blocks until it is connected.

    The constructor creates the topics and asks for their partitions, so that `send` does not wait for them.
    A record that is not confirmed `delivery_timeout_s` after `send` is given up: it must not appear in Kafka
    minutes after its client got an error.
    """

    def __init__(self, settings: KafkaSettings, delivery_timeout_s: float, connect_timeout_s: float = 5.0):
        """Raise KafkaError, OSError (a certificate that cannot be read) or ValueError."""
        self._lanes = {p: lanes.topic(settings.kafka_task_topic, p) for p in lanes.PRIORITIES}
        self._topics = {
            Redelivery: settings.kafka_result_topic,
            Cancel: settings.kafka_control_topic,
            Deletion: settings.kafka_result_topic,
            HookTest: settings.kafka_result_topic,
            BatchEnded: settings.kafka_result_topic,
        }
        delivery_timeout_ms = int(delivery_timeout_s * 1000)
        # kafka-python refuses a delivery time-out below the sum of the other two.
        request_timeout_ms = min(_REQUEST_TIMEOUT_MS, delivery_timeout_ms - _LINGER_MS)
        options = {
            "request_timeout_ms": request_timeout_ms,
            # The constructors wait this long for the broker, and then raise.
            "bootstrap_timeout_ms": int(connect_timeout_s * 1000),
            "reconnect_backoff_max_ms": _RECONNECT_BACKOFF_MAX_MS,
        }
        with contextlib.ExitStack() as on_error:
            self._admin = clients.admin(settings, **options)
            on_error.callback(self._admin.close)
            topics.ensure(self._admin, settings)
            self._producer = clients.group_producer(
                settings,
                **options,
                linger_ms=_LINGER_MS,
                delivery_timeout_ms=delivery_timeout_ms,
                max_block_ms=request_timeout_ms,
            )
            on_error.callback(self._close_producer, 0)
            for topic in (*self._lanes.values(), *self._topics.values()):
                self._producer.partitions_for(topic)
            on_error.pop_all()

    def send(self, message: Sendable, confirmed: Confirmed) -> None:
        topic, key = self._topic(message), str(message.task_uuid).encode()
        Failpoint.API_BEFORE_SEND.reach()
        try:
            future = self._producer.send(topic, key=key, value=message.to_bytes())
        except KafkaError:
            raise
        except Exception as error:  # such as ValueError for a topic that has vanished from the metadata
            raise KafkaError(f"kafka-python failed: {error!r}") from error
        future.add_callback(lambda _: confirmed(None))
        future.add_errback(confirmed)

    def _topic(self, message: Sendable) -> str:
        return self._lanes[message.priority] if isinstance(message, Task) else self._topics[type(message)]

    def flush(self) -> None:
        # An error is the messages' own, which their `confirmed` gets.
        with contextlib.suppress(KafkaError):
            self._producer.flush(timeout=_FLUSH_TIMEOUT_S)

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
        except KafkaError as error:  # raised when records are left; the sender's thread then still runs
            log.warning("records given up while closing the producer: %s", error)
            clients.discard_producer(self._producer)

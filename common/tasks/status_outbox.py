"""Sends the latest status of each job, at most once a second, from a thread of its own. It may be lost."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from kafka import KafkaProducer

from common.kafka import clients
from common.kafka.records import Message
from common.settings.schema import KafkaSettings
from common.waiting import Backoff

log = logging.getLogger(__name__)

_INTERVAL_S = 1.0
_LAST_BACKOFF_S = 10.0
_REQUEST_TIMEOUT_MS = 2000
_DELIVERY_TIMEOUT_MS = 4000
_JOIN_TIMEOUT_S = 1.0


@dataclass
class _Box:
    """The box of one job: `message` will be sent when the clock reaches `due_s`."""

    message: Message | None
    due_s: float


class KafkaOutbox:
    """An Outbox with a producer without transactions, which is replaced as soon as anything fails."""

    def __init__(self, connect: Callable[[], KafkaProducer], clock: Callable[[], float] = time.monotonic):
        """`connect` may block and raise, since only the outbox's own thread calls it."""
        self._connect, self._clock = connect, clock
        self._boxes: dict[object, _Box] = {}
        self._under_way: set[Message] = set()
        self._changed = threading.Condition()
        self._stopping = threading.Event()
        self._broken = threading.Event()
        self._thread = threading.Thread(target=self._run, name="status-outbox", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Sends nothing more. Returns soon, even while the producer blocks."""
        self._stopping.set()
        with self._changed:
            self._changed.notify()
        self._thread.join(_JOIN_TIMEOUT_S)

    def flush(self, timeout_s: float) -> bool:
        """Waits, at most `timeout_s` seconds, until each message is sent or lost; returns whether all are."""

        def all_sent() -> bool:
            waiting = any(box.message is not None for box in self._boxes.values())
            return not waiting and not self._under_way

        with self._changed:
            return self._changed.wait_for(all_sent, timeout_s)

    def put(self, job: object, message: Message) -> None:
        with self._changed:
            box = self._boxes.get(job)
            if box is None:
                box = self._boxes[job] = _Box(None, self._clock())
            # With a message in the box, the sender already waits until it is due; no wake-up is needed.
            is_news = box.message is None
            box.message = message
            if is_news:
                self._changed.notify()

    def drop(self, job: object) -> None:
        with self._changed:
            self._boxes.pop(job, None)

    def _run(self) -> None:
        backoff = Backoff(_INTERVAL_S, _LAST_BACKOFF_S)
        backoff.keep(self._connected, self._send_until_broken, self._stopping, self._failed)

    def _failed(self, error: Exception) -> None:
        log.info("statuses do not go out: %r", error)

    @contextmanager
    def _connected(self) -> Iterator[KafkaProducer]:
        """Makes a producer as soon as a message is due, and discards it after its use."""
        if not self._wait_for_one():
            yield None
            return
        self._broken.clear()
        producer = self._connect()
        try:
            yield producer
        finally:
            clients.discard_producer(producer)
            with self._changed:
                self._under_way.clear()
                self._changed.notify_all()

    def _send_until_broken(self, producer: KafkaProducer) -> None:
        # Messages are taken only now: while the connection was made, newer ones may have replaced them.
        while self._wait_for_one() and not self._broken.is_set():
            for message in self._take():
                future = producer.send(message.topic, key=message.key, value=message.value)
                future.add_errback(self._on_error)
                future.add_both(lambda _, sent=message: self._ended(sent))

    def _ended(self, message: Message) -> None:
        with self._changed:
            self._under_way.discard(message)
            self._changed.notify_all()

    def _wait_for_one(self) -> bool:
        """Returns True once a message is due, and False when the outbox is stopped."""
        with self._changed:
            while not self._stopping.is_set():
                due = [box.due_s for box in self._boxes.values() if box.message is not None]
                wait_s = min(due) - self._clock() if due else None
                if wait_s is not None and wait_s <= 0:
                    return True
                self._changed.wait(wait_s)
        return False

    def _take(self) -> list[Message]:
        with self._changed:
            now_s, taken = self._clock(), []
            for box in self._boxes.values():
                if box.message is not None and box.due_s <= now_s:
                    taken.append(box.message)
                    box.message, box.due_s = None, now_s + _INTERVAL_S
            self._under_way.update(taken)
            return taken

    def _on_error(self, error: BaseException) -> None:
        # An idempotent producer cannot go on with its sequence after it has given a record up.
        log.debug("a status was not taken: %r", error)
        self._broken.set()


def status_producer(settings: KafkaSettings) -> KafkaProducer:
    """Makes the outbox's producer, which gives up soon. Raises KafkaError."""
    return clients.idempotent_producer(
        settings,
        request_timeout_ms=_REQUEST_TIMEOUT_MS,
        delivery_timeout_ms=_DELIVERY_TIMEOUT_MS,
        max_block_ms=_REQUEST_TIMEOUT_MS,
    )

"""Reads statuses as they come, shared among the uploaders, for the events of receivers."""

import contextlib
import logging
import threading
from collections.abc import Callable

from kafka import KafkaConsumer

from common.tasks import messages
from common.tasks.messages import UndecodableMessage
from common.waiting import Backoff
from uploader.hook_events import Event, EventPlanner

log = logging.getLogger(__name__)

_POLL_MS = 500
_FIRST_BACKOFF_S, _LAST_BACKOFF_S = 1.0, 30.0
_JOIN_TIMEOUT_S = 1.0
# What a status of the wanted kind contains: the others, which are nearly all, are not decoded.
_MARK = b'"hook_events":'


class StatusNews:
    """Gives `put` the events of the statuses that come from now on. Used from `start` to `stop`."""

    def __init__(self, topic: str, connect: Callable[[], KafkaConsumer], put: Callable[[Event], None]):
        """`connect` may block and raise, since only a thread of its own calls it."""
        self._topic, self._connect, self._put = topic, connect, put
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="status-news", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Stops reading. Returns soon, even while the client blocks."""
        self._stopping.set()
        self._thread.join(_JOIN_TIMEOUT_S)

    def _run(self) -> None:
        backoff = Backoff(_FIRST_BACKOFF_S, _LAST_BACKOFF_S)
        backoff.keep(lambda: contextlib.closing(self._connect()), self._read, self._stopping, self._failed)

    def _failed(self, error: Exception) -> None:
        log.info("receivers are not told of progress: %r", error)

    def _read(self, consumer: KafkaConsumer) -> None:
        consumer.subscribe([self._topic])
        planner = EventPlanner()
        while not self._stopping.is_set():
            for records in consumer.poll(timeout_ms=_POLL_MS).values():
                for record in records:
                    self._take(record.value, planner)

    def _take(self, value: bytes | None, planner: EventPlanner) -> None:
        if value is None or _MARK not in value:
            return
        try:
            status = messages.decode_status(value)
        except UndecodableMessage:
            return
        for event in planner.events_of(status):
            self._put(event)

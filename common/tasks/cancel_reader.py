"""Reads cancels, and announcements of stages, from the control topic: on a thread, without a group.

A spell of reading lasts until anything fails or the topic gets more partitions. The next spell starts at the
topic's beginning again, since reading a cancel twice does no harm.
"""

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import Protocol

from kafka import TopicPartition

from common.kafka.groupless import Source, TopicMissing, partitions_of, topic_source
from common.observability.log import request_context, task_context
from common.observability.repeats import Repeats
from common.settings.schema import KafkaSettings
from common.tasks import messages
from common.tasks.cancels import Cancels
from common.tasks.messages import StageSeen, UndecodableMessage
from common.waiting import Backoff
from common.worker.metrics import WorkerMetrics

log = logging.getLogger(__name__)

_POLL_MS = 500
_MAX_RECORDS = 2000
_TIMEOUT_MS = 5000
_BACKOFF_S = 1.0
_LOOK_AROUND_S = 30.0
_JOIN_TIMEOUT_S = 1.0


class StageNews(Protocol):
    """The receiver of announcements of stages."""

    def add(self, seen: StageSeen) -> None:
        """Takes one announcement, in the topic's order."""

    def catch_up(self) -> None:
        """Notes that every announcement from before the start has been added."""


class ControlReader:
    """Adds the records of `topic` to `cancels` and `stages`, from `start` to `stop`."""

    def __init__(
        self,
        topic: str,
        cancels: Cancels,
        connect: Callable[[], Source],
        clock: Callable[[], float] = time.monotonic,
        stages: StageNews | None = None,
        backoff_s: float = _BACKOFF_S,
    ):
        """`connect` may block and raise, since only the reader's own thread calls it.

        `backoff_s` is the pause between two spells.
        """
        self._topic, self._cancels, self._connect, self._clock = topic, cancels, connect, clock
        self._stages, self._backoff_s = stages, backoff_s
        self._repeats = Repeats()
        self._skipped = 0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="control", daemon=True)

    def start(self) -> None:
        self._cancels.fall_behind()
        self._thread.start()

    def stop(self) -> None:
        """Stops reading. Returns soon, even while the client blocks."""
        self._stopping.set()
        self._thread.join(_JOIN_TIMEOUT_S)

    def count_skipped(self, metrics: WorkerMetrics) -> None:
        """Registers the number of records that were skipped because they could not be decoded."""
        documentation = "Records of the control topic that were passed over since the start."
        metrics.register_gauge("uvr_cancels_skipped", documentation, [], lambda: {(): float(self._skipped)})

    def _run(self) -> None:
        backoff = Backoff(self._backoff_s, self._backoff_s)
        backoff.keep(lambda: contextlib.closing(self._connect()), self._spell, self._stopping, self._failed)

    def _failed(self, error: Exception) -> None:
        self._cancels.fall_behind()
        if isinstance(error, TopicMissing) and self._stages:
            self._stages.catch_up()  # no uploader can have announced a stage without the topic
        if self._repeats.is_news(error):
            # The topic is missing only at a cluster's first start, until a service has created it.
            level = logging.INFO if isinstance(error, TopicMissing) else logging.WARNING
            log.log(level, "cancels are not heard of: %r", error)

    def _spell(self, source: Source) -> None:
        partitions = partitions_of(source, (self._topic,))
        source.assign(partitions)
        ends = source.end_offsets(partitions)
        for partition, offset in source.beginning_offsets(partitions).items():
            source.seek(partition, offset)
        is_behind, looked_s = True, self._clock()
        while not self._stopping.is_set():
            if is_behind and self._has_passed(ends, source):
                is_behind = False
                self._cancels.catch_up()
                if self._stages:
                    self._stages.catch_up()
            for records in source.poll(timeout_ms=_POLL_MS, max_records=_MAX_RECORDS).values():
                for record in records:
                    self._take(record.value, logging.DEBUG if is_behind else logging.INFO)
            if self._clock() - looked_s >= _LOOK_AROUND_S:
                looked_s = self._clock()
                if partitions_of(source, (self._topic,)) != partitions:
                    self._cancels.fall_behind()
                    return

    def _has_passed(self, ends: Mapping[TopicPartition, int], source: Source) -> bool:
        return all((source.position(p, timeout_ms=_TIMEOUT_MS) or 0) >= end for p, end in ends.items())

    def _take(self, value: bytes | None, level: int) -> None:
        try:
            cancel = messages.decode_cancel(value)
        except UndecodableMessage as error:
            self._take_other(value, error)
            return
        self._cancels.add(cancel)
        with task_context(cancel.task_uuid), request_context(cancel.request_id):
            log.log(level, "cancelled by %s: run %d", cancel.user, cancel.run)

    def _take_other(self, value: bytes | None, error: UndecodableMessage) -> None:
        try:
            seen = messages.decode_stage_seen(value)
        except UndecodableMessage:
            self._skipped += 1
            if self._repeats.is_news("skipped"):
                log.warning("a record of %s passed over: %s", self._topic, error)
            return
        if self._stages:
            self._stages.add(seen)


def control_reader(
    settings: KafkaSettings, cancels: Cancels, stages: StageNews | None = None
) -> ControlReader:
    """Makes the reader of a worker. Only a processor needs `stages`."""
    return ControlReader(settings.kafka_control_topic, cancels, lambda: topic_source(settings), stages=stages)

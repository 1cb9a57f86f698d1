"""Reads the topics into the file, in a thread of its own: without a group, from the offsets in the file.

The thread begins again when anything fails, when the file is removed, and when a topic gets more partitions.
Only this thread writes the file.
"""

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

from api.view.changes import Changes
from api.view.file_errors import NOT_TAKEN, DamagedRow, is_damage
from api.view.read_position import ReadPosition
from api.view.reader import Reader
from api.view.records import Batch
from api.view.repair import Repair
from api.view.store import Store
from common.kafka import lanes
from common.kafka.groupless import Source, TopicMissing, partitions_of, topic_source
from common.kafka.topics import status_retention_s
from common.observability.repeats import Repeats
from common.settings.schema import KafkaSettings
from common.tasks.messages import UndecodableMessage
from common.waiting import Backoff

log = logging.getLogger(__name__)

_POLL_MS = 200
_MAX_RECORDS = 2000
# After a few records the feed rests, so that the next poll brings more at once: a poll costs as much as
# reading 20 records. A request that waits for the view ends the rest.
_REST_S = 0.05
_FEW_RECORDS = 500
# While many tasks are submitted, the rests are longer, unless somebody watches a task.
_MANY_RECORDS = 10
_LONG_REST_S = 0.2
_FETCH_MAX_BYTES = 8 * 1024 * 1024
_LOOK_AROUND_S = 30.0
_PRUNE_EVERY_S = 3600.0
_FIRST_BACKOFF_S, _LAST_BACKOFF_S = 0.2, 5.0
_TIMEOUT_MS = 10_000
_JOIN_TIMEOUT_S = 3.0


class Feed:
    """Feeds the view. `reason` says why nothing is read now; it is empty while all is well."""

    def __init__(
        self,
        settings: KafkaSettings,
        store: Store,
        reader: Reader,
        read_position: ReadPosition,
        changes: Changes,
        connect: Callable[[], Source],
        wall_clock: Callable[[], float] = time.time,
        skipped: Callable[[str], None] = lambda kind: None,
        backoff: Backoff | None = None,
    ):
        """`skipped` is called for each skipped record, with its kind: `tasks`, `statuses` and so on."""
        self._kinds = {
            **dict.fromkeys(lanes.topics(settings.kafka_task_topic), "tasks"),
            settings.kafka_status_topic: "statuses",
            settings.kafka_delivery_topic: "deliveries",
            settings.kafka_models_topic: "workers",
            settings.kafka_batch_topic: "batches",
        }
        self._topics = tuple(self._kinds)
        self._bootstrap = settings.kafka_bootstrap_servers
        self._retention_s = status_retention_s(settings)
        self._store, self._reader, self._read_position, self._changes = store, reader, read_position, changes
        self._connect, self._wall_clock, self._skipped = connect, wall_clock, skipped
        self._backoff = backoff or Backoff(_FIRST_BACKOFF_S, _LAST_BACKOFF_S)
        self._repeats = Repeats()
        # Whoever meets damage in the file reports it here.
        self.repair = Repair()
        # At the last look: where each partition was read up to, and where it ended.
        self._seen: tuple[Mapping[TopicPartition, int], Mapping[TopicPartition, int]] | None = None
        self._stuck: list[TopicPartition] = []
        self.reason = "not connected yet"
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="view-feed", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(_JOIN_TIMEOUT_S)
        else:
            self._store.close()

    def _run(self) -> None:
        self._read_position.heard()
        self._backoff.keep(
            lambda: contextlib.closing(self._connect()), self._read_until_change, self._stopping, self._failed
        )
        self._store.close()

    def _failed(self, error: Exception) -> None:
        reason = str(error) or type(error).__name__
        if reason != self.reason:
            known = isinstance(error, KafkaError | TopicMissing)
            log.warning("the view is not fed: %s", reason, exc_info=None if known else error)
        self.reason = reason
        if is_damage(error):
            self.repair.require()

    def _read_until_change(self, source: Source) -> None:
        partitions = partitions_of(source, self._topics)
        ends = self._begin(source, partitions)
        self.reason = ""
        looked_s = pruned_s = time.monotonic()
        self._prune()
        log.info("reading %d partitions, %d records behind", len(partitions), self._read_position.behind)
        while not self._stopping.is_set() and self._store.is_there and not self.repair.is_due:
            self._read(source, partitions)
            now_s = time.monotonic()
            if now_s - looked_s >= _LOOK_AROUND_S:
                looked_s = now_s
                if partitions_of(source, self._topics) != partitions:
                    return
                self._look(source, partitions)
            if now_s - pruned_s >= _PRUNE_EVERY_S:
                pruned_s = now_s
                self._prune()
        if not self._stopping.is_set():
            what = "damaged" if self.repair.is_due else "gone"
            log.warning("the view's file is %s: it is read again from %d records", what, sum(ends.values()))

    def _begin(self, source: Source, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """Open the file, or make a damaged one anew, and seek to the offsets in it. Return the ends."""
        source.assign(partitions)
        first, ends = source.beginning_offsets(partitions), source.end_offsets(partitions)
        origin = " ".join((self._bootstrap, *self._topics))
        if self.repair.is_due:
            self._store.remove()
        self._store.open(origin)
        offsets = self._store.offsets()
        if any(offsets.get(partition, 0) > end for partition, end in ends.items()):
            log.warning("the topics are not those that the view was read from: it is read again")
            self._store.remove()
            self._store.open(origin)
            offsets = {}
        positions = {p: max(first[p], offsets.get(p, 0)) for p in partitions}
        for partition, offset in positions.items():
            source.seek(partition, offset)
        # Before the readers open the new file: a task that is missing there may only be unread yet.
        self._read_position.begin(ends, is_new=not offsets)
        self._reader.reopen()
        self.repair.opened()
        self._read_position.reach(positions)
        if not self._stuck and all(positions[p] >= end for p, end in ends.items()):
            self._read_position.heard()
        return ends

    def _look(self, source: Source, partitions: Sequence[TopicPartition]) -> None:
        """Find partitions from which nothing was read since the last look, although they had records."""
        positions = {p: source.position(p, timeout_ms=_TIMEOUT_MS) or 0 for p in partitions}
        seen, self._seen = self._seen, (positions, source.end_offsets(partitions))
        if seen is not None:
            before, ends = seen
            self._stuck = [p for p in partitions if positions[p] == before.get(p) and before[p] < ends[p]]
        if self._stuck:
            names = ", ".join(f"{topic}/{number}" for topic, number in self._stuck)
            if not self.reason:
                log.warning("nothing is read of %s, although there are records", names)
            self.reason = f"nothing is read of {names}"
        else:
            self.reason = ""
            self._read_position.heard()

    def _read(self, source: Source, partitions: Sequence[TopicPartition]) -> None:
        records = source.poll(timeout_ms=_POLL_MS, max_records=_MAX_RECORDS)
        batch = self._decoded(records)
        if batch.offsets:
            self._apply(batch)
            # Even while no request waits: the next one may then find that it need not wait.
            self._read_position.reach(batch.offsets)
            if not self._stuck:
                self._read_position.heard()
            if batch.count < _FEW_RECORDS:
                is_long = batch.count >= _MANY_RECORDS and not self._changes.are_watched
                self._read_position.rest(_LONG_REST_S if is_long else _REST_S)
        if self._read_position.is_awaited:
            # The position can be beyond the last record: markers of transactions take offsets, too.
            positions = {p: source.position(p, timeout_ms=_TIMEOUT_MS) for p in partitions}
            self._read_position.reach({p: offset for p, offset in positions.items() if offset is not None})

    def _apply(self, batch: Batch) -> None:
        """Store the batch. If that fails, store its records one by one, and skip those that fail."""
        try:
            self._changes.tell(self._store.apply(batch))
        except self._passed_over:
            for single in batch.singles():
                self._apply_single(single)
            self._store.apply(Batch(offsets=batch.offsets))

    def _apply_single(self, single: Batch) -> None:
        try:
            self._changes.tell(self._store.apply(single))
        except self._passed_over as error:
            self._skip(single.kind, f"a record of the view: {error!r}")

    @property
    def _passed_over(self) -> tuple[type[Exception], ...]:
        """The errors for which a record is skipped: a damaged row only where a repair has not helped."""
        return NOT_TAKEN if self.repair.is_allowed else (*NOT_TAKEN, DamagedRow)

    def _skip(self, kind: str, what: str) -> None:
        self._skipped(kind)
        if self._repeats.is_news(kind):
            log.warning("skipped, and not shown by the view: %s", what)

    def _decoded(self, records: Mapping[TopicPartition, list[Any]]) -> Batch:
        batch = Batch()
        for partition, found in records.items():
            for record in found:
                try:
                    batch.add(self._kinds[partition.topic], record.value)
                except UndecodableMessage as error:
                    where = f"{'/'.join(map(str, partition))}@{record.offset}"
                    self._skip(self._kinds[partition.topic], f"{where}: {error}")
            batch.offsets[partition] = found[-1].offset + 1
        return batch

    def _prune(self) -> None:
        self._store.prune(self._wall_clock() - self._retention_s)


def source(settings: KafkaSettings) -> KafkaConsumer:
    """Return a consumer without a group for the topics. Raise KafkaError."""
    return topic_source(settings, isolation_level="read_committed", fetch_max_bytes=_FETCH_MAX_BYTES)

"""The worker: one thread that only polls, job threads beside it, and one thread that commits.

    poll thread      polls, begins jobs while a slot is free; before each poll it seeks, pauses, resumes
    loader threads   at most 8, for new partitions: read what the broker has committed (loaders.py)
    job threads      attempt, work, outcome (job_thread.py)
    committer        every transaction (committer.py)

A job of any length never delays a poll, so the group never takes the worker for dead.
"""

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from kafka.errors import KafkaError

from common.jobs.handler import Handler
from common.jobs.lanes import ONE_LANE, LaneRules
from common.jobs.settlement import JobRules
from common.kafka.consumer import Consumer
from common.kafka.membership import ConsumerLost
from common.kafka.partition_names import partition_names
from common.kafka.transaction import TransactionalProducer
from common.observability.health import Check
from common.observability.repeats import Repeats
from common.waiting import Backoff
from common.worker.committer import Committer
from common.worker.handover import Handover
from common.worker.intake import Intake
from common.worker.lease_table import LeaseTable
from common.worker.metrics import WorkerMetrics
from common.worker.pace import PACE, Pace
from common.worker.partitions import Partitions
from common.worker.poll_watch import PollWatch
from common.worker.rounds import Rounds
from common.worker.waiting_room import NO_PLACES, PlaceRules

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class WorkerConfig:
    """The group that one worker belongs to, and the worker's limits."""

    group_id: str
    slots: int
    max_poll_interval_ms: int
    shutdown_grace_s: float
    rules: JobRules
    # how long a running job may hold its partition that is wanted elsewhere
    drain_on_rebalance_s: float = 3600.0
    # a worker that stops comes back, and is to have its partitions then
    keeps_membership: bool = False
    pace: Pace = PACE


class Worker:
    """Consumes topics with `handler` until `stop()`. The thread that calls `run` is the poll thread."""

    def __init__(
        self,
        config: WorkerConfig,
        handler: Handler[Any],
        make_consumer: Callable[[], Consumer],
        make_producer: Callable[[], TransactionalProducer],
        clock: Callable[[], float] = time.monotonic,
        metrics: WorkerMetrics | None = None,
        places: PlaceRules = NO_PLACES,
        may_begin: Callable[[], bool] = lambda: True,
        lanes: LaneRules = ONE_LANE,
    ):
        """`may_begin` is asked before each poll, on the poll thread."""
        # These are constant, and the objects are thread-safe or say their owner.
        self._metrics = metrics or WorkerMetrics.create("worker")
        self._config, pace = config, config.pace
        self._make_consumer, self._clock, self._may_begin = make_consumer, clock, may_begin
        self._stopping, self._slot_freed = threading.Event(), threading.Event()
        self._leases = LeaseTable(config.slots, clock)
        self._committer = Committer(self._leases, self._current_consumer, make_producer, self._fail, pace)
        self._partitions = Partitions(
            self._leases, self._committer, self._current_consumer, self._stopping, self._metrics
        )
        self._intake = Intake(
            handler,
            self._committer,
            self._leases,
            self._partitions,
            config.rules,
            places,
            lanes,
            self._slot_freed.set,
            self._metrics.started,
            partial(self._metrics.attempt_ended, config.rules),
            pace,
        )
        self._rounds = Rounds(
            self._leases, self._partitions, self._intake, self._slot_freed, self._stopping, pace=pace
        )
        self._handover = Handover(
            self._leases, config.drain_on_rebalance_s, not config.keeps_membership, clock
        )
        self._polls = PollWatch(config.max_poll_interval_ms, self._metrics.overran, clock)
        # Written by the poll thread, read by any thread.
        self._consumer: Consumer | None = None
        # Written by the committer's thread before it sets `_stopping`, read by the poll thread.
        self._fatal: BaseException | None = None
        # The poll thread owns these.
        self._topics: Sequence[str] = ()
        self._repeats = Repeats()

    def run(self, topics: Sequence[str]) -> None:
        """Work until stopped. Raises Fenced when another worker has our id, and what broke otherwise."""
        self._topics = topics
        self._connect()
        if self._consumer is None:  # stopped before Kafka could be reached
            return
        self._committer.start()
        log.info("consuming %s as a member of %s", ", ".join(topics), self._config.group_id)
        try:
            while not self._stopping.is_set():
                self._tick()
            self._finish_running()
            if self._fatal is not None:  # no tick has seen it: nothing ran any more
                raise self._fatal
        finally:
            self._leases.drop()
            self._committer.stop(self._config.pace.committer_stop_s)
            self._consumer.close()

    def stop(self) -> None:
        """Take nothing new; finish what runs within the grace. For any thread, and for signal handlers."""
        self._stopping.set()

    @property
    def can_leave(self) -> bool:
        """Return whether the worker has been in the group, and Kafka has answered lately."""
        return self._consumer is not None and not self._consumer.is_cut_off()

    def check(self) -> Check:
        """Say for `/readyz` whether this is a member of the group that polls, with its partitions loaded."""
        consumer = self._consumer
        if consumer is None or consumer.is_joining():
            return Check(False, "joining the consumer group")
        if (overdue_s := self._polls.overdue_s()) is not None:
            return Check(False, f"no poll for {overdue_s:.0f} s")
        if consumer.is_cut_off():
            return Check(False, "Kafka does not answer")
        if not self._committer.ready:
            return Check(False, "no transactional producer yet")
        generation = consumer.group_metadata().generation_id
        partitions = partition_names(self._leases.partitions)
        detail = f"generation {generation}, partitions {partitions}, {self._leases.running_count} jobs"
        return Check(self._leases.all_positioned, detail)

    def lag(self) -> Counter[str]:
        """Return the records of our partitions that are not begun yet, by topic, as of the last fetch.

        Transaction markers count as records. Any thread.
        """
        counts = Counter(lease.record.topic for lease in self._leases.ready)
        if self._consumer is not None:
            for partition, lag in self._consumer.known_lag().items():
                counts[partition.topic] += lag
        return counts

    @property
    def running_count(self) -> int:
        return self._leases.running_count

    @property
    def ready_counts(self) -> Counter[int]:
        """The number of records that are read and wait for a slot, by the priority of their lane."""
        return Counter(lease.ticket.priority for lease in self._leases.ready)

    @property
    def waiting_count(self) -> int:
        """The number of records that are read and wait for a place."""
        return self._intake.waiting_count

    def _current_consumer(self) -> Consumer:
        """Return the consumer of now, on any thread. Only called once there has been one."""
        assert self._consumer is not None
        return self._consumer

    def _connect(self) -> None:
        again_s = self._config.pace.connect_again_s
        backoff = Backoff(again_s, again_s)
        consumer = backoff.first_success(self._make_consumer, self._stopping, self._not_connected, KafkaError)
        if consumer is None:
            return
        consumer.share_with(self._handover.needs, self._handover.drain)
        self._partitions.subscribe(consumer, self._topics)
        self._consumer = consumer
        self._polls.restart()

    def _not_connected(self, error: Exception) -> None:
        if self._repeats.is_news("connect", error):
            log.warning("Kafka cannot be reached: %r", error)

    def _tick(self) -> None:
        if self._fatal is not None:
            raise self._fatal
        self._polls.note_poll()
        self._leases.pause(not self._may_begin())
        consumer = self._current_consumer()
        try:
            self._rounds.make(consumer)
        except ConsumerLost as lost:
            self._rebuild(str(lost))
            return
        self._handover.watch(consumer)
        self._rounds.rest(consumer)

    def _rebuild(self, reason: str) -> None:
        log.warning("building a new consumer: %s", reason)
        self._leases.drop()
        self._current_consumer().close()
        self._slot_freed.wait(self._config.pace.rebuild_s)
        self._connect()

    def _finish_running(self) -> None:
        """Go on polling, so that the membership and with it the leases last until the jobs have ended."""
        self._leases.drain()
        log.info("stopping: %d jobs to finish", self._leases.running_count)
        self._tick_until_idle(self._config.shutdown_grace_s)
        if self._leases.running_count:
            log.warning("grace is over: %d jobs cancelled, nothing committed", self._leases.running_count)
            self._leases.cancel_all()
            self._tick_until_idle(self._config.pace.cancel_grace_s)

    def _tick_until_idle(self, timeout_s: float) -> None:
        deadline_s = self._clock() + timeout_s
        while self._leases.running_count and self._clock() < deadline_s:
            self._tick()

    def _fail(self, error: BaseException) -> None:
        """On the committer's thread."""
        self._fatal = error
        self._stopping.set()

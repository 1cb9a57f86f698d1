"""The worker: a thread that only polls, jobs beside it, and one thread that commits.

    poll thread      poll · a slot free? start the record's job · each tick: seek, pause, resume
    loader threads   one a newly assigned partition: what the broker has committed for it (partitions.py)
    job threads      attempt, work, outcome (common.worker.job_thread)
    committer        every transaction (common.worker.committer)

A job of any length never delays a poll, so the group never takes the worker for dead.
"""

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from kafka import KafkaProducer, TopicPartition
from kafka.errors import FencedInstanceIdError, KafkaError

from common.jobs import retry
from common.jobs.handler import Handler
from common.jobs.places import Claim
from common.jobs.settlement import JobRules
from common.kafka import clients
from common.kafka.guarded_consumer import GuardedConsumer
from common.kafka.partition_names import partition_names
from common.kafka.records import Record
from common.observability.health import Check
from common.observability.repeats import Repeats
from common.waiting import Backoff
from common.worker.committer import Committer
from common.worker.handover import Handover
from common.worker.job_thread import JobThread
from common.worker.lease import Lease, LeaseTable, NotLeased
from common.worker.membership import Membership
from common.worker.metrics import WorkerMetrics
from common.worker.partitions import Partitions
from common.worker.waiting_room import NO_PLACES, PlaceRules, WaitingRoom

log = logging.getLogger(__name__)

_IDLE_POLL_MS = 500
_BUSY_POLL_MS = 100
# Row 4: shorter polls starve a rebalance.
_SHORT_POLL_MS = 20
_CANCEL_GRACE_S = 5.0
_CONNECT_AGAIN_S = 1.0
_COMMITTER_STOP_S = 2.0


@dataclass(frozen=True)
class WorkerConfig:
    """Whom one worker belongs to, and its limits."""

    group_id: str
    slots: int
    max_poll_interval_ms: int
    shutdown_grace_s: float
    rules: JobRules
    # how long a running job may hold its partition that is wanted elsewhere
    drain_on_rebalance_s: float = 3600.0
    # a worker that stops comes back, and is to have its partitions then
    keeps_membership: bool = False


class Worker:
    """Consumes topics with `handler` until `stop()`. `run` owns the calling thread."""

    def __init__(
        self,
        config: WorkerConfig,
        handler: Handler,
        make_consumer: Callable[[], GuardedConsumer],
        make_producer: Callable[[], KafkaProducer],
        clock: Callable[[], float] = time.monotonic,
        metrics: WorkerMetrics | None = None,
        places: PlaceRules = NO_PLACES,
        may_begin: Callable[[], bool] = lambda: True,
    ):
        """`may_begin` is asked before each poll, on the poll thread."""
        self._metrics = metrics or WorkerMetrics.create("worker")
        self._on_outcome = partial(self._metrics.job_ended, config.rules)
        self._config = config
        self._handler = handler
        self._make_consumer = make_consumer
        self._clock = clock
        self._may_begin = may_begin
        self._leases = LeaseTable(config.slots, clock)
        self._claim_of = places.claim_of
        self._room = WaitingRoom(places.limits, self._resume)
        self._committer = Committer(self._leases, lambda: self._consumer, make_producer, self._fail)
        self._consumer: GuardedConsumer | None = None
        self._topics: Sequence[str] = ()
        self._stopping = threading.Event()
        self._slot_freed = threading.Event()
        self._fatal: BaseException | None = None
        self._partitions = Partitions(
            self._leases, self._committer, lambda: self._consumer, self._stopping, self._metrics
        )
        self._membership = Membership(clock)
        self._handover = Handover(
            self._leases, config.drain_on_rebalance_s, not config.keeps_membership, clock
        )
        self._repeats = Repeats()
        self._last_poll_s = clock()

    def run(self, topics: Sequence[str]) -> None:
        """Works until stopped. Raises Fenced when another worker has our id, and what broke otherwise."""
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
            self._committer.stop(_COMMITTER_STOP_S)
            clients.close_consumer(self._consumer)

    def stop(self) -> None:
        """Take nothing new; finish what runs within the grace. Any thread, and signal handlers."""
        self._stopping.set()

    @property
    def can_leave(self) -> bool:
        """It has been in the group, and Kafka has answered lately."""
        return self._consumer is not None and not self._consumer.is_cut_off()

    def check(self) -> Check:
        """For `/readyz`: a member of the group, polling, with its partitions loaded."""
        consumer = self._consumer
        if consumer is None or consumer.is_joining():
            return Check(False, "joining the consumer group")
        idle_s = self._clock() - self._last_poll_s
        if idle_s * 1000 > self._config.max_poll_interval_ms:
            return Check(False, f"no poll for {idle_s:.0f} s")
        if consumer.is_cut_off():
            return Check(False, "Kafka does not answer")
        if not self._committer.ready:
            return Check(False, "no transactional producer yet")
        generation = consumer.group_metadata().generation_id
        partitions = partition_names(self._leases.partitions)
        detail = f"generation {generation}, partitions {partitions}, {self._leases.running_count} jobs"
        return Check(self._leases.all_positioned, detail)

    def lag(self) -> Counter[str]:
        """By topic, the records of our partitions that are not taken yet, as far as the last fetch told.

        Transaction markers count as records; a worker that has no free slot fetches nothing. Any thread.
        """
        counts: Counter[str] = Counter()
        if self._consumer is not None:
            for partition, lag in self._consumer.known_lag().items():
                counts[partition.topic] += lag
        return counts

    @property
    def running_count(self) -> int:
        return self._leases.running_count

    @property
    def waiting_count(self) -> int:
        """The records that are read and wait for a place."""
        return self._room.count

    def _connect(self) -> None:
        backoff = Backoff(_CONNECT_AGAIN_S, _CONNECT_AGAIN_S)
        consumer = backoff.first_success(self._make_consumer, self._stopping, self._not_connected, KafkaError)
        if consumer is None:
            return
        consumer.share_with(self._handover.needs, self._handover.drain)
        consumer.subscribe(list(self._topics), listener=self._partitions.listener())
        self._consumer = consumer
        self._membership.begin()
        self._last_poll_s = self._clock()

    def _not_connected(self, error: Exception) -> None:
        if self._repeats.is_news("connect", error):
            log.warning("Kafka cannot be reached: %r", error)

    def _tick(self) -> None:
        if self._fatal is not None:
            raise self._fatal
        self._note_overrun()
        self._leases.pause(not self._may_begin())
        self._partitions.steer()  # what a job's end has freed is read by this poll already
        try:
            polled = self._consumer.poll(timeout_ms=self._poll_ms())
        except FencedInstanceIdError:
            self._rebuild(self._membership.fenced(self._consumer))
            return
        except Exception as error:  # noqa: BLE001 - the loop's edge: the client raises more than it documents
            self._rebuild(f"poll failed: {error!r}")
            return
        for records in polled.values():
            for raw in records:
                self._take(raw)
        self._watch_membership()
        if self._leases.slots_full and not self._consumer.is_joining():
            # Nothing can be taken before a slot is free: wait for that rather than in the next poll, which
            # does not hear of it.
            self._slot_freed.wait((_IDLE_POLL_MS - _SHORT_POLL_MS) / 1000)
        self._slot_freed.clear()

    def _poll_ms(self) -> int:
        if not self._leases.all_positioned or self._leases.slots_full:
            return _SHORT_POLL_MS
        return _BUSY_POLL_MS if self._leases.running_count else _IDLE_POLL_MS

    def _take(self, raw) -> None:
        record = Record(
            raw.topic, raw.partition, raw.offset, raw.key, raw.value, tuple(raw.headers), raw.timestamp
        )
        match self._leases.admit(record, retry.wait_s(record, self._config.rules.wall_clock())):
            case Lease() as lease:
                self._seat(lease)
            case NotLeased.NOT_YET:
                self._partitions.read_again(TopicPartition(raw.topic, raw.partition), raw.offset)
            case NotLeased.ALREADY_DONE:
                log.info("%s[%d]@%d is done or running: skipped", raw.topic, raw.partition, raw.offset)

    def _seat(self, lease: Lease) -> None:
        """Starts the record's job with the place that it needs, or lets it wait for that."""
        claim = self._claim_of(lease.record)
        if claim is None or self._room.take(claim):
            self._job(lease, claim).start()
        elif self._room.has_room(lease, claim):
            self._leases.set_aside(lease)
            self._room.enter(lease, claim)
        else:
            self._job(lease).put_off(claim)

    def _resume(self, lease: Lease, claim: Claim) -> bool:
        """On any thread: a lease that waited has its place."""
        if not self._leases.resume(lease):
            return False
        self._job(lease, claim).start()
        return True

    def _job(self, lease: Lease, claim: Claim | None = None) -> JobThread:
        return JobThread(
            lease,
            self._handler,
            self._committer,
            self._leases,
            self._config.rules,
            self._slot_freed.set,
            self._on_outcome,
            self._room,
            claim,
        )

    def _note_overrun(self) -> None:
        now = self._clock()
        gap_s, self._last_poll_s = now - self._last_poll_s, now
        if gap_s * 1000 > self._config.max_poll_interval_ms:
            log.warning(
                "max.poll.interval.ms exceeded: %.1f s between two polls (%d ms allowed)",
                gap_s,
                self._config.max_poll_interval_ms,
            )
            self._metrics.overran()

    def _watch_membership(self) -> None:
        if reason := self._membership.watch(self._consumer):
            self._rebuild(reason)
        else:
            self._handover.watch(self._consumer)

    def _rebuild(self, reason: str) -> None:
        log.warning("building a new consumer: %s", reason)
        self._leases.drop()
        clients.close_consumer(self._consumer)
        self._slot_freed.wait(0.3)
        self._connect()

    def _finish_running(self) -> None:
        """Goes on polling, so that the membership and with it the leases last until the jobs have ended."""
        self._leases.drain()
        log.info("stopping: %d jobs to finish", self._leases.running_count)
        self._tick_until_idle(self._config.shutdown_grace_s)
        if self._leases.running_count:
            log.warning("grace is over: %d jobs cancelled, nothing committed", self._leases.running_count)
            self._leases.cancel_all()
            self._tick_until_idle(_CANCEL_GRACE_S)

    def _tick_until_idle(self, timeout_s: float) -> None:
        deadline_s = self._clock() + timeout_s
        while self._leases.running_count and self._clock() < deadline_s:
            self._tick()

    def _fail(self, error: BaseException) -> None:
        self._fatal = error
        self._stopping.set()

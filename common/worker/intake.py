"""Takes the records that were polled, and begins their jobs: each with a slot, or it waits for a place."""

import logging
from collections.abc import Callable
from typing import Any

from kafka import TopicPartition

from common.jobs import retry
from common.jobs.handler import Handler
from common.jobs.lanes import LaneRules
from common.jobs.places import Claim
from common.jobs.settlement import JobRules
from common.kafka.records import Record
from common.worker.committer import Committer
from common.worker.job_thread import JobThread, OnOutcome
from common.worker.lease import Lease, NotLeased
from common.worker.lease_table import LeaseTable
from common.worker.pace import PACE, Pace
from common.worker.partitions import Partitions
from common.worker.ready_records import ReadyRecords
from common.worker.waiting_room import PlaceRules, WaitingRoom

log = logging.getLogger(__name__)


class Intake:
    """Begins jobs. All fields are constant.

    The waiting room is thread-safe, and the poll thread owns `_ready`.
    """

    def __init__(
        self,
        handler: Handler[Any],
        committer: Committer,
        leases: LeaseTable,
        partitions: Partitions,
        rules: JobRules,
        places: PlaceRules,
        lanes: LaneRules,
        on_slot_free: Callable[[], None],
        on_start: Callable[[int], None],
        on_outcome: OnOutcome,
        pace: Pace = PACE,
    ):
        """`on_start` is called on the poll thread for each job with its first slot, with its priority."""
        self._handler, self._committer = handler, committer
        self._leases, self._partitions = leases, partitions
        self._rules, self._claim_of, self._ticket_of = rules, places.claim_of, lanes.ticket_of
        self._on_slot_free, self._on_start, self._on_outcome = on_slot_free, on_start, on_outcome
        self._pace = pace
        self._room = WaitingRoom(places.limits, self._resume)
        self._ready = ReadyRecords()

    @property
    def waiting_count(self) -> int:
        """The number of records that are read and wait for a place. Any thread."""
        return self._room.count

    def take(self, record: Record) -> None:
        """Lease the record, or put it back. On the poll thread."""
        wait_s = retry.wait_s(record, self._rules.wall_clock())
        match self._leases.admit(record, wait_s, self._ticket_of(record)):
            case Lease() as lease:
                self._ready.add(lease)
            case NotLeased.NOT_YET:
                self._partitions.read_again(TopicPartition(record.topic, record.partition), record.offset)
            case NotLeased.ALREADY_DONE:
                log.info(
                    "%s[%d]@%d is done or running: skipped", record.topic, record.partition, record.offset
                )

    def begin(self) -> None:
        """Begin jobs while a slot is free and a record may have it. On the poll thread.

        Jobs that began without a slot, when they got their place, take turns with the records.
        """
        while not (self._leases.slots_full or self._leases.draining or self._leases.paused):
            newcomers, running = self._leases.newcomers()
            lease = self._ready.take_next(running, self._leases.held_back, newcomers)
            if lease is None:
                return
            if not lease.is_ready:
                if self._leases.give_slot(lease):
                    self._on_start(lease.ticket.priority)
            elif self._leases.begin(lease):
                self._seat(lease)
            elif lease.live:  # another thread has just held its partition back
                self._ready.add(lease)

    def _seat(self, lease: Lease) -> None:
        """Start the record's job with the place that it needs, or let it wait for that place."""
        claim = self._claim_of(lease.record)
        if claim is None or self._room.take(claim):
            self._on_start(lease.ticket.priority)
            self._job(lease, claim).start()
        elif self._room.has_room(lease, claim):
            self._leases.set_aside(lease)
            self._room.enter(lease, claim)
        else:
            self._job(lease).put_off(claim)

    def _resume(self, lease: Lease, claim: Claim) -> bool:
        """Start the job of a lease that waited and now has its place. On any thread."""
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
            self._rules,
            self._on_slot_free,
            self._on_outcome,
            self._room,
            claim,
            self._pace,
        )

"""Takes the records that were polled: leases each, and starts its job or lets it wait for a place."""

import logging
from collections.abc import Callable
from typing import Any

from kafka import TopicPartition

from common.jobs import retry
from common.jobs.handler import Handler
from common.jobs.places import Claim
from common.jobs.settlement import JobRules
from common.kafka.records import Record
from common.worker.committer import Committer
from common.worker.job_thread import JobThread, OnOutcome
from common.worker.lease import Lease, NotLeased
from common.worker.lease_table import LeaseTable
from common.worker.partitions import Partitions
from common.worker.waiting_room import PlaceRules, WaitingRoom

log = logging.getLogger(__name__)


class Intake:
    """Begins jobs. All fields are constant; the waiting room is thread-safe."""

    def __init__(
        self,
        handler: Handler[Any],
        committer: Committer,
        leases: LeaseTable,
        partitions: Partitions,
        rules: JobRules,
        places: PlaceRules,
        on_slot_free: Callable[[], None],
        on_outcome: OnOutcome,
    ):
        self._handler, self._committer = handler, committer
        self._leases, self._partitions = leases, partitions
        self._rules, self._claim_of = rules, places.claim_of
        self._on_slot_free, self._on_outcome = on_slot_free, on_outcome
        self._room = WaitingRoom(places.limits, self._resume)

    @property
    def waiting_count(self) -> int:
        """The number of records that are read and wait for a place. Any thread."""
        return self._room.count

    def take(self, record: Record) -> None:
        """Lease the record and begin its job, or put the record back. On the poll thread."""
        match self._leases.admit(record, retry.wait_s(record, self._rules.wall_clock())):
            case Lease() as lease:
                self._seat(lease)
            case NotLeased.NOT_YET:
                self._partitions.read_again(TopicPartition(record.topic, record.partition), record.offset)
            case NotLeased.ALREADY_DONE:
                log.info(
                    "%s[%d]@%d is done or running: skipped", record.topic, record.partition, record.offset
                )

    def _seat(self, lease: Lease) -> None:
        """Start the record's job with the place that it needs, or let it wait for that place."""
        claim = self._claim_of(lease.record)
        if claim is None or self._room.take(claim):
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
        )

"""The rounds of the poll thread: records are polled and taken, jobs begin, and the thread rests."""

import threading
import time
from collections.abc import Callable

from common.kafka.consumer import SHORTEST_POLL_MS, Consumer
from common.worker.intake import Intake
from common.worker.lease_table import LeaseTable
from common.worker.pace import PACE, Pace
from common.worker.partitions import Partitions

_IDLE_POLL_MS = 500
_BUSY_POLL_MS = 100
# Each poll returns one record at most. Others are taken in the same round if they have been fetched already.
_MOST_POLLS = 32


class Rounds:
    """Owned by the poll thread, but for the two events, which any thread sets."""

    def __init__(
        self,
        leases: LeaseTable,
        partitions: Partitions,
        intake: Intake,
        slot_freed: threading.Event,
        stopping: threading.Event,
        clock: Callable[[], float] = time.monotonic,
        pace: Pace = PACE,
    ):
        self._leases, self._partitions, self._intake = leases, partitions, intake
        self._slot_freed, self._stopping, self._clock = slot_freed, stopping, clock
        self._look_at_s, self._look_every_s = clock(), pace.look_every_s

    def make(self, consumer: Consumer) -> None:
        """Take what has come, and begin the jobs for which there are slots. Raises as `Consumer.poll`."""
        # What has come meanwhile may be more urgent than what is ready, so it is taken first.
        if not consumer.has_fetched():
            self._begin()
            if self._must_rest(consumer) and self._clock() < self._look_at_s:
                return
        self._partitions.steer()  # what a job's end has freed is read by this round already
        self._poll(consumer)
        self._look_at_s = self._clock() + self._look_every_s
        self._begin()

    def rest(self, consumer: Consumer) -> None:
        """Wait for a slot, if no job can begin before there is one, until it is time for the next look."""
        if self._must_rest(consumer):
            self._slot_freed.wait(max(0.0, self._look_at_s - self._clock()))
        self._slot_freed.clear()

    def _must_rest(self, consumer: Consumer) -> bool:
        return self._leases.slots_full and not consumer.is_joining()  # a join goes on in polls alone

    def _begin(self) -> None:
        if not self._stopping.is_set():  # which may be since the round's beginning
            self._intake.begin()

    def _poll(self, consumer: Consumer) -> None:
        for _ in range(_MOST_POLLS):
            for record in consumer.poll(self._poll_ms(consumer)):
                self._intake.take(record)
            consumer.check_membership()
            if not consumer.has_fetched():
                return
            self._partitions.steer()
            if not consumer.has_fetched():  # what there is may have to wait now
                return

    def _poll_ms(self, consumer: Consumer) -> int:
        if not self._leases.all_positioned or self._leases.slots_full:
            return SHORTEST_POLL_MS
        # What has been fetched comes at once. If nothing comes, the batch has ended with a record that was
        # taken, and that begins after this poll.
        if consumer.has_fetched():
            return SHORTEST_POLL_MS
        return _BUSY_POLL_MS if self._leases.running_count else _IDLE_POLL_MS

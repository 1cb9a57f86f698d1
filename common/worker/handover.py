"""Keeps a running job where it runs: its partition moves to another worker once it is idle.

Each time the group shares out its partitions, this worker tells the leader which of its own are busy. The
leader leaves those here, and names the ones to be given up later: the drained ones. No new job is begun on
them. Once the last job of a drained partition has ended, or the longest time has passed, this worker asks for
another assignment. That moves the partition.
"""

import logging
import threading
from collections.abc import Callable, Set
from typing import Protocol

from kafka import TopicPartition

from common.kafka.member_data import Needs
from common.kafka.partition_names import partition_names
from common.worker.lease_table import LeaseTable

log = logging.getLogger(__name__)

# Counted from the last assignment, which is the same moment for all members. So the group is shared out again
# about once in this time, however many members have partitions to give up.
_ASK_AFTER_S = 1.0
# A worker whose slots are full fetches nothing, and does not see new records in its idle partitions.
_LOOK_EVERY_S = 2.0
_LOOK_TIMEOUT_MS = 2000
# After a loss of partitions: long enough for the answer to a look that has begun since.
_TELL_WITHIN_S = 6.0


class Member(Protocol):
    """The methods of this worker's consumer that concern its part in the group."""

    def is_joining(self) -> bool: ...
    def rejoin(self) -> None: ...
    def look_for_ends(self, timeout_ms: int) -> None: ...
    def unread(self) -> Set[TopicPartition]: ...


class Handover:
    """Knows which partitions are to be given up, and since when. Thread-safe.

    `_lock` guards the fields below it, down to the ones of the poll thread.
    """

    def __init__(self, leases: LeaseTable, longest_s: float, leaves: bool, clock: Callable[[], float]):
        """`longest_s` is how long a job may hold its partition, 0 for not at all.

        `leaves`: a worker that stops gives its partitions up, rather than keeping them for its next start. A
        worker that may not begin anything for now gives them up in either case.
        """
        self._leases, self._longest_s, self._leaves, self._clock = leases, longest_s, leaves, clock
        self._lock = threading.Lock()
        self._drained_since_s: dict[TopicPartition, float] = {}
        self._last_request_s = clock()
        self._is_stopping = self._announced_leaving = False
        self._announced_waiting: Set[TopicPartition] = frozenset()
        self._is_looking = threading.Event()
        # The poll thread owns these.
        self._last_look_s = clock()
        self._owned: Set[TopicPartition] = frozenset()
        self._lost_some_s = float("-inf")

    def needs(self, waiting: Set[TopicPartition]) -> Needs:
        """Return what this worker asks of the next assignment. On the client's I/O thread."""
        if self._longest_s == 0:
            return Needs(waiting=tuple(sorted(waiting)))
        waiting = self._with_ready(waiting)
        with self._lock:
            self._announced_waiting = frozenset(waiting)
            self._announced_leaving = self._is_leaving()
            # Those drained for the longest come first: the leader names the first ones again.
            by_age = sorted(self._busy(), key=lambda p: (self._drained_since_s.get(p, float("inf")), p))
            return Needs(tuple(by_age), tuple(sorted(waiting)), self._announced_leaving)

    def drain(self, drained: Set[TopicPartition]) -> None:
        """Take over which partitions the new assignment wants elsewhere. On the client's I/O thread."""
        with self._lock:
            now = self._last_request_s = self._clock()
            if new := drained - self._drained_since_s.keys():
                log.info("finishing the jobs on %s: another worker gets them then", partition_names(new))
            self._drained_since_s = {p: self._drained_since_s.get(p, now) for p in drained}
        self._leases.hold_back(drained)

    def watch(self, consumer: Member) -> None:
        """Ask for another assignment if that would move a partition. On the poll thread, after each poll."""
        now = self._clock()
        self._note_losses(now)
        if consumer.is_joining():
            return
        if self._leases.slots_full and now - self._last_look_s >= _LOOK_EVERY_S:
            self._last_look_s = now
            self._look(consumer)
        with self._lock:
            if self._leases.draining and not self._is_stopping:
                self._is_stopping, self._last_request_s = True, now  # most jobs are done by the time to ask
            if now - self._last_request_s < _ASK_AFTER_S:
                return
            if not self._can_give_up_more() and not self._has_news_for_leader(consumer, now):
                return
            self._last_request_s = now
        consumer.rejoin()

    def _note_losses(self, now: float) -> None:
        owned = self._leases.partitions
        if self._owned - owned:
            self._lost_some_s = now
        self._owned = owned

    def _has_news_for_leader(self, consumer: Member, now: float) -> bool:
        """Return whether records wait here that another worker could do and the leader does not know of.

        True at most once after each loss of partitions. Each loss is a step towards even shares, so the group
        comes to rest.
        """
        if now - self._lost_some_s > _TELL_WITHIN_S or not self._leases.slots_full:
            return False
        waiting = self._with_ready(consumer.unread()) & self._owned
        if not waiting - self._announced_waiting - self._leases.busy:
            return False
        self._lost_some_s = float("-inf")
        return True

    def _look(self, consumer: Member) -> None:
        """Let the consumer ask where its partitions end, on a thread beside the poll thread."""
        if self._is_looking.is_set():
            return
        self._is_looking.set()

        def look() -> None:
            try:
                consumer.look_for_ends(_LOOK_TIMEOUT_MS)
            except Exception as error:  # noqa: BLE001 - the thread's edge: the next look may succeed
                log.debug("could not read where the partitions end: %r", error)
            finally:
                self._is_looking.clear()

        threading.Thread(target=look, name="ends", daemon=True).start()

    def _with_ready(self, unread: Set[TopicPartition]) -> Set[TopicPartition]:
        """Return the partitions with records that are not read, or read and not begun."""
        return unread | {lease.assignment.partition for lease in self._leases.ready if lease.live}

    def _busy(self) -> set[TopicPartition]:
        """Return the partitions with a running job that has not held them for too long."""
        now = self._clock()
        return {
            partition
            for partition in self._leases.busy
            if now - self._drained_since_s.get(partition, now) < self._longest_s
        }

    def _can_give_up_more(self) -> bool:
        if self._is_leaving() != self._announced_leaving:
            # A worker that stops and has no jobs leaves at once, by itself.
            return not self._leases.draining or bool(self._leases.busy)
        # Any idle partition of the topic will do: the leader drains only if a member has none but busy ones.
        topics = {partition.topic for partition in self._drained_since_s}
        return any(p.topic in topics for p in self._leases.partitions - self._busy())

    def _is_leaving(self) -> bool:
        is_stopping = self._leaves and self._leases.draining
        return self._longest_s > 0 and (is_stopping or self._leases.paused)

"""The partitions that the group gives a worker and takes from it: loaded, read or paused, given up.

A newly assigned partition is read once it is known what the broker has committed for it (loaders.py).
"""

import logging
import threading
from collections.abc import Callable, Iterable
from functools import partial

from kafka import TopicPartition

from common.kafka.consumer import Consumer
from common.kafka.partition_names import partition_names
from common.worker.committer import Committer
from common.worker.lease import Lease
from common.worker.lease_table import LeaseTable
from common.worker.loaders import Loaders
from common.worker.metrics import WorkerMetrics

log = logging.getLogger(__name__)

# The client's I/O stands still during this time.
_REVOKED_GRACE_S = 1.0


class Partitions:
    """Stands between the consumer and the lease table.

    Each method says which thread calls it. The fields are constant but for `_assigned_before`.
    """

    def __init__(
        self,
        leases: LeaseTable,
        committer: Committer,
        consumer: Callable[[], Consumer],
        stopping: threading.Event,
        metrics: WorkerMetrics,
    ):
        """`consumer` is called anew whenever one is needed: it gets replaced."""
        self._leases = leases
        self._committer = committer
        self._consumer = consumer
        self._stopping = stopping
        self._metrics = metrics
        # Owned by the client's I/O thread.
        self._assigned_before = False

    def subscribe(self, consumer: Consumer, topics: Iterable[str]) -> None:
        """Join the group, and hear of every rebalance of this consumer. On the poll thread."""
        assigned = partial(self._assigned, Loaders(self._leases, consumer, self._stopping))
        consumer.subscribe(list(topics), assigned, self._revoked, self._drop)

    def steer(self) -> None:
        """Seek, pause and resume as the leases want it. On the poll thread."""
        consumer = self._consumer()
        assigned = consumer.assignment()
        wanted = self._leases.wanted(assigned)
        consumer.steer(assigned, wanted.seeks, wanted.paused)

    def read_again(self, partition: TopicPartition, offset: int) -> None:
        """Put a polled record back. On the poll thread."""
        self._consumer().read_again(partition, offset)

    def _assigned(self, loaders: Loaders, partitions: Iterable[TopicPartition]) -> None:
        """On the client's I/O thread."""
        partitions = list(partitions)
        event = "rebalance: assigned" if self._assigned_before else "first assignment:"
        log.info("%s %s", event, partition_names(partitions))
        if self._assigned_before:
            self._metrics.rebalanced("assigned")
        self._assigned_before = True
        loaders.add(self._leases.assign(partitions))

    def _revoked(self, partitions: Iterable[TopicPartition]) -> None:
        """On the client's I/O thread."""
        generation = self._consumer().group_metadata().generation_id
        leases = self._drop(partitions, generation)
        # A move is no crash: were the attempts not handed back, a long job that moves three times would be
        # given up.
        self._committer.end_revoked(leases, generation, _REVOKED_GRACE_S)

    def _drop(self, partitions: Iterable[TopicPartition], revoked_in: int | None = None) -> list[Lease]:
        """On the client's I/O thread."""
        partitions = list(partitions)
        if not self._stopping.is_set() and self._leases.partitions & set(partitions):
            log.warning("rebalance: lost or revoked %s", partition_names(partitions))
            self._metrics.rebalanced("revoked")
        return self._leases.drop(partitions, revoked_in)

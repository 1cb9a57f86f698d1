"""Reads what is committed for newly assigned partitions, on a few threads however many partitions come."""

import logging
import threading
from collections import deque
from collections.abc import Iterable

from common.kafka.consumer import Consumer
from common.observability.repeats import Repeats
from common.worker.lease import Assignment
from common.worker.lease_table import LeaseTable

log = logging.getLogger(__name__)

# An answer waits for the end of an open transaction, such as a killed worker leaves, for seconds. Such a
# partition goes behind the others, and may take twice as long each time.
_FIRST_TIMEOUT_MS, _LONGEST_TIMEOUT_MS = 500, 10_000
_MOST_THREADS = 8


class Loaders:
    """Threads that begin when one consumer gets assignments, and end when all are loaded. Thread-safe.

    `_lock` guards `_unloaded` and `_threads`. A consumer that is closed may leave its threads without an
    answer until the time-out, so the next consumer has Loaders of its own.
    """

    def __init__(self, leases: LeaseTable, consumer: Consumer, stopping: threading.Event):
        self._leases, self._consumer, self._stopping = leases, consumer, stopping
        self._repeats = Repeats()  # thread-safe
        self._lock = threading.Lock()
        # each with the time that its next try may take, in ms
        self._unloaded: deque[tuple[Assignment, int]] = deque()
        self._threads = 0

    def add(self, assignments: Iterable[Assignment]) -> None:
        """Have the assignments loaded. Raises RuntimeError if the system gives no thread."""
        with self._lock:
            self._unloaded.extend((assignment, _FIRST_TIMEOUT_MS) for assignment in assignments)
            for _ in range(min(_MOST_THREADS - self._threads, len(self._unloaded))):
                threading.Thread(target=self._run, name="loader", daemon=True).start()
                self._threads += 1  # once it runs: it takes the lock first

    def _run(self) -> None:
        while (unloaded := self._next()) is not None:
            assignment, timeout_ms = unloaded
            if assignment.live and not self._load(assignment, timeout_ms):
                self._stopping.wait(0.1)
                with self._lock:  # behind the others: it may be the only one that fails
                    self._unloaded.append((assignment, min(2 * timeout_ms, _LONGEST_TIMEOUT_MS)))

    def _next(self) -> tuple[Assignment, int] | None:
        with self._lock:
            if self._unloaded and not self._stopping.is_set():  # a worker that stops admits nothing
                return self._unloaded.popleft()
            self._threads -= 1  # with the same lock: what is added from now on begins a new thread
            return None

    def _load(self, assignment: Assignment, timeout_ms: int) -> bool:
        try:
            committed = self._consumer.fresh_committed(assignment.partition, timeout_ms)
        except Exception as error:  # noqa: BLE001 - the loop's edge: a partition must be loaded to be read
            if self._repeats.is_news("load", error):
                log.info("cannot read what is committed for %s: %r", assignment.partition, error)
            return False
        self._leases.load(assignment, committed)
        return True

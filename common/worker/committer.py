"""The one thread that commits: what a job publishes and the offset it consumed, in one transaction.

Job threads ask and wait. This thread takes what is asked for in batches (commit_queue.py), and brings each
batch to its end (batch_commit.py: the order of the steps, and the reason for each).
"""

import threading
import time
from collections.abc import Callable, Sequence

from common.jobs.outcome import nothing
from common.kafka.records import Message
from common.kafka.transaction import TransactionalProducer
from common.observability.repeats import Repeats
from common.worker.batch_commit import Batch, BatchCommit, Group
from common.worker.commit_queue import CommitQueue
from common.worker.commit_request import CommitRequest, CommitResult
from common.worker.committed_state import Step
from common.worker.lease import Lease
from common.worker.lease_table import LeaseTable
from common.worker.pace import PACE, Pace
from common.worker.producer_slot import ProducerSlot


class Committer:
    """Commits attempts and results for every job thread, several that are ready in one transaction.

    Any thread may call the methods. All fields are constant; what they hold is thread-safe or says its owner.
    """

    def __init__(
        self,
        leases: LeaseTable,
        group: Callable[[], Group],
        make_producer: Callable[[], TransactionalProducer],
        on_fatal: Callable[[BaseException], None],
        pace: Pace = PACE,
        max_batch: int = 8,
    ):
        """`group` and `make_producer` are called anew whenever one is needed: both get replaced."""
        self._group = group
        self._on_fatal = on_fatal
        self._pace = pace
        self._requests = CommitQueue(max_batch)
        self._stopping = threading.Event()
        repeats = Repeats()
        self._producers = ProducerSlot(make_producer, self._stopping, repeats)
        self._batches = BatchCommit(
            leases, group, self._requests, self._producers, self._stopping, repeats, pace
        )
        self._thread = threading.Thread(target=self._run, name="committer", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """Finish what was asked for already, then end the producer."""
        self._requests.close()
        self._thread.join(timeout_s)
        self._stopping.set()  # past the timeout: an outage must not hold up the end of the process

    def begin(self, lease: Lease) -> bool:
        """Commit one more attempt of the record. False: the lease is lost, do not start."""
        return self._ask(CommitRequest(Step.BEGIN, lease)) is CommitResult.COMMITTED

    def finish(
        self, lease: Lease, messages: Sequence[Message], undo: Callable[[], None] = nothing
    ) -> CommitResult:
        """Publish the messages and commit the record as done. Waits while the lease holds.

        After UNKNOWN `undo` is called, should it turn out later that nothing was committed. Raises
        Unpublishable: nothing is committed, and the lease holds for other messages.
        """
        request = CommitRequest(Step.FINISH, lease, messages, undo=undo)
        # Before the request is put: from then on the record may be done without our knowing, and must not be
        # handed back.
        lease.result_answered = request.answered
        return self._ask(request)

    def hand_back(self, lease: Lease) -> None:
        """Take back an attempt that was stopped in good order: it does not count toward MAX_ATTEMPTS."""
        self._ask(CommitRequest(Step.HAND_BACK, lease))

    def resume(self, lease: Lease) -> bool:
        """Let an attempt that was handed back count again. False: the lease is lost, do not go on."""
        return self._ask(CommitRequest(Step.RESUME, lease)) is CommitResult.COMMITTED

    def set_aside(self, lease: Lease, messages: Sequence[Message]) -> CommitResult:
        """Take back an attempt whose record waits for a place, and publish `messages` with that."""
        return self._ask(CommitRequest(Step.HAND_BACK, lease, messages))

    def end_revoked(self, leases: Sequence[Lease], generation: int, timeout_s: float) -> None:
        """Before the group moves on from `generation`, wait for results and hand the other attempts back.

        Nobody else can have their partitions in this generation. In the next generation the broker refuses
        the commit. Takes at most `timeout_s`.
        """
        answers: list[threading.Event] = []
        for lease in leases:
            answered = lease.result_answered
            if answered is None:
                request = CommitRequest(Step.HAND_BACK, lease, generation=generation)
                self._requests.put(request)
                answered = request.answered
            answers.append(answered)
        deadline_s = time.monotonic() + timeout_s
        for answered in answers:
            answered.wait(max(0.0, deadline_s - time.monotonic()))

    @property
    def ready(self) -> bool:
        """Return whether there is a producer, so that requests can be committed."""
        return self._producers.is_filled

    def _ask(self, request: CommitRequest) -> CommitResult:
        self._requests.put(request)
        # A transaction waits for a broker that is away without limit, and nobody reads a request that comes
        # after the thread's end. No job may wait longer than there is somebody to answer it.
        while not request.answered.wait(self._pace.commit_tick_s):
            if self._stopping.is_set() or not self._thread.is_alive():
                break
            if not request.permitted(self._group().group_metadata().generation_id):
                request.answered.wait(self._pace.lost_grace_s)
                break
        return request.leave()

    def _run(self) -> None:
        try:
            self._producers.replace()
            while batch := self._requests.next_batch():
                self._batches.run(Batch(batch))
            self._producers.empty()
        except Exception as error:  # noqa: BLE001 - the loop's edge: without this thread no job can end
            self._on_fatal(error)

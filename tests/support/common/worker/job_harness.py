"""Single jobs on their threads, with a committer that has no broker."""

import threading

from common.kafka.records import Message
from common.kafka.transaction import Unpublishable
from common.worker.commit_request import CommitRequest, CommitResult
from common.worker.committed_state import CommittedState, Step
from common.worker.job_thread import JobThread, OnOutcome
from common.worker.lease_table import LeaseTable
from tests.support.common.worker.fakes import FakeHandler, leased, loaded, partition, rules
from tests.support.waiting import wait_for


class Ledger:
    """A committer without a broker. `refuse` names the messages that Kafka never takes."""

    def __init__(self, table: LeaseTable, refuse=lambda message: False):
        self.table, self.refuse = table, refuse
        self.published: list[Message] = []

    def begin(self, lease) -> bool:
        return self._commit(Step.BEGIN, lease)

    def finish(self, lease, messages, undo=None) -> CommitResult:
        if any(map(self.refuse, messages)):
            raise Unpublishable("too large")
        if not self._commit(Step.FINISH, lease):
            return CommitResult.NOT_COMMITTED
        self.published += messages
        return CommitResult.COMMITTED

    def hand_back(self, lease) -> None:
        self._commit(Step.HAND_BACK, lease)

    def resume(self, lease) -> bool:
        return self._commit(Step.RESUME, lease)

    def set_aside(self, lease, messages) -> CommitResult:
        if not self._commit(Step.HAND_BACK, lease):
            return CommitResult.NOT_COMMITTED
        self.published += messages
        return CommitResult.COMMITTED

    def _commit(self, step: Step, lease) -> bool:
        if not CommitRequest(step, lease).permitted(1):
            return False
        self.table.apply([(step, lease)])
        return True


class Desk:
    """Runs single jobs on a partition whose first record may have been begun before."""

    def __init__(
        self,
        attempts_before: int = 0,
        refuse=lambda message: False,
        on_outcome: OnOutcome = lambda outcome, done: None,
    ):
        self.on_outcome = on_outcome
        self.table = LeaseTable(slots=2)
        begun = CommittedState(1, {0: attempts_before}).encode() if attempts_before else None
        self.assignment = loaded(self.table, committed=begun)
        self.ledger = Ledger(self.table, refuse)

    def run(self, handler: FakeHandler, before_start=lambda lease: None) -> list[Message]:
        """What the job published; asserts that it ended and left its slot."""
        lease = leased(self.table, 0)
        before_start(lease)
        changed = threading.Event()
        JobThread(lease, handler, self.ledger, self.table, rules(), changed.set, self.on_outcome).start()
        wait_for(lambda: self.table.running_count == 0, 20, "the job's end")
        assert changed.is_set()
        return self.ledger.published

    @property
    def done(self) -> bool:
        return self.assignment.committed_state.is_done(0)

    @property
    def will_be_read_again(self) -> bool:
        return self.table.wanted({partition()}).seeks == {partition(): 0}


def raising(error: BaseException):
    def run(record, context):
        raise error

    return run


def returning(outcome):
    return lambda record, context: outcome

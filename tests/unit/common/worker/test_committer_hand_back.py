"""The committer and attempts that were stopped: what is handed back, and what is not."""

import pytest
from kafka.coordinator.base import ConsumerGroupMetadata
from kafka.errors import KafkaTimeoutError

from common.jobs.outcome import Done
from common.worker.commit_request import CommitResult
from common.worker.committed_state import CommittedState
from common.worker.job_thread import JobThread
from tests.support.common.worker.committer_harness import RESULT, Gate
from tests.support.common.worker.fakes import FakeHandler, InThread, leased, partition, rules
from tests.support.waiting import wait_for


def test_a_stopped_attempt_is_handed_back_although_its_job_may_publish_nothing_more(harness):
    b = harness()
    lease = b.begun(4)
    b.table.cancel_all()
    b.committer.hand_back(lease)
    assert (b.committed.offset, b.committed.counted_attempts(4)) == (4, 0)
    assert b.committer.finish(lease, (RESULT,)) is CommitResult.NOT_COMMITTED
    assert b.broker.messages == []


def test_earlier_attempts_are_not_handed_back_with_it(harness):
    b = harness()
    b.begun(4)
    lease = b.assignment.leases[4]
    assert b.committer.begin(lease)
    b.table.cancel_all()
    b.committer.hand_back(lease)
    assert b.committed.counted_attempts(4) == 1


def test_an_attempt_is_handed_back_once_however_often_its_transaction_fails(harness):
    b = harness()
    lease = b.begun()
    assert b.committer.begin(lease)
    b.table.cancel_all()
    b.script.next_time(committed=KafkaTimeoutError())
    b.committer.hand_back(lease)
    assert b.committed.counted_attempts(0) == b.table.counted_attempts(lease) == 1


def crashed_before(b, deaths: int):
    """A record whose earlier attempts ended in crashes, leased and not begun here."""
    b.table.load(b.assignment, CommittedState(1, {0: deaths}).encode())
    b.table.wanted({partition()})
    return leased(b.table, 0)


@pytest.mark.parametrize("revoked", [True, False])
@pytest.mark.parametrize("steps", ["", "begin back", "begin back resume back", "begin back begin back back"])
def test_what_counts_are_the_crashes_however_often_an_attempt_is_handed_back(harness, steps, revoked):
    b = harness()
    lease = crashed_before(b, deaths=2)
    calls = {"begin": b.committer.begin, "back": b.committer.hand_back, "resume": b.committer.resume}
    for step in steps.split():
        calls[step](lease)
    if revoked:
        b.committer.end_revoked(b.table.drop(), 1, 10)
    else:
        b.table.cancel_all()
        b.committer.hand_back(lease)
    assert b.committed.counted_attempts(0) == 2


def test_a_resume_of_an_attempt_that_still_counts_takes_no_earlier_hand_back_away(harness):
    b = harness()
    lease = crashed_before(b, deaths=1)
    assert b.committer.begin(lease)
    b.committer.hand_back(lease)
    assert b.committer.begin(lease)
    assert b.committer.resume(lease)
    assert b.committed.counted_attempts(0) == 2


def test_an_attempt_that_a_stop_kept_from_its_beginning_does_not_count(harness):
    """The broker has it, and its worker has not heard of that."""

    def unclear(step: str) -> None:
        if step == "committed" and lease.live:
            b.table.cancel_all()
            raise KafkaTimeoutError

    b = harness(unclear)
    lease = leased(b.table, 0)
    JobThread(lease, FakeHandler(lambda *_: Done()), b.committer, b.table, rules(), lambda: None).start()
    wait_for(lambda: b.table.running_count == 0, 20, "the job's end")
    assert b.broker.transactions
    assert b.committed.counted_attempts(0) == 0


def test_without_the_partition_nothing_is_handed_back(harness):
    b = harness()
    lease = b.begun()
    b.table.drop()
    transactions = len(b.broker.transactions)
    b.committer.hand_back(lease)
    assert len(b.broker.transactions) == transactions
    assert b.committed.counted_attempts(0) == 1


def test_what_one_job_hands_back_leaves_what_another_finishes_in_one_transaction(harness):
    gate = Gate(closed=False)
    b = harness(gate)
    stopped, other, first = b.begun(0), b.begun(1), b.begun(2)
    gate.close()
    asked = [InThread(b.committer.finish, first, (RESULT,))]
    assert gate.reached.wait(10)
    stopped.cancelled.set()
    asked += [InThread(b.committer.hand_back, stopped), InThread(b.committer.finish, other, (RESULT,))]
    b.wait_for_requests(2)
    gate.open()
    for one in asked:
        one.result()
    assert (b.committed.counted_attempts(0), b.committed.is_done(1), b.committed.offset) == (0, True, 0)


# Partitions that are to move


def move_on(b) -> None:
    b.broker.group = ConsumerGroupMetadata("group", 2, "member-1", "w0")


def test_what_a_move_stopped_is_handed_back_before_the_group_moves_on(harness):
    b = harness()
    b.begun(4)
    b.begun(5)
    b.committer.end_revoked(b.table.drop(), 1, 10)
    assert (b.committed.counted_attempts(4), b.committed.counted_attempts(5), b.committed.offset) == (0, 0, 4)


def test_once_the_group_has_moved_on_nothing_is_handed_back(harness):
    gate = Gate(closed=False)
    b = harness(gate)
    stopped, other = b.begun(4), b.begun(5)
    finish = b.held_finish(gate, other)
    b.table.drop()
    hand_back = InThread(b.committer.end_revoked, [stopped], 1, 10)
    b.wait_for_requests(1)
    move_on(b)
    gate.open()
    finish.result()
    hand_back.result()
    assert b.committed.counted_attempts(4) == 1


def test_a_record_whose_result_was_sent_already_is_not_handed_back(harness):
    b = harness()
    lease = b.begun(4)
    assert b.committer.finish(lease, (RESULT,)) is CommitResult.COMMITTED
    b.committer.end_revoked([lease], 1, 10)
    assert b.committed.is_done(4)


def test_beside_a_result_of_which_nobody_knows_nothing_is_handed_back(harness):
    """It may be done at the broker: the state here, committed, would have it done again."""
    leases = []

    def lose(step: str) -> None:
        if step == "committed" and leases and leases[0].result_asked and leases[0].live:
            b.table.drop()
            raise KafkaTimeoutError

    b = harness(lose)
    leases += [b.begun(4), b.begun(5)]
    assert b.committer.finish(leases[0], (RESULT,)) is CommitResult.UNKNOWN
    b.committer.end_revoked(leases[1:], 1, 10)
    assert b.committed.is_done(4)
    assert b.committed.counted_attempts(5) == 1


def test_nor_beside_one_that_a_stop_has_left_unknown(harness):
    leases = []

    def lose(step: str) -> None:
        if step == "committed" and leases and leases[0].result_asked and leases[0].live:
            b.table.cancel_all()
            raise KafkaTimeoutError

    b = harness(lose)
    leases += [b.begun(4), b.begun(5)]
    assert b.committer.finish(leases[0], (RESULT,)) is CommitResult.UNKNOWN
    b.committer.hand_back(leases[1])
    assert b.committed.is_done(4)


def test_a_result_that_waits_when_its_partition_is_revoked_is_published_before_the_group_moves_on(harness):
    """Refused under the generation before, it would be done again, and its attempt would count."""
    gate = Gate(closed=False)
    b = harness(gate)
    lease = b.begun(4)
    finish = b.held_finish(gate, lease)
    move_on(b)
    revoked = b.table.drop(revoked_in=2)
    waiting = InThread(b.committer.end_revoked, revoked, 2, 10)
    gate.open()
    assert finish.result() is CommitResult.COMMITTED
    waiting.result()
    assert b.broker.messages == [RESULT]
    assert b.committed.is_done(4)


def test_once_the_group_has_moved_on_a_revoked_result_is_not_published(harness):
    gate = Gate(closed=False)
    b = harness(gate)
    lease = b.begun(4)
    finish = b.held_finish(gate, lease)
    b.table.drop(revoked_in=1)
    move_on(b)
    gate.open()
    assert finish.result() is not CommitResult.COMMITTED
    assert b.broker.messages == []


def test_what_a_revoked_job_asks_for_afterwards_is_not_published(harness):
    """An engine may die of the same signal that stops its job."""
    b = harness()
    lease = b.begun(4)
    b.table.drop(revoked_in=1)
    assert b.committer.finish(lease, (RESULT,)) is CommitResult.NOT_COMMITTED
    assert b.broker.messages == []


def test_what_a_stop_had_cancelled_before_is_not_published_when_its_partition_is_revoked(harness):
    gate = Gate(closed=False)
    b = harness(gate)
    other, lease = b.begun(4), b.begun(5)
    holding = b.held_finish(gate, other)
    b.table.cancel_all()
    finish = InThread(b.committer.finish, lease, (RESULT,))
    b.wait_for_requests(1)
    b.table.drop(revoked_in=1)
    gate.open()
    holding.result()
    assert finish.result() is not CommitResult.COMMITTED
    assert not b.committed.is_done(5)

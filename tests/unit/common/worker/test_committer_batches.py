"""The committer and requests that share a transaction."""

import pytest
from kafka.coordinator.base import ConsumerGroupMetadata
from kafka.errors import KafkaTimeoutError, MessageSizeTooLargeError

from common.kafka.records import Message
from common.kafka.transaction import Unpublishable
from common.worker.commit_request import CommitResult
from tests.support.common.worker.committer_harness import RESULT, Gate
from tests.support.common.worker.fakes import InThread, Script, leased

OTHER = Message("results", b"other", b"2")


def asked_while_a_result_is_sent(b, gate: Gate) -> list[InThread]:
    """The result, and beside it an attempt and another result, all waiting."""
    ended, also_ended = b.begun(0), b.begun(1)
    asked = [
        b.held_finish(gate, ended),
        InThread(b.committer.begin, leased(b.table, 2)),
        InThread(b.committer.finish, also_ended, (OTHER,)),
    ]
    b.wait_for_requests(2)
    return asked


@pytest.mark.parametrize(("held_at", "transactions"), [("begin", 1), ("offsets", 2), ("commit", 2)])
def test_attempts_share_a_transaction_until_its_offsets_are_sent(harness, held_at, transactions):
    gate = Gate(at=held_at)
    b = harness(gate)
    first = InThread(b.committer.begin, leased(b.table, 0))
    assert gate.reached.wait(10)
    asked = [InThread(b.committer.begin, leased(b.table, offset)) for offset in range(1, 5)]
    b.wait_for_requests(4)
    gate.open()
    assert all(one.result() for one in (first, *asked))
    assert len(b.broker.transactions) == transactions
    assert all(b.committed.attempts(offset) == 1 for offset in range(5))


def test_what_is_asked_for_while_a_result_is_sent_goes_with_it(harness):
    gate = Gate(at="send")
    b = harness(gate)
    asked = asked_while_a_result_is_sent(b, gate)
    gate.open()
    assert [one.result() for one in asked] == [CommitResult.COMMITTED, True, CommitResult.COMMITTED]
    assert b.broker.transactions[-1] == [RESULT, OTHER]
    assert (b.committed.offset, b.committed.attempts(2)) == (2, 1)


@pytest.mark.parametrize("step", ["offsets", "commit", "committed"])
def test_what_joined_a_transaction_that_failed_is_tried_again_with_it(harness, step):
    gate, script = Gate(at="send"), Script()

    def held_then_broken(at: str) -> None:
        gate(at)
        script(at)

    b = harness(held_then_broken)
    asked = asked_while_a_result_is_sent(b, gate)
    script.next_time(**{step: KafkaTimeoutError()})
    gate.open()
    assert [one.result() for one in asked] == [CommitResult.COMMITTED, True, CommitResult.COMMITTED]
    assert b.broker.messages == [RESULT, OTHER]
    assert (b.committed.offset, b.committed.attempts(2)) == (2, 1)


def test_of_several_that_join_a_refused_one_does_not_stop_the_others(harness):
    gate = Gate(at="send")
    large = Message("results", b"k", b"large")
    b = harness(gate, ack=lambda message: MessageSizeTooLargeError() if message == large else None)
    leases = [b.begun(offset) for offset in range(3)]
    first = InThread(b.committer.finish, leases[0], (RESULT,))
    assert gate.reached.wait(10)
    refused = InThread(b.committer.finish, leases[1], (large,))
    other = InThread(b.committer.finish, leases[2], (OTHER,))
    b.wait_for_requests(2)
    gate.open()
    assert [one.result() for one in (first, other)] == [CommitResult.COMMITTED] * 2
    with pytest.raises(Unpublishable):
        refused.result()
    assert sorted(b.broker.messages, key=str) == sorted([RESULT, OTHER], key=str)


def test_of_several_one_lost_lease_does_not_stop_the_others(harness):
    gate = Gate()
    b = harness(gate)
    first = InThread(b.committer.begin, leased(b.table, 0))
    assert gate.reached.wait(10)
    kept, lost = leased(b.table, 1), leased(b.table, 2)
    asked = [InThread(b.committer.begin, lease) for lease in (kept, lost)]
    b.wait_for_requests(2)
    lost.cancelled.set()
    gate.open()
    assert [one.result() for one in (first, *asked)] == [True, True, False]
    assert b.committed.attempts(2) == 0


def test_what_the_next_generation_hands_back_waits_for_its_own_transaction(harness):
    """Judged by the open one's generation it would not be permitted, and the attempt would count."""
    gate = Gate(closed=False, at="begin")
    b = harness(gate)
    moved, other = b.begun(4), b.begun(5)
    finish = b.held_finish(gate, other)
    b.broker.group = ConsumerGroupMetadata("group", 2, "member-1", "w0")
    b.table.drop()
    hand_back = InThread(b.committer.end_revoked, [moved], 2, 10)
    b.wait_for_requests(1)
    gate.open()
    finish.result()
    hand_back.result()
    assert b.committed.counted_attempts(4) == 0

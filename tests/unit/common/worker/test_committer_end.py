"""The committer's end, and that every job gets its answer."""

import threading

import pytest
from kafka.errors import KafkaTimeoutError

from common.worker.commit_request import CommitResult
from common.worker.lease import Lease
from tests.support.common.worker.committer_harness import RESULT, Gate
from tests.support.common.worker.fakes import FakeProducer, InThread, leased


def test_stop_finishes_what_was_asked_for(harness):
    gate = Gate()
    b = harness(gate)
    first = InThread(b.committer.begin, leased(b.table, 0))
    assert gate.reached.wait(10)
    asked = [InThread(b.committer.begin, leased(b.table, offset)) for offset in (1, 2)]
    b.wait_for_requests(2)
    stopped = InThread(b.committer.stop, 20)
    gate.open()
    stopped.result()
    assert all(one.result() for one in (first, *asked))
    assert b.producers[-1].closed


def test_what_is_asked_after_the_end_is_answered(harness):
    b = harness()
    lease = b.begun()
    b.committer.stop(5)
    assert b.committer.finish(lease, (RESULT,)) is CommitResult.UNKNOWN
    assert b.broker.messages == []


def test_stop_answers_jobs_whose_transaction_hangs_in_the_client(harness):
    gate = Gate(at="offsets")
    b = harness(gate)
    asked = [InThread(b.committer.begin, leased(b.table, offset)) for offset in range(2)]
    assert gate.reached.wait(10)
    b.committer.stop(0.1)
    assert [one.result() for one in asked] == [False, False]
    gate.open()


def test_a_job_whose_lease_ends_while_its_transaction_hangs_is_answered(harness):
    gate = Gate(at="offsets")
    b = harness(gate, lost_grace_s=0.1)
    asked = InThread(b.committer.begin, leased(b.table, 0))
    assert gate.reached.wait(10)
    b.table.drop()
    assert asked.result() is False
    gate.open()


def test_a_job_whose_lease_ends_at_the_very_end_of_its_transaction_still_hears_of_it(harness):
    gate = Gate(closed=False, at="committed")
    b = harness(gate)
    lease = b.begun()
    gate.close()
    asked = InThread(b.committer.finish, lease, (RESULT,))
    assert gate.reached.wait(10)
    lost_seen = threading.Event()

    class Watched(Lease):
        @property
        def live(self) -> bool:
            if not super().live:
                lost_seen.set()
            return super().live

    lease.__class__ = Watched
    b.table.drop()
    assert lost_seen.wait(10)
    gate.open()
    assert asked.result() is CommitResult.COMMITTED


@pytest.mark.parametrize("fails", [True, False])
def test_what_a_job_that_no_longer_waits_has_left_is_undone_once_it_is_known_not_to_be_committed(
    harness, fails
):
    gate = Gate(closed=False, at="offsets")

    def script(step: str) -> None:
        gate(step)
        if fails and gate.reached.is_set() and step == "offsets":
            raise KafkaTimeoutError("the broker was away")

    b = harness(script, lost_grace_s=0.1)
    lease, undone = b.begun(), threading.Event()
    gate.close()
    asked = InThread(b.committer.finish, lease, (RESULT,), undone.set)
    assert gate.reached.wait(10)
    b.table.drop()
    assert asked.result() is CommitResult.UNKNOWN
    assert not undone.is_set()
    gate.open()
    if fails:
        assert undone.wait(10)
        assert b.broker.messages == []
    else:
        b.committer.stop(10)
        assert not undone.is_set()
        assert b.broker.messages == [RESULT]


def test_stop_answers_jobs_that_wait_for_a_producer(harness):
    def refuse() -> FakeProducer:
        raise KafkaTimeoutError

    b = harness(make=refuse)
    asked = InThread(b.committer.begin, leased(b.table, 0))
    b.committer.stop(0.1)
    assert asked.result() is False

"""The committer: what is published once, and what is tried again."""

import threading

import pytest
from kafka.coordinator.base import ConsumerGroupMetadata
from kafka.errors import (
    FencedInstanceIdError,
    IllegalGenerationError,
    KafkaConnectionError,
    KafkaError,
    KafkaTimeoutError,
)

from common.kafka.fencing import Fenced
from common.worker.commit_request import CommitResult
from tests.support.common.worker.committer_harness import RESULT
from tests.support.common.worker.fakes import FakeBroker, FakeProducer, Script, leased
from tests.support.waiting import wait_for


def test_an_attempt_is_committed_before_the_job_starts(harness):
    b = harness()
    lease = b.begun(4)
    assert (b.committed.offset, b.committed.attempts(4)) == (4, 1)
    assert b.table.attempts(lease) == 1
    assert b.broker.messages == []


def test_a_result_and_its_offset_go_together(harness):
    b = harness()
    assert b.committer.finish(b.begun(4), (RESULT,)) is CommitResult.COMMITTED
    assert b.broker.transactions[-1] == [RESULT]
    assert b.committed.is_done(4)
    assert b.committed.offset == 5


@pytest.mark.parametrize("step", ["begin", "send", "offsets", "commit"])
@pytest.mark.parametrize("error", [KafkaTimeoutError(), AssertionError(), RuntimeError("inside the client")])
def test_a_transaction_that_failed_is_tried_again_with_a_new_producer(harness, step, error):
    b = harness()
    lease = b.begun()
    b.script.next_time(**{step: error})
    assert b.committer.finish(lease, (RESULT,)) is CommitResult.COMMITTED
    assert b.broker.messages == [RESULT]
    assert len(b.producers) == 2
    assert b.producers[0].closed
    assert not b.fatal


def test_a_commit_that_raised_and_did_commit_is_not_published_again(harness):
    b = harness()
    lease = b.begun()
    b.script.next_time(committed=KafkaTimeoutError())
    assert b.committer.finish(lease, (RESULT,)) is CommitResult.COMMITTED
    assert b.broker.messages == [RESULT]
    assert b.assignment.committed_state.is_done(0)


def test_an_attempt_that_did_commit_unseen_counts_once(harness):
    b = harness(Script(committed=[KafkaTimeoutError()]))
    lease = b.begun()
    assert b.table.attempts(lease) == b.committed.attempts(0) == 1


def test_a_message_that_was_not_acknowledged_is_not_committed(harness):
    answers = [KafkaTimeoutError(), None]
    b = harness(ack=lambda message: answers.pop(0))
    assert b.committer.finish(b.begun(), (RESULT,)) is CommitResult.COMMITTED
    assert b.broker.messages == [RESULT]
    assert b.script.count("committed") == 2  # the attempt's, and one of the two for the result


def test_what_is_committed_cannot_be_read_and_nothing_is_published_until_it_can(harness):
    class Deaf(FakeBroker):
        def fresh_committed(self, partition, timeout_ms):
            found = super().fresh_committed(partition, timeout_ms)
            if self.reads < 3:
                raise KafkaTimeoutError
            return found

    b = harness()
    b.broker.__class__ = Deaf
    lease = b.begun()
    b.script.next_time(committed=KafkaTimeoutError())
    assert b.committer.finish(lease, (RESULT,)) is CommitResult.COMMITTED
    assert b.broker.reads == 3
    assert b.broker.messages == [RESULT]


def test_a_lost_lease_publishes_nothing(harness):
    b = harness()
    lease = b.begun()
    b.table.drop()
    assert b.committer.finish(lease, (RESULT,)) is CommitResult.NOT_COMMITTED
    assert b.broker.messages == []


@pytest.mark.parametrize("step", ["begin", "send", "offsets", "commit"])
def test_a_lease_lost_while_its_transaction_fails_is_not_tried_again(harness, step):
    def lose(at: str) -> None:
        if at == step and b.table.running_count and armed.is_set():
            b.table.drop()
            raise KafkaConnectionError

    armed = threading.Event()
    b = harness(lose)
    lease = b.begun()
    armed.set()
    # Only the commit itself leaves anything unknown.
    end = CommitResult.UNKNOWN if step == "commit" else CommitResult.NOT_COMMITTED
    assert b.committer.finish(lease, (RESULT,)) is end
    assert b.broker.messages == []


def test_a_generation_that_changed_after_the_lease_check_is_refused_by_the_broker(harness):
    def move_on(step: str) -> None:
        if step == "begin" and armed.is_set():
            armed.clear()
            b.broker.group = ConsumerGroupMetadata("group", 2, "member-1", "w0")

    armed = threading.Event()
    b = harness(move_on)
    lease = b.begun()
    armed.set()
    assert (
        b.committer.finish(lease, (RESULT,)) is CommitResult.COMMITTED
    )  # the lease held: tried again under the new generation
    assert b.broker.messages == [RESULT]
    assert len(b.producers) == 2


@pytest.mark.parametrize("joining", [(-1, ""), (-1, "member-1"), (2, "")])
def test_nothing_is_committed_without_a_generation(harness, joining):
    class Rejoining(FakeBroker):
        """Out of the group for the next few times it is asked."""

        asked = 0

        def group_metadata(self):
            self.asked += 1
            return ConsumerGroupMetadata("group", *joining, "w0") if self.asked < 5 else self.group

    b = harness()
    lease = b.begun()
    b.broker.__class__ = Rejoining
    assert b.committer.finish(lease, (RESULT,)) is CommitResult.COMMITTED
    assert b.broker.messages == [RESULT]
    assert set(b.broker.generations) == {1}


def test_fenced_with_our_current_member_id_it_is_another_worker(harness):
    b = harness(Script(offsets=[FencedInstanceIdError()]))
    lease = leased(b.table, 0)
    assert not b.committer.begin(lease)
    wait_for(lambda: b.fatal, 10, "fatal error")
    assert isinstance(b.fatal[0], Fenced)


def test_fenced_by_a_broker_that_may_have_forgotten_us_it_is_tried_again(harness):
    b = harness(Script(offsets=[FencedInstanceIdError()]))
    b.broker.forgets = True
    assert b.committer.begin(leased(b.table, 0))
    assert not b.fatal


@pytest.mark.parametrize("error", [FencedInstanceIdError(), KafkaError("FencedInstanceIdError: old")])
def test_fenced_with_an_older_member_id_it_was_our_own_rejoin(harness, error):
    def rejoin(step: str) -> None:
        if step == "offsets" and not done:
            done.append(step)
            b.broker.group = ConsumerGroupMetadata("group", 2, "member-2", "w0")
            raise error

    done: list[str] = []
    b = harness(rejoin)
    assert b.committer.begin(leased(b.table, 0))
    assert not b.fatal


def test_an_illegal_generation_is_no_fencing(harness):
    b = harness(Script(offsets=[IllegalGenerationError()]))
    assert b.committer.begin(leased(b.table, 0))
    assert not b.fatal


def test_a_producer_that_cannot_be_made_is_tried_again(harness):
    tries: list[int] = []

    def make() -> FakeProducer:
        tries.append(1)
        if len(tries) < 3:
            raise KafkaTimeoutError
        return b.make_producer()

    b = harness(make=lambda: make())
    assert b.committer.begin(leased(b.table, 0))
    assert len(tries) == 3
    assert b.committer.ready


def test_without_a_producer_the_committer_is_not_ready(harness):
    def refuse() -> FakeProducer:
        raise KafkaTimeoutError

    b = harness(make=refuse)
    assert not b.committer.ready
    b.committer.stop(0.01)


def test_a_producer_that_breaks_in_the_making_is_fatal_and_jobs_are_answered(harness):
    def broken() -> FakeProducer:
        raise ValueError("a bad option")

    b = harness(make=broken)
    assert not b.committer.begin(leased(b.table, 0))
    assert isinstance(b.fatal[0], ValueError)

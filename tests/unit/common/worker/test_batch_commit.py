"""The states of one batch on its way to an answer. The committer around them: test_committer*.py."""

import threading

import pytest
from kafka.errors import KafkaError

from common.kafka.records import Message
from common.kafka.transaction import TransactionalProducer
from common.observability.repeats import Repeats
from common.worker.batch_commit import Batch, BatchCommit, BatchState
from common.worker.commit_queue import CommitQueue
from common.worker.commit_request import CommitRequest, CommitResult
from common.worker.committed_state import Step
from common.worker.lease_table import LeaseTable
from common.worker.producer_slot import ProducerSlot
from tests.support.common.worker.fakes import FakeBroker, FakeProducer, Script, leased, loaded, partition

RESULT = Message("results", b"k", b"1")
UNCOMMITTED, UNCLEAR, COMMITTED, ANSWERED = BatchState


class Steps:
    """Takes one batch step by step through its states."""

    def __init__(self, script: Script):
        self.broker, self.table, self.stopping = FakeBroker(), LeaseTable(slots=2), threading.Event()
        loaded(self.table)
        self.request = CommitRequest(Step.FINISH, leased(self.table, 0), (RESULT,))
        producers = ProducerSlot(
            lambda: TransactionalProducer(FakeProducer(self.broker, script)), self.stopping, Repeats()
        )
        producers.replace()
        self._commits = BatchCommit(
            self.table, lambda: self.broker, CommitQueue(8, 0.0), producers, self.stopping, Repeats()
        )
        self.batch = Batch([self.request])

    def step(self) -> BatchState:
        self.batch.state = self._commits._next_state(self.batch)
        return self.batch.state


def test_a_batch_that_is_committed_is_answered_after_the_transaction():
    steps = Steps(Script())
    assert steps.step() is COMMITTED
    assert not steps.request.answered.is_set()
    assert steps.step() is ANSWERED
    assert steps.request.result is CommitResult.COMMITTED


def test_what_fails_after_the_commit_is_never_sent_again(monkeypatch):
    steps = Steps(Script())
    assert steps.step() is COMMITTED
    monkeypatch.setattr(steps.table, "apply", lambda done: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        steps.step()
    assert len(steps.broker.transactions) == 1


def test_a_batch_that_fails_before_its_commit_is_sent_again():
    steps = Steps(Script(offsets=[KafkaError("away")]))
    assert [steps.step(), steps.step(), steps.step()] == [UNCOMMITTED, COMMITTED, ANSWERED]


@pytest.mark.parametrize("step", ["commit", "committed"])
def test_after_an_unclear_commit_the_committed_state_is_read_before_anything_is_sent(step):
    steps = Steps(Script(**{step: [KafkaError("away")]}))
    assert steps.step() is UNCLEAR
    assert steps.step() is UNCOMMITTED
    assert steps.broker.reads == 1
    assert steps.request.answered.is_set() == (step == "committed")
    while steps.step() is not ANSWERED:
        pass
    assert steps.request.result is CommitResult.COMMITTED
    assert len(steps.broker.transactions) == 1


def test_an_unclear_batch_that_cannot_be_read_stays_unclear(monkeypatch):
    steps = Steps(Script(commit=[KafkaError("away")]))
    assert steps.step() is UNCLEAR

    def refuse(*arguments):
        raise KafkaError("away")

    monkeypatch.setattr(steps.broker, "fresh_committed", refuse)
    assert [steps.step(), steps.step()] == [UNCLEAR, UNCLEAR]


@pytest.mark.parametrize("step", ["offsets", "commit"])
def test_a_lost_lease_is_answered_with_what_is_known(step):
    steps = Steps(Script(**{step: [KafkaError("away")]}))
    steps.step()
    steps.table.drop([partition()])
    assert steps.step() is ANSWERED
    unclear = step == "commit"
    assert steps.request.result is (CommitResult.UNKNOWN if unclear else CommitResult.NOT_COMMITTED)
    assert steps.request.lease.assignment.may_be_behind_broker == unclear


def test_a_worker_that_stops_answers_without_knowing():
    steps = Steps(Script())
    steps.stopping.set()
    assert steps.step() is ANSWERED
    assert steps.request.result is CommitResult.UNKNOWN


def test_without_a_generation_nothing_is_sent():
    steps = Steps(Script())
    member = steps.broker.group
    steps.broker.group = type(member)(member.group_id, -1, "", member.group_instance_id)
    assert [steps.step(), steps.step()] == [UNCOMMITTED, UNCOMMITTED]
    assert steps.broker.transactions == []
    steps.broker.group = member
    assert steps.step() is COMMITTED

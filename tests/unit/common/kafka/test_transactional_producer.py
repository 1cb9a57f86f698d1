"""A transactional producer in front of a broker in memory: order, refusals, and failures."""

import pytest
from kafka.errors import KafkaError, MessageSizeTooLargeError
from kafka.structs import OffsetAndMetadata

from common.kafka.records import Message
from common.kafka.transaction import TransactionalProducer, UnclearEnd, Unpublishable
from tests.support.common.worker.fakes import FakeBroker, FakeProducer, Script, partition

FIRST, SECOND = Message("results", b"k", b"1"), Message("results", b"k", b"2")
OFFSETS = {partition(): OffsetAndMetadata(1, "", -1)}


@pytest.fixture
def broker() -> FakeBroker:
    return FakeBroker()


def commit(broker: FakeBroker, client: FakeProducer) -> None:
    TransactionalProducer(client).commit(iter([[FIRST], [SECOND]]), lambda: OFFSETS, broker.group)


def test_messages_of_all_rounds_and_offsets_are_committed_together(broker):
    script = Script()
    commit(broker, FakeProducer(broker, script))
    assert broker.transactions == [[FIRST, SECOND]]
    assert broker.offsets == OFFSETS
    assert script.steps == ["begin", "send", "send", "offsets", "commit", "committed"]


def test_a_failure_before_the_commit_is_certain_and_one_of_the_commit_is_not(broker):
    with pytest.raises(KafkaError, match="away"):
        commit(broker, FakeProducer(broker, Script(offsets=[KafkaError("away")])))
    assert broker.transactions == []
    with pytest.raises(UnclearEnd, match="away"):
        commit(broker, FakeProducer(broker, Script(commit=[KafkaError("away")])))


def test_a_message_that_is_not_acknowledged_ends_the_transaction_before_its_commit(broker):
    script = Script()
    with pytest.raises(KafkaError, match="lost"):
        commit(broker, FakeProducer(broker, script, lambda message: KafkaError("lost")))
    assert "commit" not in script.steps


@pytest.mark.parametrize("messages", [[FIRST, SECOND], [SECOND, FIRST]], ids=["first", "second"])
def test_a_refused_message_is_the_reason_even_if_a_later_step_raises_something_else(broker, messages):
    client = FakeProducer(
        broker,
        Script(send=[None, KafkaError("the transaction has failed")] if messages[0] == FIRST else []),
        lambda message: MessageSizeTooLargeError("huge") if message == FIRST else None,
    )
    with pytest.raises(Unpublishable, match="huge"):
        TransactionalProducer(client).commit([messages], lambda: OFFSETS, broker.group)
    assert broker.transactions == []


def test_messages_alone_are_committed_once_each_is_acknowledged(broker):
    TransactionalProducer(FakeProducer(broker)).publish([FIRST, SECOND])
    assert (broker.transactions, broker.offsets) == ([[FIRST, SECOND]], {})
    script = Script()
    with pytest.raises(KafkaError, match="lost"):
        TransactionalProducer(FakeProducer(broker, script, lambda message: KafkaError("lost"))).publish(
            [FIRST]
        )
    assert "commit" not in script.steps

"""The faults of kafka-python 3.0.12 in transactions, each beside our rule against it.

Like `test_kafka_faults.py`, which has those of the consumer.
"""

import threading

import pytest
from kafka import KafkaProducer, TopicPartition
from kafka.errors import KafkaError
from kafka.structs import OffsetAndMetadata

from common.kafka import clients
from common.kafka.guarded_consumer import GuardedConsumer
from common.kafka.records import Message, Record
from common.kafka.transaction import TransactionalProducer
from common.worker.commit_request import CommitResult
from common.worker.committer import Committer
from common.worker.lease_table import LeaseTable
from common.worker.pace import Pace
from tests.support.common.kafka.group import Lab, Polling
from tests.support.common.kafka.members import member
from tests.support.waiting import wait_for


def offsets(partition: TopicPartition, offset: int) -> dict[TopicPartition, OffsetAndMetadata]:
    return {partition: OffsetAndMetadata(offset, "", -1)}


def joined(lab: Lab, closing) -> GuardedConsumer:
    """A member of the group that is being polled."""
    consumer = member(lab)
    consumer.subscribe([lab.settings.kafka_task_topic])
    closing(Polling(consumer))
    wait_for(lambda: len(consumer.assignment()) == lab.partition_count, 30, "assignment")
    return consumer


def leased(lab: Lab, table: LeaseTable, partition: int):
    """A lease on record 0 of a partition that the table has."""
    assignment = table.assign([lab.partition(partition)])[0]
    table.load(assignment, None)
    table.wanted({lab.partition(partition)})
    return table.admit(Record(lab.settings.kafka_task_topic, partition, 0, b"k", b"{}"))


class _StaleOnce:
    """The consumer's group, whose first snapshot is of an earlier generation."""

    def __init__(self, consumer: GuardedConsumer):
        self._consumer = consumer
        self.stale_given = threading.Event()

    def group_metadata(self):
        current = self._consumer.group_metadata()
        if self.stale_given.is_set():
            return current
        self.stale_given.set()
        return type(current)(
            group_id=current.group_id,
            generation_id=current.generation_id + 7,
            member_id=current.member_id,
            group_instance_id=current.group_instance_id,
        )

    def fresh_committed(self, partition, timeout_ms):
        return self._consumer.fresh_committed(partition, timeout_ms)

    def may_be_forgotten(self):
        return self._consumer.may_be_forgotten()


class TestRow7OffsetsOfARefusedTransactionStayInTheProducer:
    def test_the_bare_client_commits_them_with_its_next_transaction(self, lab, closing):
        consumer = joined(lab, closing)
        good = consumer.group_metadata()
        bad = type(good)(
            group_id=good.group_id, generation_id=good.generation_id + 7, member_id=good.member_id
        )
        producer = closing(clients.transactional_producer(lab.settings, "row7-bare"))
        producer.begin_transaction()
        with pytest.raises(KafkaError):
            producer.send_offsets_to_transaction(offsets(lab.partition(0), 77), bad)
        producer.abort_transaction()
        producer.begin_transaction()
        producer.send_offsets_to_transaction(offsets(lab.partition(1), 1), good)
        producer.commit_transaction()
        assert lab.committed(0).offset == 77

    def test_ours_replaces_the_producer(self, lab, closing):
        consumer = joined(lab, closing)
        table = LeaseTable(slots=2)
        lost, kept = leased(lab, table, 0), leased(lab, table, 1)
        group = _StaleOnce(consumer)
        made = []

        def make_producer():
            if made:
                # The refused attempt's lease ends before it can be tried again.
                table.drop([lab.partition(0)])
            made.append(clients.transactional_producer(lab.settings, "row7-ours"))
            return TransactionalProducer(made[-1])

        # Whoever waits for the answer would ask the group too, and be told the stale generation.
        patient = Pace(commit_tick_s=60)
        committer = Committer(table, lambda: group, make_producer, pytest.fail, patient, max_batch=1)
        committer.start()
        assert not committer.begin(lost)
        assert committer.begin(kept)
        committer.stop(10)
        assert len(made) == 2
        assert lab.committed(0) is None
        assert lab.committed(1).metadata == '{"n":1,"a":{"0":1}}'


class _Frozen:
    """A producer whose process stands still late in a transaction, with a message not sent yet.

    The first message has gone out; a later one goes when somebody asks for its acknowledgement, or else
    with the commit.
    """

    def __init__(self, producer: KafkaProducer, freeze_s: float):
        self._producer, self._freeze_s = producer, freeze_s
        self._first = None
        self._late: list[_LateSend] = []

    def __getattr__(self, name):
        return getattr(self._producer, name)

    def send(self, *args, **kwargs):
        if self._first is None:
            self._first = self._producer.send(*args, **kwargs)
            self._first.get(timeout=10)
            return self._first
        self._late.append(_LateSend(lambda: self._producer.send(*args, **kwargs)))
        return self._late[-1]

    def send_offsets_to_transaction(self, *args) -> None:
        self._producer.send_offsets_to_transaction(*args)
        # What is provoked is the broker's own time-out of the transaction, so a time must pass.
        threading.Event().wait(self._freeze_s)

    def commit_transaction(self) -> None:
        for late in self._late:
            late.send()
        self._producer.commit_transaction()


class _LateSend:
    def __init__(self, send):
        self._send, self._future = send, None

    def send(self):
        self._future = self._future or self._send()
        return self._future

    def get(self, timeout):
        return self.send().get(timeout=timeout)


class TestRow8CommitCanReturnAsIfAllWereWellAlthoughTheMessageIsGone:
    """The message waits in the client until the broker has ended the transaction by its time-out."""

    TIMEOUT_MS = 1000
    FREEZE_S = 6.0

    def producer(self, lab: Lab) -> KafkaProducer:
        return clients.transactional_producer(lab.settings, "row8", transaction_timeout_ms=self.TIMEOUT_MS)

    @pytest.mark.slow
    def test_the_bare_client_says_committed_and_the_message_is_gone(self, lab, closing):
        metadata = joined(lab, closing).group_metadata()
        producer = _Frozen(closing(self.producer(lab)), self.FREEZE_S)
        producer.begin_transaction()
        producer.send(lab.settings.kafka_result_topic, b"1", partition=0)
        producer.send(lab.settings.kafka_result_topic, b"2", partition=0)
        producer.send_offsets_to_transaction(offsets(lab.partition(0), 1), metadata)
        producer.commit_transaction()
        assert lab.results() == []

    @pytest.mark.slow
    def test_ours_publishes_it_once_all_the_same(self, lab, closing):
        consumer = joined(lab, closing)
        table = LeaseTable(slots=1)
        lease = leased(lab, table, 0)
        made = []

        def make_producer():
            producer = self.producer(lab)
            made.append(producer)
            return TransactionalProducer(_Frozen(producer, self.FREEZE_S) if len(made) == 1 else producer)

        committer = Committer(table, lambda: consumer, make_producer, pytest.fail)
        committer.start()
        messages = [Message(lab.settings.kafka_result_topic, b"k", value) for value in (b"1", b"2")]
        assert committer.finish(lease, messages) is CommitResult.COMMITTED
        committer.stop(10)
        assert len(made) == 2
        assert lab.results() == [1, 2]
        assert lab.committed(0).offset == 1

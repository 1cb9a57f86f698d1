"""The faults of kafka-python 3.0.12's consumer that would lose or double jobs, each beside our rule.

Each test shows the fault on the bare client first: when that part fails after an upgrade, the client is
mended and the guard can go. Numbers are those of KAFKA_CONSUMER.md. Rows 3, 4, 6, 9, 10 and 12 to 16 get
theirs with the crash tests; 7 and 8 are in `test_kafka_transactions.py`.
"""

import threading

from kafka import KafkaConsumer, TopicPartition
from kafka.consumer.subscription_state import ConsumerRebalanceListener
from kafka.coordinator.assignors.range import RangePartitionAssignor

from common.jobs.outcome import Done
from common.kafka import clients
from common.kafka.consumer import Consumer
from common.kafka.guarded_consumer import GuardedConsumer
from common.kafka.records import Record
from common.kafka.transaction import TransactionalProducer
from common.worker.worker import Worker, WorkerConfig
from tests.support.common.kafka.group import Lab, Polling
from tests.support.common.kafka.members import bare_member, dynamic_member, member, member_options
from tests.support.common.worker.fakes import FakeHandler, rules
from tests.support.waiting import wait_for


class TestRow1APartitionPausedAloneIsNeverReadAgain:
    def read_after_pause(self, lab: Lab, consumer: KafkaConsumer, patience: int) -> int:
        """Pauses a partition after a record, reads the other to its end: records seen after resume."""
        lab.feed(range(10))
        consumer.subscribe([lab.settings.kafka_task_topic])
        first = wait_for(lambda: consumer.poll(timeout_ms=1000), 30, "first record")
        partition = next(iter(first))
        consumer.pause(partition)
        others = 0
        while others < 5:
            others += sum(len(batch) for batch in consumer.poll(timeout_ms=200).values())
        consumer.poll(timeout_ms=500)
        consumer.resume(partition)
        polls = (consumer.poll(timeout_ms=200) for _ in range(patience))
        return sum(len(batch) for polled in polls for batch in polled.values())

    def test_the_bare_client_does_not_read_it(self, lab, closing):
        assert self.read_after_pause(lab, closing(bare_member(lab)), patience=15) == 0

    def test_ours_reads_the_rest(self, lab, closing):
        assert self.read_after_pause(lab, closing(member(lab)), patience=15) == 4


class _Events(ConsumerRebalanceListener):
    def __init__(self):
        self.revoked: list[TopicPartition] = []

    def on_partitions_revoked(self, revoked):
        self.revoked += revoked

    def on_partitions_assigned(self, assigned):
        pass


class TestRow2AnEagerAssignorGivesAPartitionBackWithItsOldPosition:
    def second_joins(self, lab: Lab, closing, first, second) -> tuple[TopicPartition, _Events]:
        """Reads without committing, lets another join; the partition that stayed, and what was revoked."""
        lab.feed(range(10))
        events = _Events()
        first.subscribe([lab.settings.kafka_task_topic], listener=events)
        read = 0
        while read < 10:
            read += sum(len(batch) for batch in first.poll(timeout_ms=200).values())
        events.revoked.clear()
        second.subscribe([lab.settings.kafka_task_topic])
        closing(Polling(second))

        def settled():
            first.poll(timeout_ms=100)
            return len(first.assignment()) == 1 and len(second.assignment()) == 1

        wait_for(settled, 40, "assignment of one partition each")
        (kept,) = first.assignment()
        return kept, events

    def test_the_bare_client_revokes_it_and_goes_on_behind_what_was_in_flight(self, lab, closing):
        options = {"partition_assignment_strategy": [RangePartitionAssignor]}
        first = closing(dynamic_member(lab, **options))
        kept, events = self.second_joins(lab, closing, first, dynamic_member(lab, **options))
        assert kept in events.revoked
        assert lab.committed(kept.partition) is None
        assert first.position(kept) == 5  # and not 0, from which Java's client would read again

    def test_with_ours_it_is_not_revoked_at_all(self, lab, closing):
        first = closing(member(lab, "w0"))
        kept, events = self.second_joins(lab, closing, first, member(lab, "w1"))
        assert kept not in events.revoked


class TestRow5ANewlyAssignedPartitionArrivesUnpaused:
    def test_the_bare_client_reads_it_while_all_is_paused(self, lab, closing):
        first, second = closing(dynamic_member(lab)), dynamic_member(lab)
        first.subscribe([lab.settings.kafka_task_topic])
        second.subscribe([lab.settings.kafka_task_topic])
        other = Polling(second)

        def one_each():
            first.poll(timeout_ms=100)
            return len(first.assignment()) == 1 and len(second.assignment()) == 1

        wait_for(one_each, 40, "assignment of one partition each")
        first.pause(*first.assignment())
        lab.feed(range(2))
        other.stop()
        second.close(autocommit=False)
        surplus = wait_for(lambda: first.poll(timeout_ms=100), 30, "surplus record")
        assert not first.paused().issuperset(surplus)

    def test_ours_puts_a_surplus_record_back_and_does_it_once(self, lab, closing):
        lab.feed([1], partition=0)
        consumer = _SlowToLoad(**member_options(lab))
        records: list[Record] = []
        worker = Worker(
            WorkerConfig(lab.settings.kafka_group_id, 1, 60000, 5, rules()),
            FakeHandler(lambda record, context: records.append(record) or Done()),
            lambda: Consumer(consumer),
            lambda: TransactionalProducer.connect(lab.settings, "row5"),
        )
        thread = threading.Thread(target=worker.run, args=([lab.settings.kafka_task_topic],))
        thread.start()
        consumer.polled.wait(30)
        consumer.may_load.set()
        wait_for(lambda: records, 30, "record after all")
        worker.stop()
        thread.join(30)
        assert [record.offset for record in records] == [0]
        # Paused until it was loaded: without that it would have been read again with every tick.
        assert consumer.polled_count <= 3


class _SlowToLoad(GuardedConsumer):
    """A broker that is slow to say what is committed: records arrive before it has."""

    def __init__(self, **options):
        super().__init__(**options)
        self.may_load = threading.Event()
        self.polled = threading.Event()
        self.polled_count = 0
        self._ticks_after = 0

    def poll(self, *args, **kwargs):
        records = super().poll(*args, **kwargs)
        self.polled_count += bool(records)
        # Some more ticks, in which the record must not come again.
        self._ticks_after += bool(self.polled_count)
        if self._ticks_after > 20:
            self.polled.set()
        return records

    def fresh_committed(self, partition, timeout_ms):
        self.may_load.wait(60)
        return super().fresh_committed(partition, timeout_ms)


class TestRow11AStaticMemberNeverLeavesByClose:
    def test_the_bare_client_stays_in_the_group(self, lab, closing):
        consumer = bare_member(lab, group_instance_id="w0")
        consumer.subscribe([lab.settings.kafka_task_topic])
        polling = Polling(consumer)
        wait_for(lambda: consumer.assignment(), 60, "assignment")
        polling.stop()
        consumer.close(autocommit=False)
        assert set(lab.members()) == {"w0"}

    def test_ours_is_removed(self, lab, closing):
        consumer = member(lab)
        consumer.subscribe([lab.settings.kafka_task_topic])
        polling = Polling(consumer)
        wait_for(lambda: consumer.assignment(), 60, "assignment")
        polling.stop()
        clients.close_consumer(consumer)
        clients.leave_group(lab.settings, lab.settings.kafka_group_id)
        assert lab.members() == {}

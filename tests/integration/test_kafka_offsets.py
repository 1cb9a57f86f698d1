"""The faults of kafka-python 3.0.12 around committed offsets and fetching, each beside our rule against it.

Like `test_kafka_faults.py`. Those that need a broker that stands still are in `test_kafka_lost_requests.py`.
"""

import contextlib
import itertools

import pytest
from kafka import KafkaConsumer, TopicPartition
from kafka.structs import OffsetAndMetadata

from common.kafka import clients
from common.kafka.guarded_consumer import GuardedConsumer
from common.kafka.records import Record
from common.kafka.transaction import TransactionalProducer
from common.worker.committer import Committer
from common.worker.lease_table import LeaseTable
from tests.support.common.kafka.group import Lab, Polling
from tests.support.common.kafka.members import member, member_options
from tests.support.waiting import wait_for


def offsets(partition: TopicPartition, offset: int) -> dict[TopicPartition, OffsetAndMetadata]:
    return {partition: OffsetAndMetadata(offset, "", -1)}


class _Joining:
    """A group whose first snapshots are those of a member that has not joined yet."""

    def __init__(self, consumer: GuardedConsumer, times: int):
        self._consumer, self.left = consumer, times

    def group_metadata(self):
        current = self._consumer.group_metadata()
        if not self.left:
            return current
        self.left -= 1
        return type(current)(group_id=current.group_id, generation_id=-1, member_id="")

    def fresh_committed(self, partition, timeout_ms):
        return self._consumer.fresh_committed(partition, timeout_ms)

    def may_be_forgotten(self):
        return self._consumer.may_be_forgotten()


class TestRow9TheBrokerTakesOffsetsOfNoGeneration:
    @pytest.fixture
    def group(self, lab, closing):
        consumer = member(lab)
        consumer.subscribe([lab.settings.kafka_task_topic])
        closing(Polling(consumer))
        wait_for(lambda: len(consumer.assignment()) == lab.partition_count, 30, "assignment")
        return consumer

    def test_the_bare_producer_commits_for_a_group_that_it_is_no_member_of(self, lab, closing, group):
        nobody = type(group.group_metadata())(group_id=lab.settings.kafka_group_id)
        producer = closing(clients.transactional_producer(lab.settings, "row9-bare"))
        producer.begin_transaction()
        producer.send_offsets_to_transaction(offsets(lab.partition(0), 33), nobody)
        producer.commit_transaction()
        assert lab.committed(0).offset == 33

    def test_ours_waits_until_it_has_one(self, lab, closing, group):
        table = LeaseTable(slots=1)
        (assignment,) = table.assign([lab.partition(0)])
        table.load(assignment, None)
        lease = table.admit(Record(lab.settings.kafka_task_topic, 0, 0, b"k", b"{}"))
        joining = _Joining(group, times=5)
        committer = Committer(
            table,
            lambda: joining,
            lambda: TransactionalProducer.connect(lab.settings, "row9-ours"),
            pytest.fail,
        )
        committer.start()
        assert committer.begin(lease)
        committer.stop(10)
        assert joining.left == 0
        assert lab.committed(0).metadata == '{"n":1,"a":{"0":1}}'


class TestRow15OneBatchIsDrainedBeforeTheNextPartitionGetsATurn:
    RECORDS = 200

    def longest_run(self, lab: Lab, consumer: KafkaConsumer) -> int:
        """The most records in a row from one partition, of two that are equally full."""
        seen: list[int] = []
        while len(seen) < 2 * self.RECORDS:
            for partition, batch in consumer.poll(timeout_ms=1000).items():
                seen += [partition.partition] * len(batch)
        return max(len(list(run)) for _, run in itertools.groupby(seen))

    def consumer(self, lab: Lab, **options) -> GuardedConsumer:
        options = {**member_options(lab), "group_id": None, "group_instance_id": None, **options}
        consumer = GuardedConsumer(**options)
        consumer.assign([lab.partition(0), lab.partition(1)])
        return consumer

    def test_the_default_reads_hundreds_in_a_row_and_ours_a_handful(self, lab):
        padding = "x" * 1000
        lab.feed([n, padding] for n in range(2 * self.RECORDS))
        with contextlib.closing(self.consumer(lab, max_partition_fetch_bytes=1024 * 1024)) as bare:
            assert self.longest_run(lab, bare) >= self.RECORDS // 2
        with contextlib.closing(self.consumer(lab)) as ours:
            assert self.longest_run(lab, ours) <= self.RECORDS // 4

"""Rows 3, 6, 12 and 18 of KAFKA_CONSUMER.md, on a broker that stands still or goes away for a moment.

Like `test_kafka_faults.py`: the bare client shows the fault first.
"""

import contextlib
import threading
from collections.abc import Callable

import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.errors import KafkaError, KafkaTimeoutError
from kafka.structs import OffsetAndMetadata

from common.kafka import clients
from common.kafka.assignor import EvenTopicsAssignor
from common.kafka.guarded_consumer import GuardedConsumer
from tests.support.common.kafka.group import Lab
from tests.support.common.kafka.members import dynamic_options, member_options
from tests.support.servers import KafkaServer
from tests.support.waiting import wait_for


@pytest.fixture
def broker(own_kafka: Callable[[], KafkaServer]) -> KafkaServer:
    return own_kafka()


def offsets(partition: TopicPartition, offset: int) -> dict[TopicPartition, OffsetAndMetadata]:
    return {partition: OffsetAndMetadata(offset, "", -1)}


def begun_while_the_broker_is_away(producer: KafkaProducer, broker: KafkaServer, lab: Lab) -> threading.Event:
    """Set once the producer's call has come to an end, good or bad. The broker is back then."""
    broker.kill()
    manager = producer._sender._client._manager
    wait_for(lambda: not any(c.connected for c in manager._conns.values()), 30, "end of the connections")
    ended = threading.Event()

    def send_offsets() -> None:
        producer.begin_transaction()
        try:
            producer.send_offsets_to_transaction(offsets(lab.partition(0), 1), lab.settings.kafka_group_id)
        except KafkaError:
            pass
        finally:
            ended.set()

    threading.Thread(target=send_offsets, daemon=True).start()
    transactions = producer._transaction_manager
    wait_for(lambda: transactions._transaction_coordinator is None, 30, "search for the coordinator")
    broker.start()
    return ended


class TestRow18ATransactionalRequestIsLostWhileItsCoordinatorIsAway:
    @pytest.mark.slow
    def test_the_bare_client_waits_for_ever_for_what_it_has_forgotten(self, broker):
        lab = Lab(broker.bootstrap, partitions=1)
        producer = KafkaProducer(
            bootstrap_servers=broker.bootstrap, transactional_id="bare", retry_backoff_ms=10
        )
        producer.init_transactions()
        ended = begun_while_the_broker_is_away(producer, broker, lab)
        transactions = producer._transaction_manager
        wait_for(lambda: transactions._transaction_coordinator is not None, 30, "coordinator")
        wait_for(lambda: not transactions._pending_requests, 30, "end of all requests")
        assert not transactions.has_in_flight_transactional_request()
        assert not ended.is_set()
        clients.discard_producer(producer)

    @pytest.mark.slow
    def test_ours_sends_it_once_the_broker_is_back(self, broker):
        lab = Lab(broker.bootstrap, partitions=1)
        producer = clients.transactional_producer(lab.settings, "ours")
        ended = begun_while_the_broker_is_away(producer, broker, lab)
        assert ended.wait(60)
        clients.discard_producer(producer)


class TestRow6WhatIsCommittedCanBeReadStale:
    @pytest.fixture
    def stale(self, broker, closing):
        """A consumer whose read of 10 timed out while the broker stood still; then 500 was committed."""
        lab = Lab(broker.bootstrap, partitions=1)
        partition = lab.partition(0)
        reader = closing(GuardedConsumer(**{**member_options(lab), "group_instance_id": None}))
        writer = closing(
            KafkaConsumer(bootstrap_servers=broker.bootstrap, group_id=lab.settings.kafka_group_id)
        )
        reader.assign([partition])
        writer.assign([partition])
        writer.commit(offsets(partition, 10))
        assert reader.committed(partition, timeout_ms=10000) == 10
        broker.freeze()
        with pytest.raises(KafkaTimeoutError):
            reader.committed(partition, timeout_ms=300)
        broker.thaw()
        cached = reader._coordinator._offset_fetch_futures.values()
        wait_for(lambda: all(future.is_done for future in cached), 20, "late answer")
        writer.commit(offsets(partition, 500))
        return reader, partition

    def test_the_bare_call_serves_the_old_answer(self, stale):
        reader, partition = stale
        assert reader.committed(partition, timeout_ms=10000) == 10

    @pytest.mark.slow
    def test_ours_asks_the_broker(self, stale):
        reader, partition = stale
        assert reader.fresh_committed(partition, timeout_ms=10000).offset == 500


class TestRow12CloseRaisesWithBatchesOpenAndLeavesItsThread:
    def test_the_bare_client_raises_and_ours_ends_its_thread(self, broker, closing):
        lab = Lab(broker.bootstrap, partitions=1)
        producer = clients.transactional_producer(lab.settings, "row12")
        producer.begin_transaction()
        producer.send(lab.settings.kafka_result_topic, b"1").get(timeout=20)
        broker.freeze()
        try:
            producer.send(lab.settings.kafka_result_topic, b"2")
            with pytest.raises((KafkaError, AssertionError)):
                producer.close(timeout=0)
            sender = producer._sender
            assert sender.is_alive()
            clients.discard_producer(producer)
            wait_for(lambda: not sender.is_alive(), 20, "end of the sender's thread")
        finally:
            broker.thaw()


class Stall:
    """Once armed, lets a broker stand still after a leader's assignment for longer than a poll: the poll ends
    before the SyncGroup answer."""

    def __init__(self, broker: KafkaServer):
        self.armed = False
        stall = self

        class StallingAssignor(EvenTopicsAssignor):
            def assign(self, cluster, members):
                if stall.armed:
                    broker.freeze()
                    threading.Timer(0.5, broker.thaw).start()
                return super().assign(cluster, members)

        self.assignor = StallingAssignor


class TestRow3APollThatTimesOutInsideAJoinLeavesItUnfinished:
    @pytest.fixture
    def lab(self, broker) -> Lab:
        return Lab(broker.bootstrap)

    @pytest.fixture
    def stall(self, broker) -> Stall:
        return Stall(broker)

    @pytest.fixture
    def options(self, lab, stall) -> dict:
        slow = {"partition_assignment_strategy": [stall.assignor], "metadata_max_age_ms": 500}
        return {**dynamic_options(lab), **slow}

    def has_what_was_added(self, lab: Lab, stall: Stall, consumer: KafkaConsumer, polls: int) -> bool:
        """Whether a member gets the partitions by which its topic has grown."""
        consumer.subscribe([lab.settings.kafka_task_topic])
        assert self.gets(consumer, 2, 50)
        stall.armed = True
        with contextlib.closing(clients.admin(lab.settings)) as admin:
            admin.create_partitions({lab.settings.kafka_task_topic: 4})
        return self.gets(consumer, 4, polls)

    def gets(self, consumer: KafkaConsumer, partitions: int, polls: int) -> bool:
        return any(consumer.poll(100) or len(consumer.assignment()) == partitions for _ in range(polls))

    def test_the_bare_client_stays_without_what_was_added(self, lab, stall, closing, options):
        # Its polls spin, so they are few: the broker is back after 0.5 s, and an answer takes milliseconds.
        assert not self.has_what_was_added(lab, stall, closing(KafkaConsumer(**options)), 20)

    def test_ours_ends_it(self, lab, stall, closing, options):
        assert self.has_what_was_added(lab, stall, closing(GuardedConsumer(**options)), 50)

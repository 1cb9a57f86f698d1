"""The loop's consumer in front of a client in memory: what it asks of the client, and what it raises."""

import pytest
from kafka import TopicPartition
from kafka.errors import FencedInstanceIdError, KafkaConnectionError

from common.kafka.consumer import SHORTEST_POLL_MS, Consumer
from common.kafka.fencing import Fenced
from common.kafka.membership import ConsumerLost
from common.kafka.records import Record
from tests.support.common.worker.fakes import TOPIC, FakeBroker
from tests.support.common.worker.worker_harness import FakeConsumer

PARTITION = TopicPartition(TOPIC, 0)


class Client(FakeConsumer):
    """Notes how long each poll may last, and each order to pause or resume."""

    def __init__(self, log: list[bytes], broker: FakeBroker):
        super().__init__(log, broker, read_errors=None)
        self.timeouts_ms: list[int] = []
        self.orders: list[str] = []

    def poll(self, timeout_ms: int) -> dict:
        self.timeouts_ms.append(timeout_ms)
        return super().poll(timeout_ms)

    def pause(self, *partitions) -> None:
        self.orders.append("pause")
        super().pause(*partitions)

    def resume(self, *partitions) -> None:
        self.orders.append("resume")
        super().resume(*partitions)


@pytest.fixture
def broker() -> FakeBroker:
    return FakeBroker()


@pytest.fixture
def client(broker) -> Client:
    return Client([b"0", b"1"], broker)


@pytest.fixture
def consumer(client) -> Consumer:
    made = Consumer(client, lambda: 0.0)
    made.subscribe([TOPIC], *[lambda partitions: None] * 3)
    return made


def test_records_come_as_our_own(consumer):
    assert consumer.poll(100) == [Record(TOPIC, 0, 0, b"k", b"0")]


def test_no_poll_is_so_short_that_it_starves_a_rebalance(consumer, client):
    consumer.poll(0)
    consumer.poll(100)
    assert client.timeouts_ms == [SHORTEST_POLL_MS, 100]


def test_a_poll_that_fails_loses_the_consumer_and_says_why(consumer, client):
    client.errors.append(KafkaConnectionError("away"))
    with pytest.raises(ConsumerLost, match="away"):
        consumer.poll(100)


def test_a_fenced_member_ends_its_worker_unless_the_broker_may_have_forgotten_it(consumer, client, broker):
    client.errors += [FencedInstanceIdError(), FencedInstanceIdError()]
    with pytest.raises(Fenced):
        consumer.poll(100)
    broker.forgets = True
    with pytest.raises(ConsumerLost, match="forgotten"):
        consumer.poll(100)


def test_partitions_are_paused_and_resumed_only_where_that_changes_something(consumer, client):
    consumer.poll(100)
    for paused in ({PARTITION}, {PARTITION}, set(), set()):
        consumer.steer(consumer.assignment(), {}, paused)
        assert client.paused() == paused
    assert client.orders == ["pause", "resume"]


def test_what_is_to_be_read_is_read_from_there(consumer):
    consumer.poll(100)
    consumer.steer(consumer.assignment(), {PARTITION: 0}, set())
    assert [record.offset for record in consumer.poll(100)] == [0]


def test_a_record_is_put_back_only_while_its_partition_is_ours(consumer, client):
    consumer.read_again(PARTITION, 0)
    assert consumer.assignment() == set()
    consumer.poll(100)
    consumer.read_again(PARTITION, 0)
    assert [record.offset for record in consumer.poll(100)] == [0]

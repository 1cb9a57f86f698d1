"""Row 18 of KAFKA_CONSUMER.md, on a broker that goes away for a moment."""

import threading
from collections.abc import Callable

import pytest
from kafka import KafkaProducer, TopicPartition
from kafka.errors import KafkaError
from kafka.structs import OffsetAndMetadata

from common.kafka import clients
from tests.support.common.kafka.group import Lab
from tests.support.servers import KafkaServer
from tests.support.waiting import wait_for


@pytest.fixture
def broker(own_kafka: Callable[[], KafkaServer]) -> KafkaServer:
    return own_kafka()


def begun_while_the_broker_is_away(producer: KafkaProducer, broker: KafkaServer, lab: Lab) -> threading.Event:
    """Set once the producer's call has come to an end, good or bad. The broker is back then."""
    broker.kill()
    manager = producer._sender._client._manager
    wait_for(lambda: not any(c.connected for c in manager._conns.values()), 30, "end of the connections")
    ended = threading.Event()

    def send_offsets() -> None:
        producer.begin_transaction()
        try:
            producer.send_offsets_to_transaction(
                {TopicPartition(lab.settings.kafka_task_topic, 0): OffsetAndMetadata(1, "", -1)},
                lab.settings.kafka_group_id,
            )
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
        lab = Lab(broker.bootstrap)
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
        lab = Lab(broker.bootstrap)
        producer = clients.transactional_producer(lab.settings, "ours")
        ended = begun_while_the_broker_is_away(producer, broker, lab)
        assert ended.wait(60)
        clients.discard_producer(producer)

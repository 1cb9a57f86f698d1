"""What the tests' own reader sees of a transaction whose commit has returned: all of it."""

from common.kafka import clients
from tests.support.common.kafka.group import Reader

TRANSACTIONS = 20


def test_what_a_commit_wrote_is_read_at_once(lab, closing):
    topic = lab.settings.kafka_result_topic
    reader = closing(Reader(lab.settings.kafka_bootstrap_servers, topic.__eq__))
    producer = closing(clients.transactional_producer(lab.settings, "seen-at-once"))
    for number in range(1, TRANSACTIONS + 1):
        producer.begin_transaction()
        for partition in range(lab.partition_count):
            producer.send(topic, b"value", partition=partition).get(30)
        producer.commit_transaction()
        assert len(reader.read()) == number * lab.partition_count

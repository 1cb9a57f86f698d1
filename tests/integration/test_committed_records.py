"""What the tests' own reader sees of a transaction whose commit has returned: all of it."""

from kafka import KafkaConsumer
from kafka.structs import OffsetAndMetadata

from common.kafka import clients
from soak.ledger import backward_steps
from tests.support.common.kafka.group import OFFSETS_TOPIC, Reader, read_all

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


def test_each_commit_of_an_offset_is_read_from_the_broker_s_own_topic(lab, closing):
    bootstrap, partition = lab.settings.kafka_bootstrap_servers, lab.partition(0)
    group_id = f"went-back-{partition.topic}"
    consumer = closing(
        KafkaConsumer(bootstrap_servers=bootstrap, group_id=group_id, enable_auto_commit=False)
    )
    consumer.assign([partition])
    for offset in (1, 5, 3):
        consumer.commit({partition: OffsetAndMetadata(offset, "", -1)})
    records = [r for r in read_all(bootstrap, OFFSETS_TOPIC) if group_id.encode() in (r.key or b"")]
    steps, commits = backward_steps(records)
    assert commits == 3
    assert steps == [f"{group_id} went from (5, 5) back to (3, 3) in {partition.topic}[0]"]

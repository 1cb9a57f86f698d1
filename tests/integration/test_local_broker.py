"""Tests that the broker of the local stack keeps the records that it acknowledged."""

import contextlib
import os
import sys

import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient, NewTopic

from local import broker
from local.ports import answers
from tests.support.local.checkout import ODD_NAME
from tests.support.paths import REPOSITORY
from tests.support.ports import take_ports
from tests.support.processes import ManagedProcess
from tests.support.waiting import wait_for

pytestmark = pytest.mark.network


def _create(bootstrap: str, topic: str) -> None:
    admin = KafkaAdminClient(bootstrap_servers=bootstrap)
    admin.create_topics([NewTopic(topic, num_partitions=1, replication_factor=1)])
    admin.close()


def _read(bootstrap: str, topic: str, count: int) -> list[bytes]:
    consumer = KafkaConsumer(bootstrap_servers=bootstrap, auto_offset_reset="earliest")
    partition = TopicPartition(topic, 0)
    consumer.assign([partition])
    values: list[bytes] = []

    def enough() -> bool:
        values.extend(record.value for records in consumer.poll(200).values() for record in records)
        return len(values) >= count

    wait_for(enough, 30, f"{count} records")
    consumer.close()
    return values


@pytest.mark.slow
def test_acknowledged_records_survive_a_sigkill_of_the_broker(own_kafka):
    server = own_kafka()
    _create(server.bootstrap, "kept")
    producer = KafkaProducer(bootstrap_servers=server.bootstrap, acks="all")
    for number in range(50):
        producer.send("kept", str(number).encode()).get(10)
    server.kill()
    producer.close(1)
    server.start()
    assert _read(server.bootstrap, "kept", 50) == [str(number).encode() for number in range(50)]


def test_the_broker_runs_in_any_directory_and_locale_and_writes_nowhere_else(tmp_path):
    data_dir = tmp_path / ODD_NAME / "kafka"
    port, controller_port = take_ports(2)
    command = [sys.executable, "-m", "local.broker", str(data_dir), str(port), str(controller_port)]
    process = ManagedProcess(
        command, tmp_path / "broker.log", env={**os.environ, "LC_ALL": "C"}, cwd=REPOSITORY
    )
    try:
        process.start()
        _create_once_it_answers(process, port)
    finally:
        process.kill()
    assert {path.name for path in tmp_path.iterdir()} == {ODD_NAME, "broker.log"}
    assert (data_dir / "log" / "meta.properties").is_file()


def _create_once_it_answers(process: ManagedProcess, port: int) -> None:
    def ready() -> bool:
        assert process.returncode is None, process.output()[-2000:]
        return answers(port)

    wait_for(ready, 90, "Kafka")
    _create(f"127.0.0.1:{port}", "odd")


def test_topics_are_not_created_by_use(kafka):
    consumer = KafkaConsumer(bootstrap_servers=kafka.bootstrap)
    assert not consumer.partitions_for_topic("nobody-made-this")
    assert "nobody-made-this" not in consumer.topics()
    consumer.close()


def test_the_broker_knows_every_property(own_kafka):
    """docker-compose.yml has the same properties: a test of tests/docker compares them."""
    server = own_kafka()
    with contextlib.closing(KafkaAdminClient(bootstrap_servers=server.bootstrap)) as admin:
        broker_one = ConfigResource(ConfigResourceType.BROKER, "1")
        known = admin.describe_configs([broker_one], config_filter="all")["broker"]["1"]
    text = (server.spec.data_dir / "server.properties").read_text()
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    for name, value in (line.split("=", 1) for line in lines):
        # Kafka also lists unknown properties, without a value.
        assert known[name]["value"] == value, name


def test_a_damaged_jar_is_fetched_again(tmp_path):
    jars = broker.fetch_jars(broker.default_cache())
    copy = tmp_path / "cache"
    for jar in jars:
        target = copy / jar.relative_to(broker.default_cache().resolve())
        target.parent.mkdir(parents=True)
        target.symlink_to(jar)
    damaged = copy / jars[0].relative_to(broker.default_cache().resolve())
    damaged.unlink()
    damaged.write_bytes(b"cut short")
    assert broker.fetch_jars(copy)[0].read_bytes() == jars[0].read_bytes()

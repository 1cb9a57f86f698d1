"""The producer of the api: its thread is woken by `flush`, once for all records before it."""

import contextlib

from common.kafka import clients
from tests.support.common.kafka.group import Lab


def test_records_go_out_together_with_the_flush(lab: Lab):
    topic = lab.settings.kafka_task_topic
    with contextlib.closing(clients.group_producer(lab.settings, linger_ms=60_000)) as producer:
        # The first record waits for the topic's partitions, which only a woken thread fetches.
        producer.send(topic, b"first")
        producer.flush(timeout=30)
        woken, wake = [], producer._wake
        producer._wake = lambda: woken.append(wake())
        sent = [producer.send(topic, b"%d" % n, partition=n % 2) for n in range(8)]
        assert not any(future.is_done for future in sent)
        assert not woken
        producer.flush(timeout=30)
        assert all(future.succeeded() for future in sent)
        assert len(woken) == 1

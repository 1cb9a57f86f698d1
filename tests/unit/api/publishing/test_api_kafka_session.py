"""A Kafka that cannot be reached: said clearly, and nothing is left behind."""

import gc
import logging
import os
import socket
import threading
from contextlib import closing

import pytest
from kafka.errors import KafkaError

from api.publishing.kafka_session import KafkaSession
from common.settings.schema import ApiSettings


def settings_for(address: str) -> ApiSettings:
    return ApiSettings(kafka_bootstrap_servers=address)


def connect(address: str) -> None:
    KafkaSession(settings_for(address), delivery_timeout_s=1, connect_timeout_s=0.2)


@pytest.fixture
def closed_port():
    with closing(socket.socket()) as holder:
        holder.bind(("127.0.0.1", 0))  # bound, and not listening
        yield f"127.0.0.1:{holder.getsockname()[1]}"


@pytest.fixture
def mute_port():
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


@pytest.mark.parametrize("port", ["closed_port", "mute_port"])
def test_a_kafka_that_does_not_answer_is_an_error_that_names_it(port, request):
    address = request.getfixturevalue(port)
    with pytest.raises(KafkaError, match=address):
        connect(address)


@pytest.mark.slow
def test_failed_connections_leave_no_threads_and_no_descriptors(closed_port, caplog):
    # A captured log record would keep its error, that its frames, and those their sockets.
    caplog.set_level(logging.CRITICAL, logger="kafka")

    def held() -> tuple[int, int]:
        gc.collect()  # the client leaves a refused connection's socket to it
        return threading.active_count(), len(os.listdir("/proc/self/fd"))

    with pytest.raises(KafkaError):
        connect(closed_port)
    threads, descriptors = held()
    for _ in range(3):
        with pytest.raises(KafkaError):
            connect(closed_port)
    threads_after, descriptors_after = held()
    # those of other tests may end meanwhile
    assert threads_after <= threads
    assert descriptors_after <= descriptors

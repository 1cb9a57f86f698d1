"""The worker while its broker is away: running jobs go on, and a stop does not wait for the broker."""

import contextlib
import json

import pytest

from common.kafka import clients
from tests.support.common.kafka.group import Lab
from tests.support.ports import take_port
from tests.support.servers import KafkaServer
from tests.support.stack import Service, Stack
from tests.support.waiting import wait_for

pytestmark = pytest.mark.slow

SLEEPER = "tests.support.common.worker.sleeper"


@pytest.fixture
def broker(own_kafka) -> KafkaServer:
    return own_kafka()


@pytest.fixture
def lab(broker) -> Lab:
    return Lab(broker.bootstrap, partitions=2)


def start_sleeper(stack: Stack, lab: Lab, **settings: str) -> Service:
    environment = {**lab.environment, "SLEEPER_LOG": str(stack.directory / "journal"), "WORKER_ID": "w0"}
    return stack.start(SLEEPER, {**environment, **settings})


def wait_for_start(stack: Stack, number: int) -> None:
    journal = stack.directory / "journal"

    def started() -> bool:
        lines = journal.read_text().splitlines() if journal.exists() else []
        return any((e := json.loads(line))["event"] == "start" and e["i"] == number for line in lines)

    wait_for(started, 30, f"start of job {number}")


def test_a_job_outlives_an_outage_of_several_sessions_and_is_not_done_again(stack, broker, lab):
    worker = start_sleeper(stack, lab)
    lab.feed([{"i": 1, "s": 30}])
    wait_for_start(stack, 1)
    broker.kill()
    wait_for(lambda: worker.get("/readyz")[0] == 503, 30, "unreadiness")
    assert "Kafka" in json.dumps(worker.get("/readyz")[1]["checks"]["kafka"])
    wait_for(lambda: '"end"' in (stack.directory / "journal").read_text(), 60, "end of the job")
    broker.start()
    assert lab.wait_for_results(1) == [{"i": 1, "attempt": 1, "worker": "w0"}]
    worker.wait_ready()


def test_sigterm_ends_a_worker_whose_broker_is_away_and_the_job_is_done_later(stack, broker, lab):
    worker = start_sleeper(stack, lab, SHUTDOWN_GRACE_S="1")
    lab.feed([{"i": 1, "s": 2}], partition=0)
    wait_for_start(stack, 1)
    broker.kill()
    wait_for(lambda: '"end"' in (stack.directory / "journal").read_text(), 30, "end of the job")
    assert worker.stop() == 0  # its result waits for the broker, which does not come back
    broker.start()
    worker.start()
    assert lab.wait_for_results(1) == [{"i": 1, "attempt": 2, "worker": "w0"}]


def test_sigterm_ends_a_worker_that_has_never_reached_its_broker(stack):
    settings = {
        "KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{take_port()}",
        "SLEEPER_LOG": str(stack.directory / "journal"),
    }
    worker = stack.start(SLEEPER, settings, wait=False)
    wait_for(lambda: "Kafka cannot be reached" in worker.log(), 60, "line about Kafka")
    assert worker.stop() == 0
    assert "could not leave" not in worker.log()


def test_a_result_topic_that_an_operator_deleted_is_created_again(stack, lab):
    start_sleeper(stack, lab)
    with contextlib.closing(clients.admin(lab.settings)) as admin:
        admin.delete_topics([lab.settings.kafka_result_topic])
    lab.feed([{"i": 1, "s": 0}])
    # A client that knew the old topic, or none, would not see the new one.
    results = wait_for(lambda: lab.results(), 90, "result in a new topic")
    assert [result["i"] for result in results] == [1]

"""The worker without what it needs in Kafka: a broker that it has never reached, and a topic that is gone."""

import contextlib

import pytest

from common.kafka import clients
from tests.support.common.worker.sleepers import Sleepers, job
from tests.support.ports import take_port
from tests.support.stack import Stack
from tests.support.waiting import wait_for

pytestmark = pytest.mark.slow

SLEEPER = "tests.support.common.worker.sleeper"


def test_sigterm_ends_a_worker_that_has_never_reached_its_broker(stack: Stack):
    settings = {
        "KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{take_port()}",
        "SLEEPER_LOG": str(stack.directory / "journal"),
    }
    worker = stack.start(SLEEPER, settings, wait=False)
    wait_for(lambda: "Kafka cannot be reached" in worker.log(), 60, "line about Kafka")
    assert worker.stop() == 0
    assert "could not leave" not in worker.log()


def test_a_result_topic_that_an_operator_deleted_is_created_again(stack: Stack, lab):
    Sleepers(stack, lab).start()
    with contextlib.closing(clients.admin(lab.settings)) as admin:
        admin.delete_topics([lab.settings.kafka_result_topic])
    lab.feed([job(1, 0)])
    # A client that knew the old topic, or none, would not see the new one.
    results = wait_for(lambda: lab.results(), 90, "result in a new topic")
    assert [result["i"] for result in results] == [1]

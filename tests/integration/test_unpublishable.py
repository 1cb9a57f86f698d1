"""Results that the real broker never takes: the job ends with a letter, and the worker goes on."""

import contextlib
import json

import pytest
from kafka.admin import NewTopic

from common.jobs import dead_letters
from common.kafka import clients
from tests.support.common.kafka.group import Lab
from tests.support.waiting import wait_for


@pytest.fixture
def lab(kafka) -> Lab:
    return Lab(kafka.bootstrap, partitions=1)


def letters(lab: Lab) -> list[dict[str, bytes]]:
    return [dict(letter.headers) for letter in lab.records(lab.settings.kafka_dead_letter_topic)]


def test_a_result_that_its_topic_never_takes_leaves_a_letter_and_the_next_job_is_done(stack, lab):
    topic = lab.settings.kafka_result_topic + "-narrow"
    with contextlib.closing(clients.admin(lab.settings)) as admin:
        # Room for a result with a short id, for one with a long id neither as success nor as failure.
        admin.create_topics([NewTopic(topic, 1, 1, topic_configs={"max.message.bytes": "300"})])
    journal = str(stack.directory / "journal")
    stack.start(
        "tests.support.common.worker.sleeper",
        {**lab.environment, "KAFKA_RESULT_TOPIC": topic, "SLEEPER_LOG": journal},
    )
    lab.feed([{"i": "x" * 400, "s": 0}, {"i": "short", "s": 0}])
    (result,) = lab.wait_for_records(topic)
    assert json.loads(result.value)["i"] == "short"
    (headers,) = wait_for(lambda: letters(lab), 60, "letter")
    assert headers[dead_letters.ERROR_CODE] == b"internal_error"
    assert headers[dead_letters.ORIGIN] == f"{lab.settings.kafka_task_topic}/0/0".encode()
    assert b"MessageSizeTooLarge" in headers[dead_letters.REASON]
    wait_for(lambda: lab.committed(0).offset == 2, 30, "both records done")


def test_poison_of_the_largest_size_is_put_aside(stack, lab):
    stack.start(
        "tests.support.common.worker.sleeper",
        {**lab.environment, "SLEEPER_LOG": str(stack.directory / "journal")},
    )
    poison = b"\xff" * 1_040_000
    lab.feed([poison, {"i": 1, "s": 0}])
    assert [result["i"] for result in lab.wait_for_results(1)] == [1]
    (headers,) = wait_for(lambda: letters(lab), 30, "letter")
    assert headers[dead_letters.TRUNCATED] == b"%d" % len(poison)

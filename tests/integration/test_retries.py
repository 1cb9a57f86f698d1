"""Retry topics on a real broker: waits, order, the end of the tries, and kills and stops in between."""

import contextlib
import json
from pathlib import Path

import pytest
from kafka import KafkaProducer

from common.jobs import dead_letters, retry
from common.kafka import retry_topics
from tests.support.common.kafka.group import Lab
from tests.support.stack import Service, Stack
from tests.support.waiting import wait_for

SLEEPER = "tests.support.common.worker.sleeper"


class Harness:
    """One sleeper after the other, in a lab with one partition a topic unless `partitions` says otherwise."""

    def __init__(self, bootstrap: str, stack: Stack, delays_s=(1, 2), partitions: int = 1):
        self.lab = Lab(bootstrap, partitions, delays_s)
        self._stack, self._journal = stack, Path(stack.directory / "journal")

    def start(self, **settings: str) -> Service:
        environment = {**self.lab.environment, "SLEEPER_LOG": str(self._journal), "WORKER_ID": "w0"}
        return self._stack.start(SLEEPER, {**environment, **settings})

    def starts(self, number: int | None = None) -> list[dict]:
        lines = self._journal.read_text().splitlines() if self._journal.exists() else []
        events = [json.loads(line) for line in lines]
        return [e for e in events if e["event"] == "start" and number in (None, e["i"])]

    def wait_for_starts(self, count: int, number: int | None = None) -> list[dict]:
        return wait_for(lambda: s if len(s := self.starts(number)) >= count else None, 60, f"{count} starts")

    def retry_topic(self, delay_s: int) -> str:
        return retry_topics.topic(self.lab.settings.kafka_task_topic, delay_s)

    def waiting(self, delay_s: int) -> list:
        """What has been put into a retry topic, whether it has been taken again or not."""
        return self.lab.records(self.retry_topic(delay_s))

    def wait_for_waiting(self, count: int, delay_s: int) -> list:
        return self.lab.wait_for_records(self.retry_topic(delay_s), count)


@pytest.fixture
def harness(kafka, stack):
    return lambda **options: Harness(kafka.bootstrap, stack, **options)


def failing(number: int, times: int = 1, seconds: float = 0) -> dict:
    return {"i": number, "s": seconds, "fail": times}


def good(number: int, seconds: float = 0) -> dict:
    return {"i": number, "s": seconds}


def numbers(results: list[dict]) -> list[int]:
    return [result["i"] for result in results]


def test_what_fails_for_now_is_done_after_its_delay_in_order_and_others_go_on_meanwhile(harness):
    b = harness(delays_s=(5,))
    b.start(PROCESSOR_SLOTS="1")
    b.lab.feed([failing(0), failing(1), failing(2), good(3), good(4)])
    assert numbers(b.lab.wait_for_results(2)) == [3, 4]
    assert numbers(b.lab.wait_for_results(5))[2:] == [0, 1, 2]
    waited = b.waiting(5)
    due_ms = {json.loads(r.value)["i"]: int(dict(r.headers)[retry.NOT_BEFORE_MS]) for r in waited}
    again = {n: b.starts(n)[1]["at_ms"] for n in (0, 1, 2)}
    assert all(again[n] >= due_ms[n] for n in due_ms)
    assert all(due_ms[n] >= b.starts(n)[0]["at_ms"] + 5000 for n in due_ms)
    assert [e["i"] for e in b.starts()] == [0, 1, 2, 3, 4, 0, 1, 2]


@pytest.mark.slow
def test_out_of_tries_it_has_failed_and_its_letter_has_the_whole_history(harness):
    b = harness()
    b.start()
    b.lab.feed([failing(0, times=9), good(1)])
    results = b.lab.wait_for_results(2)
    assert results[1] == {"i": 0, "error": "network_error"}
    assert len(b.starts(0)) == 3  # at once, after 1 s, after 2 s more
    (letter,) = b.lab.records(b.lab.settings.kafka_dead_letter_topic)
    assert json.loads(letter.value)["i"] == 0
    headers = dict(letter.headers)
    assert headers[retry.ORIGIN] == f"{b.lab.settings.kafka_task_topic}/0/0".encode()
    assert headers[retry.TRIES] == b'{"job":3}'
    assert headers[retry.FIRST_ERROR] == headers[retry.LAST_ERROR] == b"network_error: as it was told to"
    assert headers[dead_letters.ERROR_CODE] == b"network_error"


@pytest.mark.slow
def test_a_worker_that_is_killed_while_records_wait_loses_none_and_doubles_none(harness):
    b = harness(delays_s=(3,), partitions=2)
    worker = b.start()
    b.lab.feed(failing(n) for n in range(6))
    b.wait_for_waiting(6, 3)
    worker.kill()
    worker.start()
    assert sorted(numbers(b.lab.wait_for_results(6))) == list(range(6))
    assert [len(b.starts(n)) for n in range(6)] == [2] * 6


@pytest.mark.slow
def test_records_of_a_delay_that_is_no_longer_set_are_done_all_the_same(harness):
    b = harness(delays_s=(4,))
    worker = b.start()
    b.lab.feed([failing(0)])
    b.wait_for_waiting(1, 4)
    assert worker.stop() == 0
    b.start(RETRY_DELAYS_S="1")
    assert numbers(b.lab.wait_for_results(1)) == [0]


def test_what_waits_for_a_brief_schedule_is_read_like_the_others(harness):
    b = harness(delays_s=(600,))
    topic = retry_topics.topic(b.lab.settings.kafka_task_topic, retry_topics.BRIEF_DELAY_S)
    with contextlib.closing(
        KafkaProducer(bootstrap_servers=b.lab.settings.kafka_bootstrap_servers)
    ) as producer:
        producer.send(topic, json.dumps(good(7)).encode(), key=b"7").get(30)
    b.start()
    assert numbers(b.lab.wait_for_results(1)) == [7]


@pytest.mark.slow
def test_attempts_that_a_stop_cut_short_do_not_count(harness):
    b = harness()
    b.lab.feed([good(0, seconds=600)])
    worker = b.start(SHUTDOWN_GRACE_S="0", MAX_ATTEMPTS="2")
    for stops in (1, 2, 3):
        b.wait_for_starts(stops)
        assert worker.stop() == 0
        assert json.loads(b.lab.committed(0).metadata) == {"n": 1, "a": {"0": [stops, stops]}}
        worker.start()
    assert [e["attempt"] for e in b.wait_for_starts(4)] == [1, 2, 3, 4]
    assert b.lab.results() == []


@pytest.mark.slow
def test_a_job_that_is_killed_in_its_retry_begins_its_second_attempt_there(harness):
    b = harness()
    worker = b.start()
    b.lab.feed([failing(0, seconds=2)])
    b.wait_for_starts(2, number=0)  # in the retry topic of 1 s now
    topic = retry_topics.topic(b.lab.settings.kafka_task_topic, 1)
    worker.kill()
    worker.start()
    third = b.wait_for_starts(3, number=0)[2]
    assert third["attempt"] == 2
    assert third["topic"] == topic
    assert numbers(b.lab.wait_for_results(1)) == [0]

"""SIGTERM while nothing may be read: the worker is out at once, and what waited is done by the next."""

import pytest

from common.kafka import retry_topics
from tests.support.common.kafka.group import Lab
from tests.support.common.worker.sleepers import OffsetWatch, Sleepers, job

DELAY_S = 12


@pytest.fixture
def lab(kafka) -> Lab:
    return Lab(kafka.bootstrap, partitions=2, delays_s=(DELAY_S,))


@pytest.fixture
def sleepers(stack, lab) -> Sleepers:
    return Sleepers(stack, lab)


@pytest.mark.slow
def test_with_every_slot_full_what_runs_is_finished_and_what_waits_is_done_by_the_next(lab, sleepers):
    lab.feed(job(n, 3) for n in range(6))
    with OffsetWatch(lab):
        worker = sleepers.start(PROCESSOR_SLOTS="2")
        sleepers.wait_for_starts(2)
        assert worker.stop() == 0
        assert len(lab.results()) == len(sleepers.starts()) == 2
        assert lab.members() == {}
        worker.start()
        results = lab.wait_for_results(6)
    assert sorted((r["i"], r["attempt"]) for r in results) == [(n, 1) for n in range(6)]
    assert all(sleepers.most_at_once(number) == 1 for number in range(6))


@pytest.mark.slow
def test_while_the_head_of_a_retry_topic_waits_the_worker_leaves_and_the_next_waits_on(lab, sleepers):
    lab.feed([job(1, 0, fail=1)])
    waiting_topic = retry_topics.topic(lab.settings.kafka_task_topic, DELAY_S)
    with OffsetWatch(lab):
        worker = sleepers.start()
        (record,) = lab.wait_for_records(waiting_topic, timeout_s=30)
        assert worker.stop() == 0
        assert lab.members() == {}
        worker.start()
        assert lab.wait_for_results(1) == [{"i": 1, "attempt": 1, "worker": "w0"}]
    assert [start["topic"] for start in sleepers.starts()] == [lab.settings.kafka_task_topic, waiting_topic]
    assert sleepers.starts()[1]["at_ms"] >= record.timestamp + DELAY_S * 1000

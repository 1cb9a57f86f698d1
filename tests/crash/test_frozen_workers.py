"""Workers that stand still past what the broker allows, and go on as if nothing had been."""

import time

import pytest
from kafka import KafkaConsumer, TopicPartition

from common.failpoint import VARIABLE, Failpoint
from tests.support.common.kafka.group import Lab
from tests.support.common.worker.sleepers import OffsetWatch, Sleepers, job, wait_for_freeze
from tests.support.waiting import wait_for

# A freeze shorter than the transaction time-out (5 s) and the broker's look for such cannot show row 8.
FREEZE_S = 22


@pytest.fixture
def lab(kafka) -> Lab:
    return Lab(kafka.bootstrap, partitions=1)


@pytest.fixture
def sleepers(stack, lab) -> Sleepers:
    return Sleepers(stack, lab)


def has_open_transaction(lab: Lab) -> bool:
    """Whether a reader of committed records is held back in the result topic."""
    partition = TopicPartition(lab.settings.kafka_result_topic, 0)
    ends = []
    for level in ("read_committed", "read_uncommitted"):
        consumer = KafkaConsumer(
            bootstrap_servers=lab.settings.kafka_bootstrap_servers, isolation_level=level
        )
        ends.append(consumer.end_offsets([partition])[partition])
        consumer.close()
    return ends[0] < ends[1]


def test_a_job_that_ends_after_its_workers_session_is_not_published_and_the_successors_is(lab, sleepers):
    lab.feed([job(1, 0, deaf=3)])
    with OffsetWatch(lab):
        frozen = sleepers.start("w0")
        sleepers.wait_for_starts(1, "w0")
        frozen.freeze()
        sleepers.start("w1", wait=False)
        (result,) = lab.wait_for_results(1)
        frozen.thaw()
        wait_for(lambda: "dropped: nothing published" in frozen.log(), 60, "end of the thawed job")
        frozen.wait_ready()
        assert result == {"i": 1, "attempt": 2, "worker": "w1"}
        assert lab.results() == [result]


@pytest.mark.slow
def test_a_transaction_that_was_open_when_its_workers_session_ended_is_refused_after_the_thaw(lab, sleepers):
    lab.feed([job(1, 0)])
    with OffsetWatch(lab):
        # It may freeze before it says that it is ready.
        frozen = sleepers.start("w0", wait=False, **{VARIABLE: f"{Failpoint.JOB_IN_TRANSACTION}:stop"})
        wait_for_freeze(frozen)
        sleepers.start("w1", wait=False)
        (result,) = lab.wait_for_results(1)
        frozen.thaw()
        wait_for(lambda: "the commit failed" in frozen.log(), 60, "refusal of the thawed commit")
        frozen.wait_ready()
        lab.feed([job(2, 0)])
        later = lab.wait_for_results(2)
        assert result == {"i": 1, "attempt": 2, "worker": "w1"}
        assert [r["i"] for r in later] == [1, 2]
        assert lab.results() == later


@pytest.mark.slow
def test_a_transaction_that_the_broker_ended_during_a_freeze_is_done_again_by_the_same_worker(lab, sleepers):
    """Row 8: session and poll interval hold, so that nobody else would do what is lost here."""
    lab.feed([job(1, 0), job(2, 0)])
    with OffsetWatch(lab):
        frozen = sleepers.start(
            "w0",
            wait=False,
            KAFKA_SESSION_TIMEOUT_MS="40000",
            KAFKA_PROCESSOR_MAX_POLL_INTERVAL_MS="40000",
            PROCESSOR_SLOTS="1",
            **{VARIABLE: f"{Failpoint.JOB_IN_TRANSACTION}:stop"},
        )
        wait_for_freeze(frozen)
        frozen_s = time.monotonic()
        assert has_open_transaction(lab)
        wait_for(lambda: not has_open_transaction(lab), 60, "end of the transaction at the broker")
        wait_for(lambda: time.monotonic() - frozen_s > FREEZE_S, 60, "end of the freeze")
        assert lab.results() == []
        frozen.thaw()
        expected = [{"i": number, "attempt": 1, "worker": "w0"} for number in (1, 2)]
        assert lab.wait_for_results(2) == expected
        assert "rebalance" not in frozen.log()
        # Each job has run once: it was the transaction that had to be done again.
        assert [sleepers.attempts(number) for number in (1, 2)] == [[("w0", 1)]] * 2
    assert lab.results() == expected

"""Jobs that run are finished where they run, whoever joins or leaves; what is idle moves at once."""

import contextlib
import signal
from collections import Counter
from collections.abc import Iterator

import pytest

from common.kafka import clients
from common.kafka.guarded_consumer import GuardedConsumer
from tests.support.api.api_process import metrics_of
from tests.support.common.kafka.earlier_assignor import EarlierAssignor
from tests.support.common.kafka.group import Lab, Polling
from tests.support.common.observability.exposition import Exposition
from tests.support.common.worker.sleepers import OffsetWatch, Sleepers, job
from tests.support.waiting import wait_for

PARTITIONS = 4
LAG = "uvr_consumer_lag_records"


@pytest.fixture
def lab(kafka) -> Lab:
    return Lab(kafka.bootstrap, partitions=PARTITIONS)


@pytest.fixture
def sleepers(stack, lab) -> Sleepers:
    return Sleepers(stack, lab, PROCESSOR_SLOTS="4")


@pytest.fixture(autouse=True)
def watch(lab) -> Iterator[OffsetWatch]:
    with OffsetWatch(lab) as watching:
        yield watching


def test_a_worker_that_joins_gets_what_is_idle_at_once_and_stops_nothing(lab, sleepers):
    lab.feed(job(n, 600) for n in range(PARTITIONS))
    sleepers.start("w0", PROCESSOR_SLOTS="2")
    sleepers.wait_for_starts(2, "w0")
    sleepers.start("w1")
    sleepers.wait_for_starts(2, "w1")
    assert sleepers.ends() == []
    assert Counter(start["i"] for start in sleepers.starts()) == Counter(range(PARTITIONS))


@pytest.mark.slow
def test_of_what_waits_in_idle_partitions_a_worker_that_joins_gets_some(lab, sleepers):
    first = sleepers.start("w0", PROCESSOR_SLOTS="1")
    lab.feed([job(0, 600)], partition=0)
    sleepers.wait_for_starts(1)
    # Its only slot is full: it reads this one and does not begin it.
    lab.feed([job(1, 0)], partition=1)
    wait_for(lambda: Exposition(metrics_of(first.url)).value(LAG), 30, "sight of what waits")
    sleepers.start("w1")
    assert lab.wait_for_results(1) == [{"i": 1, "attempt": 1, "worker": "w1"}]
    assert sleepers.ends() == [end for end in sleepers.ends() if end["i"] == 1]


@pytest.mark.slow
def test_a_busy_partition_moves_once_its_job_has_ended_and_what_waits_in_it_is_done_there(
    lab, sleepers, tmp_path
):
    first_end, second_end = tmp_path / "first", tmp_path / "second"
    first = sleepers.start("w0")
    lab.feed(job(n, 0, gate=str(first_end)) for n in range(PARTITIONS))
    sleepers.wait_for_starts(PARTITIONS, "w0")
    lab.feed(job(n, 0, gate=str(second_end)) for n in range(PARTITIONS, 2 * PARTITIONS))
    sleepers.start("w1")
    wait_for(lambda: "another worker gets them then" in first.log(), 60, "partitions that are for the other")
    first_end.touch()
    sleepers.wait_for_starts(2, "w1")
    second_end.touch()
    results = lab.wait_for_results(2 * PARTITIONS)
    assert Counter(result["i"] for result in results) == Counter(range(2 * PARTITIONS))
    assert len(sleepers.starts()) == 2 * PARTITIONS
    # Each had its share once the first jobs were over.
    assert Counter(start["worker"] for start in sleepers.starts()) == {"w0": 6, "w1": 2}


@pytest.mark.slow
def test_a_job_that_holds_its_partition_for_too_long_gives_it_up(lab, sleepers):
    lab.feed(job(n, 600) for n in range(PARTITIONS))
    sleepers.start("w0", DRAIN_ON_REBALANCE_S="5")
    sleepers.wait_for_starts(PARTITIONS, "w0")
    sleepers.start("w1")
    moved = sleepers.wait_for_starts(2, "w1")
    assert all(start["attempt"] == 2 for start in moved)
    assert len(sleepers.starts()) == PARTITIONS + 2


@pytest.mark.slow
def test_a_worker_that_stops_finishes_its_job_while_the_other_does_what_waits(lab, sleepers):
    lab.feed([job(0, 20)], partition=0)
    leaving = sleepers.start("w0", PROCESSOR_SLOTS="1", SHUTDOWN_GRACE_S="60")
    sleepers.wait_for_starts(1, "w0")
    sleepers.start("w1")
    leaving.process.signal(signal.SIGTERM)
    wait_for(lambda: "another worker gets them then" in leaving.log(), 30, "partitions given up for good")
    for partition in range(1, PARTITIONS):
        lab.feed([job(partition, 0)], partition=partition)
    others = lab.wait_for_results(PARTITIONS - 1)
    assert {result["worker"] for result in others} == {"w1"}
    assert sorted(result["i"] for result in others) == [1, 2, 3]
    assert leaving.process.wait(60) == 0
    assert len(sleepers.starts()) == PARTITIONS
    assert lab.wait_for_results(PARTITIONS)[-1] == {"i": 0, "attempt": 1, "worker": "w0"}


@pytest.mark.slow
def test_under_jobs_of_some_seconds_workers_join_and_leave_all_the_time_and_each_job_is_begun_once(
    lab, sleepers
):
    jobs = 24
    lab.feed(job(n, 3) for n in range(jobs))
    sleepers.start("w0", PROCESSOR_SLOTS="2")
    sleepers.wait_for_starts(2)
    joining = [sleepers.start(f"w{n}", PROCESSOR_SLOTS="2", SHUTDOWN_GRACE_S="60") for n in (1, 2)]
    while len(lab.results()) < jobs:
        for worker in joining:
            assert worker.stop() == 0
            worker.start()
            worker.wait_ready()
    assert Counter(start["i"] for start in sleepers.starts()) == Counter(range(jobs))
    assert Counter(result["i"] for result in lab.results()) == Counter(range(jobs))
    assert {start["worker"] for start in sleepers.starts()} == {"w0", "w1", "w2"}


@contextlib.contextmanager
def member_of_an_earlier_version(lab: Lab) -> Iterator[None]:
    """It says nothing of jobs, and as the leader shares out without regard to any; it does none itself."""
    settings = lab.settings.model_copy(update={"worker_id": "old"})
    options = clients.consumer_options(settings, settings.kafka_group_id, 60000)
    consumer = GuardedConsumer(**{**options, "partition_assignment_strategy": [EarlierAssignor]})
    consumer.subscribe([settings.kafka_task_topic])
    polling = Polling(consumer)
    try:
        wait_for(lambda: consumer.assignment(), 30, "assignment of the member of an earlier version")
        yield
    finally:
        polling.stop()
        clients.close_consumer(consumer)
        clients.leave_group(settings, settings.kafka_group_id)


@pytest.mark.slow
@pytest.mark.parametrize("leader", ["an earlier version", "this version"])
def test_beside_a_member_of_an_earlier_version_every_job_is_done_once(lab, sleepers, leader):
    with contextlib.ExitStack() as members:
        if leader == "this version":
            sleepers.start("w0")
        members.enter_context(member_of_an_earlier_version(lab))
        if leader != "this version":
            sleepers.start("w0")
        lab.feed(job(n, 6) for n in range(PARTITIONS))
        sleepers.wait_for_starts(2, "w0")
        sleepers.start("w1")
    results = lab.wait_for_results(PARTITIONS)
    assert Counter(result["i"] for result in results) == Counter(range(PARTITIONS))
    assert all(sleepers.most_at_once(number) == 1 for number in range(PARTITIONS))
    if leader == "this version":
        assert len(sleepers.starts()) == PARTITIONS

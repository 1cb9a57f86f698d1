"""Partitions that move at once, come back and move all the time under jobs that take longer than any of it.

DRAIN_ON_REBALANCE_S is 0 here, so that jobs do lose their partitions; test_running_jobs_stay.py has the rest.
"""

import contextlib
from collections import Counter
from collections.abc import Iterator

import pytest

from common.kafka import clients
from tests.support.common.kafka.group import Lab, Polling
from tests.support.common.kafka.members import member
from tests.support.common.worker.sleepers import OffsetWatch, Sleepers, job
from tests.support.waiting import wait_for


@pytest.fixture
def lab(kafka) -> Lab:
    return Lab(kafka.bootstrap, partitions=4)


@pytest.fixture
def sleepers(stack, lab) -> Sleepers:
    return Sleepers(stack, lab, DRAIN_ON_REBALANCE_S="0")


@pytest.fixture(autouse=True)
def watch(lab) -> Iterator[OffsetWatch]:
    with OffsetWatch(lab) as watching:
        yield watching


@contextlib.contextmanager
def idle_member(lab: Lab) -> Iterator[Polling]:
    """Another member of the group, which does no job; it leaves at the end."""
    consumer = member(lab, "idle")
    consumer.subscribe([lab.settings.kafka_task_topic])
    polling = Polling(consumer)
    try:
        wait_for(lambda: consumer.assignment(), 30, "assignment of the idle member")
        yield polling
    finally:
        polling.stop()
        clients.close_consumer(consumer)
        clients.leave_group(
            lab.settings.model_copy(update={"worker_id": "idle"}), lab.settings.kafka_group_id
        )


@pytest.mark.slow
def test_a_job_whose_partition_moves_is_stopped_and_done_once_by_the_other_worker(lab, sleepers):
    lab.feed(job(n, 10) for n in range(4))
    sleepers.start("w0", PROCESSOR_SLOTS="4")
    sleepers.wait_for_starts(4)
    sleepers.start("w1", PROCESSOR_SLOTS="4")
    results = {result["i"]: result["worker"] for result in lab.wait_for_results(4)}
    assert Counter(results.values()) == {"w0": 2, "w1": 2}
    for number, worker in results.items():
        assert sleepers.attempts(number) == [("w0", 1), ("w1", 2)][: 1 if worker == "w0" else 2]
    assert len(lab.results()) == 4


@pytest.mark.slow
def test_a_move_is_no_crash_and_does_not_count_towards_the_attempts(lab, sleepers):
    lab.feed(job(n, 8) for n in range(4))
    sleepers.start("w0", PROCESSOR_SLOTS="4", MAX_ATTEMPTS="1")
    sleepers.wait_for_starts(4)
    sleepers.start("w1", PROCESSOR_SLOTS="4", MAX_ATTEMPTS="1")
    results = lab.wait_for_results(4)
    assert not [result for result in results if "error" in result]
    assert Counter(result["attempt"] for result in results) == {1: 2, 2: 2}


@pytest.mark.slow
def test_a_partition_that_comes_back_while_its_job_still_runs_does_not_start_it_beside_itself(lab, sleepers):
    lab.feed(job(n, 0, deaf=15) for n in range(4))
    worker = sleepers.start("w0", PROCESSOR_SLOTS="8")
    sleepers.wait_for_starts(4)
    with idle_member(lab):
        wait_for(lambda: "rebalance: lost or revoked" in worker.log(), 30, "partitions that move")
    wait_for(lambda: "rebalance: assigned" in worker.log(), 30, "partitions that come back")
    assert sleepers.ends() == []
    results = lab.wait_for_results(4)
    assert sorted(result["i"] for result in results) == [0, 1, 2, 3]
    assert Counter(result["attempt"] for result in results) == {1: 2, 2: 2}
    for number in range(4):
        assert sleepers.most_at_once(number) == 1


@pytest.mark.slow
def test_a_worker_that_joins_and_leaves_again_and_again_loses_and_doubles_nothing(lab, sleepers):
    lab.feed(job(n, 3) for n in range(16))
    sleepers.start("w0", PROCESSOR_SLOTS="4")
    sleepers.wait_for_starts(4)
    second = sleepers.start("w1", PROCESSOR_SLOTS="4", SHUTDOWN_GRACE_S="0.5")
    sleepers.wait_for_starts(1, "w1")
    assert second.stop() == 0
    second.start()
    second.wait_ready()
    assert second.stop() == 0
    results = lab.wait_for_results(16)
    assert Counter(result["i"] for result in results) == Counter(range(16))
    assert all(sleepers.most_at_once(number) == 1 for number in range(16))


@pytest.mark.slow
def test_partitions_that_move_twice_under_long_jobs_end_none_of_them(lab, sleepers):
    lab.feed(job(n, 600) for n in range(4))
    worker = sleepers.start("w0", PROCESSOR_SLOTS="8")
    sleepers.wait_for_starts(4)
    for cycle in (1, 2):
        with idle_member(lab):
            pass
        sleepers.wait_for_starts(4 + 2 * cycle)
    assert lab.results() == []
    assert worker.get("/readyz")[0] == 200

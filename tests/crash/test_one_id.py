"""Two workers with one WORKER_ID: one stops and says why, the other works, and no job is done twice."""

from collections import Counter

import pytest

from common.settings.exit_codes import EXIT_FENCED
from tests.support.common.kafka.group import Lab
from tests.support.common.worker.sleepers import OffsetWatch, Sleepers, job
from tests.support.waiting import wait_for


@pytest.fixture
def lab(kafka) -> Lab:
    return Lab(kafka.bootstrap, partitions=2)


@pytest.fixture
def sleepers(stack, lab) -> Sleepers:
    return Sleepers(stack, lab)


@pytest.mark.slow
def test_the_one_that_is_replaced_in_the_middle_of_a_job_stops_and_the_job_is_done_once(lab, sleepers):
    lab.feed([job(1, 8)])
    with OffsetWatch(lab):
        first = sleepers.start("same")
        sleepers.wait_for_starts(1)
        second = sleepers.start("same", wait=False)
        assert first.process.wait(60) == EXIT_FENCED
        assert "WORKER_ID=same" in first.log()
        assert [(r["i"], r["attempt"]) for r in lab.wait_for_results(1)] == [(1, 2)]
        second.wait_ready()
    assert len(lab.results()) == 1


@pytest.mark.slow
def test_of_two_that_start_at_the_same_moment_one_stops_and_the_other_does_the_jobs(lab, sleepers):
    lab.feed(job(n, 0.2) for n in range(20))
    with OffsetWatch(lab):
        both = [sleepers.start("same", wait=False) for _ in range(2)]
        ended = wait_for(
            lambda: [s for s in both if s.process.returncode is not None], 90, "end of one of the two"
        )
        assert [s.process.returncode for s in ended] == [EXIT_FENCED]
        assert "WORKER_ID=same" in ended[0].log()
        (other,) = (s for s in both if s not in ended)
        results = lab.wait_for_results(20)
        other.wait_ready()
    assert Counter(result["i"] for result in results) == Counter(range(20))

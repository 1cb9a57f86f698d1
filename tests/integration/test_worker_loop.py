"""The worker loop on a real broker, as real processes that are stopped and killed."""

import json
import time
from collections import Counter

import pytest

from common.kafka.lanes import PRIORITIES
from common.settings.exit_codes import EXIT_FENCED
from tests.support.common.kafka.group import Lab
from tests.support.common.worker.sleepers import Sleepers, job
from tests.support.waiting import wait_for


@pytest.fixture
def lab(kafka):
    return Lab(kafka.bootstrap, partitions=4)


@pytest.fixture
def sleepers(stack, lab):
    return Sleepers(stack, lab)


def test_jobs_submitted_before_the_first_worker_are_done_each_once(lab, sleepers):
    lab.feed(job(n, 0.05) for n in range(40))
    sleepers.start()
    results = lab.wait_for_results(40)
    assert Counter(result["i"] for result in results) == Counter(range(40))
    assert sleepers.most_at_once_of("w0") <= 2


@pytest.mark.slow
@pytest.mark.parametrize("priorities", [(3,), PRIORITIES])
def test_partitions_that_come_and_go_lose_and_double_nothing(lab, sleepers, priorities):
    for first, priority in enumerate(priorities):
        jobs = range(first, 80, len(priorities))
        lab.feed((job(n, 0.2, p=priority) for n in jobs), priority=priority)
    sleepers.start("w0")
    sleepers.wait_for_starts(5)
    second = sleepers.start("w1")
    sleepers.wait_for_starts(1, "w1")  # on a busy machine it comes late
    assert second.stop() == 0
    results = lab.wait_for_results(80, 90)
    assert Counter(result["i"] for result in results) == Counter(range(80))
    assert {result["worker"] for result in results} == {"w0", "w1"}
    assert sleepers.most_at_once_of("w0") <= 2


def test_a_rebalance_is_logged_with_that_word_and_the_first_assignment_is_not(lab, sleepers):
    first = sleepers.start("w0")
    lab.feed([job(0, 0)], partition=0)
    sleepers.wait_for_starts(1)  # a worker is ready before it has partitions
    assert "rebalance" not in first.log()
    sleepers.start("w1")
    wait_for(lambda: "rebalance" in first.log(), 30, "line about the rebalance")


def test_a_short_job_is_out_while_a_long_one_before_it_runs(lab, sleepers):
    lab.feed([job(0, 600), job(1, 0)], partition=0)
    sleepers.start()
    assert [result["i"] for result in lab.wait_for_results(1)] == [1]
    committed = lab.committed(0)
    assert committed.offset == 0
    assert json.loads(committed.metadata) == {"n": 2, "a": {"0": 1}}


def test_after_a_kill_what_was_done_stays_done_and_the_rest_runs_again(lab, sleepers):
    lab.feed([job(0, 600), job(1, 0)], partition=0)
    worker = sleepers.start()
    lab.wait_for_results(1)
    worker.kill()
    worker.start()
    sleepers.wait_for_starts(3)
    assert [(e["i"], e["attempt"]) for e in sleepers.starts()][2:] == [(0, 2)]


@pytest.mark.slow
def test_a_job_that_never_ends_is_given_up_after_three_attempts(lab, sleepers):
    lab.feed([job(0, 600)])
    worker = sleepers.start()
    for attempt in (1, 2, 3):
        sleepers.wait_for_starts(attempt)
        worker.kill()
        worker.start()
    assert lab.wait_for_results(1) == [{"i": 0, "error": "engine_crashed"}]
    assert len(sleepers.starts()) == 3


@pytest.mark.slow
def test_sigterm_lets_a_running_job_finish_and_takes_no_other(lab, sleepers):
    lab.feed(job(n, 3) for n in range(8))
    worker = sleepers.start()
    sleepers.wait_for_starts(2)
    assert worker.stop() == 0
    assert len(sleepers.starts()) == 2
    assert len(lab.results()) == 2
    assert lab.members() == {}


def test_past_the_grace_a_job_is_cancelled_and_all_that_is_committed_is_that_it_does_not_count(lab, sleepers):
    lab.feed([job(0, 600)])
    worker = sleepers.start(SHUTDOWN_GRACE_S="0.5")
    sleepers.wait_for_starts(1)
    assert worker.stop() == 0
    assert lab.results() == []
    assert json.loads(lab.committed(0).metadata) == {"n": 1, "a": {"0": [1, 1]}}


def test_a_member_that_keeps_its_membership_is_still_in_the_group(lab, sleepers):
    worker = sleepers.start(KEEP_MEMBERSHIP="true")
    assert worker.stop() == 0
    assert set(lab.members()) == {"w0"}


def test_what_cannot_be_decoded_is_put_aside_and_the_next_job_done(lab, sleepers):
    lab.feed([b"\xff not json", job(1, 0)], partition=0)
    sleepers.start()
    lab.wait_for_results(1)
    (letter,) = lab.records(lab.settings.kafka_dead_letter_topic)
    assert letter.value == b"\xff not json"
    headers = dict(letter.headers)
    assert headers["uvr-error-code"] == b"invalid_message"
    assert headers["uvr-origin"] == f"{lab.settings.kafka_task_topic}/0/0".encode()
    assert headers["uvr-reason"]


@pytest.mark.slow
def test_two_workers_with_one_id_the_fenced_one_stops_and_names_the_setting(lab, sleepers):
    first = sleepers.start("same")
    sleepers.start("same", wait=False)
    assert first.process.wait(60) == EXIT_FENCED
    assert "WORKER_ID=same" in first.log()


@pytest.mark.slow
def test_a_frozen_worker_logs_that_it_overran_the_poll_interval(lab, sleepers):
    worker = sleepers.start(KAFKA_PROCESSOR_MAX_POLL_INTERVAL_MS="6000")
    worker.freeze()
    # Its session can end sooner than that: it runs from the last heartbeat.
    overrun_s = time.monotonic() + 6.5
    wait_for(lambda: time.monotonic() > overrun_s and not lab.members(), 40, "end of its session")
    worker.thaw()
    wait_for(lambda: "max.poll.interval.ms" in worker.log(), 30, "line about the poll interval")
    lab.feed([job(0, 0)])
    assert [result["i"] for result in lab.wait_for_results(1)] == [0]

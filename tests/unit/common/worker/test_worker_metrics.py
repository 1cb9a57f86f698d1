"""What a consumer counts of its jobs, and what stands at 0 from the start."""

import threading
from functools import partial

import pytest
from kafka.errors import KafkaConnectionError

from common.errors import Cancelled, CrashError, ErrorCode, JobError, PermanentError, TransientError
from common.jobs import dead_letters, retry
from common.jobs.outcome import Deferred, Done, Poison
from common.jobs.places import Claim
from common.kafka.records import Message
from common.worker.metrics import AttemptResult, WorkerMetrics
from tests.support.common.observability.exposition import Exposition
from tests.support.common.worker.fakes import TOPIC, FakeHandler, record, rules
from tests.support.common.worker.job_harness import Desk, raising, returning
from tests.support.common.worker.worker_harness import WorkerHarness
from tests.support.waiting import wait_for

RESULT = Message("results", b"k", b"v")
CRASH = CrashError(ErrorCode.ENGINE_CRASHED)
AWAY = TransientError(ErrorCode.NETWORK_ERROR, "away")


def measured(run, refuse=lambda message: False, **options) -> Exposition:
    """What is shown after one job."""
    metrics = WorkerMetrics.create("processor")
    handler = FakeHandler(run, **options)
    Desk(refuse=refuse, on_outcome=partial(metrics.attempt_ended, rules())).run(handler)
    return Exposition.of(metrics.registry)


def ends(shown: Exposition) -> dict[str, float]:
    """The outcomes that were counted."""
    counts = {end: shown.value("uvr_jobs_total", service="processor", outcome=end) for end in AttemptResult}
    return {end: count for end, count in counts.items() if count}


@pytest.mark.parametrize(
    ("run", "options", "end"),
    [
        (returning(Done((RESULT,))), {}, AttemptResult.SUCCEEDED),
        (raising(PermanentError(ErrorCode.NOT_AUDIO)), {}, AttemptResult.FAILED),
        (raising(PermanentError(ErrorCode.CANCELLED)), {}, AttemptResult.UNWANTED),
        (raising(AWAY), {"retries": 1}, AttemptResult.RETRIED),
        (raising(AWAY), {"retries": 0}, AttemptResult.FAILED),
        (raising(CRASH), {}, AttemptResult.RETRIED),
        (returning(Poison("not JSON")), {}, AttemptResult.PUT_ASIDE),
        (raising(Cancelled()), {}, AttemptResult.DROPPED),
        (returning(Deferred(Claim("a"))), {}, AttemptResult.DEFERRED),
        (raising(ZeroDivisionError()), {}, AttemptResult.FAILED),
    ],
)
def test_a_job_is_counted_once_by_what_became_of_it(run, options, end):
    assert ends(measured(run, **options)) == {end: 1}


def test_a_result_that_kafka_never_takes_is_a_failed_job():
    shown = measured(returning(Done((RESULT,))), refuse=lambda message: message.value == b"v")
    assert ends(shown) == {AttemptResult.FAILED: 1}


@pytest.mark.parametrize(("error", "code"), [(AWAY, "network_error"), (CRASH, "engine_crashed")])
def test_a_retry_is_counted_by_why(error: JobError, code: str):
    shown = measured(raising(error), retries=1)
    assert shown.value("uvr_retries_total", service="processor", code=code) == 1
    assert shown.value("uvr_retries_total") == 1


@pytest.mark.parametrize(
    ("run", "code"),
    [(raising(AWAY), "network_error"), (returning(Poison("not JSON")), "invalid_message")],
)
def test_a_dead_letter_is_counted_by_why(run, code):
    shown = measured(run)
    assert shown.value("uvr_dead_letters_total", service="processor", code=code) == 1
    assert shown.value("uvr_dead_letters_total") == 1


def test_a_dead_letter_that_a_service_writes_itself_is_counted_too():
    letter = dead_letters.letter(
        "dead", record(0), ErrorCode.CALLBACK_GONE, "gone", 1, retry.history(record(0))
    )
    shown = measured(raising(PermanentError(ErrorCode.CALLBACK_GONE)), give_up=lambda *_: Done((letter,)))
    assert shown.value("uvr_dead_letters_total", code="callback_gone") == 1


def test_counters_stand_at_zero_before_anything_happens():
    shown = Exposition.of(WorkerMetrics.create("uploader", ["upload"]).registry)
    assert {labels["outcome"] for labels in shown.labels("uvr_jobs_total")} == set(AttemptResult)
    assert {labels["code"] for labels in shown.labels("uvr_dead_letters_total")} == set(ErrorCode)
    assert shown.labels("uvr_phase_seconds_count") == [{"service": "uploader", "phase": "upload"}]
    assert shown.labels("uvr_stage_seconds_count") == [{"service": "uploader", "stage": "upload"}]
    assert len(shown.labels("uvr_rebalances_total")) == 2
    assert len(shown.labels("uvr_poll_overruns_total")) == 1


def test_every_number_is_of_its_service_and_each_registry_its_own():
    first, second = WorkerMetrics.create("processor"), WorkerMetrics.create("processor")
    first.overran()
    assert Exposition.of(first.registry).value("uvr_poll_overruns_total", service="processor") == 1
    assert Exposition.of(second.registry).value("uvr_poll_overruns_total") == 0


def test_a_phase_is_timed_only_if_it_was_come_through():
    now_s = iter([10.0, 14.5, 20.0])
    metrics = WorkerMetrics.create("processor", ["download"], lambda: next(now_s))
    with metrics.timed("download"):
        pass
    with pytest.raises(ValueError, match="away"), metrics.timed("download"):
        raise ValueError("away")
    shown = Exposition.of(metrics.registry)
    assert shown.value("uvr_phase_seconds_sum", phase="download") == 4.5
    assert shown.value("uvr_phase_seconds_count", phase="download") == 1
    assert shown.value("uvr_stage_seconds_sum", stage="download") == 4.5  # the name of earlier releases
    assert shown.value("uvr_stage_seconds_count", stage="download") == 1


def test_rebalances_after_the_first_assignment_are_counted():
    harness = WorkerHarness()
    running = harness.start()
    # A worker is ready before its first poll, which brings the first assignment.
    wait_for(lambda: harness.worker.check().ok and harness.consumer.polls > 1, 20, "first assignment")
    assert Exposition.of(harness.metrics.registry).value("uvr_rebalances_total") == 0
    harness.consumer.lose()
    assert Exposition.of(harness.metrics.registry).value("uvr_rebalances_total", change="revoked") == 1
    harness.consumer.errors.append(KafkaConnectionError())  # a new consumer gets the partition again
    again = lambda: Exposition.of(harness.metrics.registry).value("uvr_rebalances_total", change="assigned")  # noqa: E731
    assert wait_for(again, 20, "second assignment") == 1
    assert len(harness.consumers) == 2
    harness.worker.stop()
    running.result()


def test_an_overrun_of_the_poll_interval_is_counted():
    harness = WorkerHarness()
    running = harness.start()
    wait_for(lambda: harness.consumers and harness.consumer.polls > 1, 20, "polls")
    harness.now_s += 61
    overruns = lambda: Exposition.of(harness.metrics.registry).value("uvr_poll_overruns_total")  # noqa: E731
    assert wait_for(overruns, 20, "overrun") == 1
    harness.worker.stop()
    running.result()


def test_the_lag_is_what_lies_behind_our_position_by_topic():
    started, go_on = threading.Event(), threading.Event()

    def run(record, context):
        started.set()
        assert go_on.wait(20)
        return Done((RESULT,))

    harness = WorkerHarness(run, [b"0", b"1", b"2"], slots=1)
    assert harness.worker.lag() == {}
    running = harness.start()
    assert started.wait(20)
    assert harness.worker.lag() == {TOPIC: 2}
    assert harness.worker.running_count == 1
    go_on.set()
    wait_for(lambda: harness.worker.lag() == {TOPIC: 0}, 20, "end of the log")
    harness.worker.stop()
    running.result()

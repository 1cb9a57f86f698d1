"""Jobs whose run is over stop at once, before they begin, and in place of a retry."""

from collections.abc import Callable
from uuid import UUID

import pytest

from common.errors import Cancelled, CrashError, ErrorCode, PermanentError, TransientError
from common.jobs.handler import JobContext
from common.kafka.topics import status_retention_s
from common.settings.schema import KafkaSettings
from common.tasks.cancels import Cancels
from common.tasks.messages import Cancel, Task
from tests.support.common.worker.fakes import FakeContext, InThread

DAY_S = 24 * 3600.0


def task(number: int = 1, run: int = 1, cancel_at: float | None = None) -> Task:
    uuid = UUID(int=number)
    return Task(task_uuid=uuid, audio="a", hook_url="h", submitted_at=1.0, run=run, cancel_at=cancel_at)


def cancel(number: int = 1, run: int = 1) -> Cancel:
    return Cancel(task_uuid=UUID(int=number), run=run, requested_at=1.0)


def begin(
    cancels: Cancels,
    run: Task,
    context: FakeContext | None = None,
    work: Callable[[JobContext], object] = lambda context: None,
) -> ErrorCode | None:
    """Returns the permanent error of a job of this run; None if the job reaches its end."""
    try:
        with cancels.stoppable(run, context or FakeContext()) as ending:
            work(ending)
    except PermanentError as error:
        return error.code
    return None


class Waiting(InThread):
    """Starts a job that waits for the cancels."""

    def __init__(self, cancels: Cancels):
        context = FakeContext()
        super().__init__(begin, cancels, task(), context)
        while not context.checks:
            assert self.waits


def test_a_cancel_is_for_its_run_and_for_no_later_one():
    cancels = Cancels()
    cancels.add(cancel(1, run=2))
    found = [begin(cancels, run) for run in (task(1, run=2), task(1, run=3), task(2, run=2))]
    assert found == ["cancelled", None, None]


def test_a_cancel_that_is_heard_of_again_does_not_undo_that_of_a_later_run():
    cancels = Cancels()
    cancels.add(cancel(run=2))
    cancels.add(cancel(run=1))
    assert begin(cancels, task(run=2)) == "cancelled"


def test_a_run_that_has_begun_ends_at_its_next_check():
    cancels = Cancels()

    def work(context: JobContext) -> None:
        context.check()
        cancels.add(cancel())
        context.check()

    assert begin(cancels, task(), work=work) == "cancelled"


def test_a_deadline_ends_a_run_before_and_while_it_works():
    now_s = [9.0]
    cancels = Cancels(lambda: now_s[0])
    late = task(cancel_at=10.0)

    def work(context: JobContext) -> None:
        context.check()
        now_s[0] = 10.0
        context.wait(20)

    assert begin(cancels, late, work=work) == "deadline_exceeded"
    assert [begin(cancels, late), begin(cancels, task())] == ["deadline_exceeded", None]


@pytest.mark.parametrize(
    "error", [TransientError(ErrorCode.HTTP_ERROR), CrashError(ErrorCode.ENGINE_CRASHED)]
)
def test_a_run_that_was_cancelled_is_not_tried_again(error):
    cancels = Cancels()

    def fail(context: JobContext) -> None:
        raise error

    def be_cancelled_and_fail(context: JobContext) -> None:
        cancels.add(cancel())
        raise error

    with pytest.raises(type(error)):
        begin(cancels, task(), work=fail)
    assert begin(cancels, task(), work=be_cancelled_and_fail) == "cancelled"


def test_what_went_wrong_for_good_before_is_told():
    cancels = Cancels()

    def work(context: JobContext) -> None:
        cancels.add(cancel())
        raise PermanentError(ErrorCode.NOT_AUDIO)

    assert begin(cancels, task(), work=work) == "not_audio"


def test_who_has_lost_the_lease_does_not_say_how_the_run_ends():
    cancels = Cancels()
    cancels.add(cancel())
    with pytest.raises(Cancelled), cancels.stoppable(task(), FakeContext(cancel_after=0)):
        pass


def test_the_context_is_its_jobs_own_but_for_its_checks():
    with Cancels().stoppable(task(), FakeContext(attempt=3)) as context:
        assert (context.attempt, context.counted_attempts) == (3, 3)


def test_a_job_waits_until_all_cancels_are_known():
    cancels = Cancels()
    cancels.fall_behind()
    job = Waiting(cancels)
    with pytest.raises(Cancelled), cancels.stoppable(task(2), FakeContext(cancel_after=2)):
        pass
    assert job.waits
    cancels.add(cancel())
    cancels.catch_up()
    assert job.result() == "cancelled"


def test_jobs_do_not_wait_for_ever_and_not_one_after_another():
    now_s = [0.0]
    cancels = Cancels(clock=lambda: now_s[0], patience_s=10.0)
    cancels.fall_behind()
    first = Waiting(cancels)
    now_s[0] = 10.0
    assert first.result() is None
    assert begin(cancels, task(), FakeContext(cancel_after=1)) is None
    # After the cancels could be read again, the next outage has a patience of its own.
    cancels.catch_up()
    cancels.fall_behind()
    second = Waiting(cancels)
    cancels.catch_up()
    assert second.result() is None


@pytest.mark.parametrize(("kafka_days", "kept_days"), [(7, 30), (60, 60)])
def test_cancels_of_tasks_that_are_long_gone_take_no_memory(kafka_days, kept_days):
    now_s = [0.0]
    settings = KafkaSettings(kafka_retention_ms=kafka_days * DAY_S * 1000)
    cancels = Cancels(clock=lambda: now_s[0], retention_s=status_retention_s(settings))
    for number in range(100):
        now_s[0] = number * DAY_S
        cancels.add(cancel(number))
    ended = [number for number in range(100) if begin(cancels, task(number)) == "cancelled"]
    assert ended == list(range(99 - kept_days, 100))

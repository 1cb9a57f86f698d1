"""A cancelled run in the processor: nothing begins, no file stays, and its end is published."""

import pytest

from common.errors import ErrorCode, PermanentError, TransientError
from common.tasks import messages
from common.tasks.cancels import Cancels
from common.tasks.messages import Cancel, Separated
from tests.support.common.worker.fakes import FakeContext, given_up, run
from tests.support.http_server import ScriptedServer
from tests.support.processor.processor_harness import TASK_UUID, FakeEngine, ProcessorHarness


@pytest.fixture
def harness(tmp_path):
    with ScriptedServer() as server:
        yield ProcessorHarness(tmp_path, server)


def cancel(cancels: Cancels) -> None:
    cancels.add(Cancel(task_uuid=TASK_UUID, run=1, requested_at=2.0))


def test_a_run_that_was_cancelled_is_not_downloaded(harness):
    cancels = Cancels()
    cancel(cancels)
    with pytest.raises(PermanentError) as caught:
        run(harness.handler(cancels=cancels), harness.record(), FakeContext())
    assert caught.value.code == "cancelled"
    assert harness.server.requests() == []


def test_a_run_whose_deadline_has_passed_is_not_downloaded(harness):
    with pytest.raises(PermanentError) as caught:
        run(harness.handler(cancels=Cancels(lambda: 50.0)), harness.record(cancel_at=50.0), FakeContext())
    assert caught.value.code == "deadline_exceeded"
    assert harness.server.requests() == []


@pytest.mark.parametrize("error", [None, TransientError(ErrorCode.ENGINE_TIMEOUT)])
def test_of_a_run_cancelled_while_it_is_separated_nothing_stays(harness, error):
    cancels = Cancels()

    def be_cancelled() -> None:
        cancel(cancels)
        if error:
            raise error

    with pytest.raises(PermanentError) as caught:
        run(harness.handler(FakeEngine(be_cancelled), cancels=cancels), harness.record(), FakeContext())
    assert caught.value.code == "cancelled"
    assert harness.staged() == []
    harness.assert_no_temporary_files()


def test_the_end_is_announced_as_a_failure_that_is_not_over_yet(harness):
    error = PermanentError(ErrorCode.CANCELLED, "The task was cancelled")
    result, told = given_up(harness.handler(), harness.record(), error, FakeContext()).messages
    assert messages.decode_result(result.value).error_code == "cancelled"
    status = messages.decode_status(told.value)
    assert (status.state, status.error_code) == ("delivering", "cancelled")


def test_the_deadline_goes_on_with_the_result(harness):
    done = run(harness.handler(cancels=Cancels(lambda: 1.0)), harness.record(cancel_at=50.0), FakeContext())
    result = messages.decode_result(done.messages[0].value)
    assert isinstance(result, Separated)
    assert result.cancel_at == 50.0

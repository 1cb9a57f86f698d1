"""A cancelled run in the processor: nothing begins, no file stays, and its end is published."""

import pytest

from common.errors import ErrorCode, PermanentError, TransientError
from common.tasks import messages
from common.tasks.cancels import Cancels
from common.tasks.messages import Cancel, Separated
from tests.support.common.worker.fakes import FakeContext
from tests.support.http_server import ScriptedServer
from tests.support.processor.processor_harness import TASK_UUID, FakeEngine, ProcessorBench


@pytest.fixture
def bench(tmp_path):
    with ScriptedServer() as server:
        yield ProcessorBench(tmp_path, server)


def cancel(cancels: Cancels) -> None:
    cancels.add(Cancel(task_uuid=TASK_UUID, run=1, requested_at=2.0))


def test_a_run_that_was_cancelled_is_not_downloaded(bench):
    cancels = Cancels()
    cancel(cancels)
    with pytest.raises(PermanentError) as caught:
        bench.handler(cancels=cancels).run(bench.record(), FakeContext())
    assert caught.value.code == "cancelled"
    assert bench.server.requests() == []


def test_a_run_whose_deadline_has_passed_is_not_downloaded(bench):
    with pytest.raises(PermanentError) as caught:
        bench.handler(cancels=Cancels(lambda: 50.0)).run(bench.record(cancel_at=50.0), FakeContext())
    assert caught.value.code == "deadline_exceeded"
    assert bench.server.requests() == []


@pytest.mark.parametrize("error", [None, TransientError(ErrorCode.ENGINE_TIMEOUT)])
def test_of_a_run_cancelled_while_it_is_separated_nothing_stays(bench, error):
    cancels = Cancels()

    def be_cancelled() -> None:
        cancel(cancels)
        if error:
            raise error

    with pytest.raises(PermanentError) as caught:
        bench.handler(FakeEngine(be_cancelled), cancels=cancels).run(bench.record(), FakeContext())
    assert caught.value.code == "cancelled"
    assert bench.staged() == []
    bench.assert_no_temporary_files()


def test_the_end_is_announced_as_a_failure_that_is_not_over_yet(bench):
    error = PermanentError(ErrorCode.CANCELLED, "The task was cancelled")
    result, told = bench.handler().give_up(bench.record(), error, FakeContext()).messages
    assert messages.decode_result(result.value).error_code == "cancelled"
    status = messages.decode_status(told.value)
    assert (status.state, status.error_code) == ("delivering", "cancelled")


def test_the_deadline_goes_on_with_the_result(bench):
    done = bench.handler(cancels=Cancels(lambda: 1.0)).run(bench.record(cancel_at=50.0), FakeContext())
    result = messages.decode_result(done.messages[0].value)
    assert isinstance(result, Separated)
    assert result.cancel_at == 50.0

"""A task's job in the processor: what is published, and which files are left after each end."""

import errno
from pathlib import Path

import pytest

from common.errors import Cancelled, ErrorCode, JobError, PermanentError, TransientError
from common.jobs import retry
from common.jobs.outcome import Done, Poison
from common.kafka.records import Message, Record
from common.storage.stage import LocalStage
from common.tasks import messages
from common.tasks.job_status import Statuses
from common.tasks.messages import Separated, SeparationFailed, State
from processor.engine.protocol import Computed
from processor.metrics import Phase, ProcessorMetrics
from tests.support.common.observability.exposition import Exposition
from tests.support.common.worker.fakes import FakeContext, MemoryOutbox, given_up, run, waiting_until
from tests.support.http_server import ScriptedServer, serve
from tests.support.processor.processor_harness import STEMS, TASK_UUID, FakeEngine, ProcessorHarness


class FullStage(LocalStage):
    """Has room for one stem."""

    def __init__(self, root: Path, number: int):
        super().__init__(root)
        self._number, self._puts = number, 0

    def put(self, *args):
        self._puts += 1
        if self._puts > 1:
            raise OSError(self._number, "no room", "/srv/secret")
        return super().put(*args)


@pytest.fixture
def harness(tmp_path):
    with ScriptedServer() as server:
        yield ProcessorHarness(tmp_path, server)


def result_of(done) -> Separated | SeparationFailed:
    assert isinstance(done, Done)
    message, _ = done.messages
    assert (message.topic, message.key) == ("results", str(TASK_UUID).encode())
    return messages.decode_result(message.value)


def test_the_stems_are_staged_and_announced(harness):
    result = result_of(run(harness.handler(), harness.record(), FakeContext(attempt=2)))
    assert isinstance(result, Separated)
    assert (result.model, result.device, result.gain, result.finished_at) == ("centre", "cpu", 0.5, 99.0)
    assert (result.runtime, result.precision, result.precision_fallback) == ("openvino", "bf16", None)
    assert (result.audio_s, result.engine_s) == (0.2, 0.1)
    assert sorted(stem.key for stem in result.stems.values()) == harness.staged()
    assert harness.staged() == sorted(f"{TASK_UUID}/tasks-0-5.2/{name}.wav" for name in STEMS)
    assert harness.stage.path(result.stems["vocals"].key).read_bytes() == b"vocals"
    harness.assert_no_temporary_files()


def test_a_song_that_float32_had_to_take_over_says_so_in_log_and_result(harness, caplog):
    engine = FakeEngine(computed=Computed("openvino", "fp32", "bf16: NaN"))
    result = result_of(run(harness.handler(engine), harness.record(), FakeContext()))
    assert (result.precision, result.precision_fallback) == ("fp32", "bf16: NaN")
    assert "computed in fp32: bf16: NaN" in caplog.text


@pytest.mark.parametrize(
    "error",
    [
        TransientError(ErrorCode.ENGINE_CRASHED),
        PermanentError(ErrorCode.NOT_AUDIO),
        Cancelled(),
        RuntimeError("a defect"),
        SystemExit(1),
    ],
)
def test_nothing_stays_after_an_engine_that_failed(harness, error):
    def fail() -> None:
        raise error

    with pytest.raises(type(error)):
        run(harness.handler(FakeEngine(fail)), harness.record(), FakeContext())
    assert harness.staged() == []
    harness.assert_no_temporary_files()


def test_a_job_cancelled_between_two_stems_takes_the_first_back(harness):
    context = FakeContext()

    def cancel_after_one() -> None:
        context.cancel_after = context.checks + 1

    with pytest.raises(Cancelled):
        run(harness.handler(FakeEngine(cancel_after_one)), harness.record(), context)
    assert harness.staged() == []
    harness.assert_no_temporary_files()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_transient_and_the_user_reads_no_path(harness, number):
    stage = FullStage(harness.stage.root, number)
    with pytest.raises(TransientError) as caught:
        run(harness.handler(stage=stage), harness.record(), FakeContext())
    assert caught.value.code == ErrorCode.DISK_FULL
    assert "secret" not in caught.value.message
    assert harness.staged() == []
    harness.assert_no_temporary_files()


def test_a_download_that_fails_leaves_nothing(harness):
    harness.server.on("/gone.wav", serve(b"", status=404))
    with pytest.raises(JobError, match="404"):
        run(harness.handler(), harness.record("/gone.wav"), FakeContext())
    harness.assert_no_temporary_files()


def test_what_is_not_audio_leaves_nothing(harness):
    harness.server.on("/page.wav", serve(b"<html>no song here</html>" * 100))
    with pytest.raises(PermanentError) as caught:
        run(harness.handler(), harness.record("/page.wav"), FakeContext())
    assert caught.value.code == ErrorCode.NOT_AUDIO
    harness.assert_no_temporary_files()


def test_earlier_attempts_of_this_record_are_removed_and_nothing_else(harness):
    harness.left_over(5, 1)
    other_record, later = harness.left_over(6, 1), harness.left_over(5, 3)
    run(harness.handler(), harness.record(), FakeContext(attempt=2))
    assert harness.staged() == sorted(
        [other_record, later, *(f"{TASK_UUID}/tasks-0-5.2/{name}.wav" for name in STEMS)]
    )


def test_a_job_given_up_after_crashes_leaves_nothing_of_them(harness):
    for attempt in (1, 2, 3):
        harness.left_over(5, attempt)
    other_record = harness.left_over(6, 1)
    error = PermanentError(ErrorCode.ENGINE_CRASHED)
    given_up(harness.handler(), harness.record(), error, FakeContext(attempt=4))
    assert harness.staged() == [other_record]


def test_what_is_told_counts_as_the_limit_does_and_files_have_numbers_of_their_own(harness, caplog):
    caplog.set_level("INFO")
    result = result_of(run(harness.handler(), harness.record(), FakeContext(attempt=9, handed_back=8)))
    assert all("0-5.9/" in stem.key for stem in result.stems.values())
    assert "task taken, attempt 1" in caplog.text


def test_the_same_attempt_once_more_is_not_disturbed_by_its_old_directory(harness):
    old = harness.temp_dir / "tasks-0-5.1" / "stems"
    old.mkdir(parents=True)
    (old / "vocals.wav").write_bytes(b"old")
    result_of(run(harness.handler(), harness.record(), FakeContext()))
    harness.assert_no_temporary_files()


@pytest.mark.parametrize("text", ["x" * 5000, "\ud800 no text", "é" * 1000])
def test_a_failure_is_announced_with_a_text_of_bounded_length(harness, text):
    error = PermanentError(ErrorCode.NOT_AUDIO, text)
    failed = result_of(given_up(harness.handler(), harness.record(), error, FakeContext()))
    assert isinstance(failed, SeparationFailed)
    assert failed.error_code == "not_audio"
    assert 0 < len(failed.error_message) <= 1000
    assert (failed.hook_url, failed.finished_at) == ("http://hook.example/", 99.0)


@pytest.mark.parametrize("value", [None, b"", b"{}", b"\xff", b"[]", b'{"schema_version": 2}'])
def test_what_is_no_task_is_poison(harness, value):
    assert isinstance(harness.handler().decode(Record("tasks", 0, 0, None, value)), Poison)


def test_each_stage_is_timed_and_speed_is_audio_by_the_engines_own_time(harness):
    metrics = ProcessorMetrics.create()
    run(harness.handler(metrics=metrics), harness.record(), FakeContext())
    shown = Exposition.of(metrics.worker.registry)
    for phase in Phase:
        assert shown.value("uvr_phase_seconds_count", service="processor", phase=phase) == 1, phase
    assert shown.value("uvr_phase_seconds_sum", phase="separate") == 0.1
    assert shown.value("uvr_separated_audio_seconds_total") == pytest.approx(0.2, abs=0.001)
    assert shown.value("uvr_separation_speed_ratio_sum") == pytest.approx(2, abs=0.01)


def test_a_job_that_fails_is_timed_up_to_there(harness):
    metrics = ProcessorMetrics.create()

    def fail():
        raise TransientError(ErrorCode.ENGINE_TIMEOUT)

    with pytest.raises(TransientError):
        run(harness.handler(FakeEngine(fail), metrics=metrics), harness.record(), FakeContext())
    shown = Exposition.of(metrics.worker.registry)
    counts = {phase: shown.value("uvr_phase_seconds_count", phase=phase) for phase in Phase}
    assert counts == {Phase.DOWNLOAD: 1, Phase.PREPARE: 1, Phase.SEPARATE: 0, Phase.STAGE: 0}
    assert shown.value("uvr_separated_audio_seconds_total") == 0


def statuses_of(messages_: tuple[Message, ...]) -> list[messages.Status]:
    return [messages.decode_status(m.value) for m in messages_ if m.topic == "status"]


def test_with_the_result_its_status_says_that_it_waits_for_an_uploader(harness):
    done = run(harness.handler(), harness.record(), FakeContext(attempt=2))
    (told,) = statuses_of(done.messages)
    assert (told.state, told.run, told.model, told.device) == (State.UPLOADING, 1, "centre", "cpu")
    entered = {State.QUEUED, State.DOWNLOADING, State.PREPARING, State.SEPARATING}
    assert told.times.keys() == entered | {State.UPLOADING}
    assert result_of(done).times.keys() == entered


def test_a_failure_is_told_before_its_callback_and_a_wait_says_until_when(harness):
    handler, error = harness.handler(), TransientError(ErrorCode.HTTP_ERROR, "HTTP error: 503")
    (told,) = statuses_of(given_up(handler, harness.record(), error, FakeContext(attempt=3)).messages)
    assert (told.state, told.error_code, told.error_message) == (
        "delivering",
        "http_error",
        "HTTP error: 503",
    )
    (waiting,) = statuses_of(
        waiting_until(handler, harness.record(), error, 129.0, FakeContext(attempt=3)).messages
    )
    assert (waiting.state, waiting.next_try_at, waiting.tries) == ("queued", 129.0, (1,))
    assert waiting.error_code == "http_error"


def test_the_song_is_named_in_whatever_is_told_of_it_without_its_secrets(harness):
    handler, outbox, record = (
        harness.handler(),
        MemoryOutbox(),
        harness.record("/song.wav?signature=TOPSECRET#x"),
    )
    handler._statuses = Statuses("status", outbox, lambda: 9.0)
    done = run(handler, record, FakeContext())
    error = TransientError(ErrorCode.HTTP_ERROR, "HTTP error: 503")
    end = given_up(handler, record, error, FakeContext())
    told = [*outbox.statuses, *statuses_of((*done.messages, *end.messages))]
    told += statuses_of(waiting_until(handler, record, error, 129.0, FakeContext()).messages)
    results = [
        messages.decode_result(m.value) for m in (*done.messages, *end.messages) if m.topic == "results"
    ]
    assert (len(told) > 5, len(results)) == (True, 2)
    assert {one.audio for one in (*told, *results)} == {harness.server.url + "/song.wav"}


def test_a_retry_was_queued_when_it_was_written_whatever_becomes_of_it(harness):
    handler, outbox = harness.handler(), MemoryOutbox()
    handler._statuses = Statuses("status", outbox, lambda: 99.0)
    error = TransientError(ErrorCode.HTTP_ERROR, "HTTP error: 503")
    policy = retry.RetryPolicy("tasks", (30, 300))
    waits = policy.next_try(harness.record(), error, handler.schedule(error), 50.0).waiting
    again = Record(waits.topic, 0, 7, waits.key, waits.value, waits.headers, 50_000)
    done, end = run(handler, again, FakeContext()), given_up(handler, again, error, FakeContext())
    told = [*outbox.statuses, *statuses_of((*done.messages, *end.messages))]
    results = [
        messages.decode_result(m.value) for m in (*done.messages, *end.messages) if m.topic == "results"
    ]
    assert {one.times[State.QUEUED] for one in (*told, *results)} == {50.0}
    first = Record("tasks", 0, 5, b"k", waits.value, (), 50_000)
    assert result_of(run(handler, first, FakeContext())).times[State.QUEUED] == 1.0

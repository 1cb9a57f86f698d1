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
from common.tasks.messages import Separated, SeparationFailed, State, UndecodableMessage
from processor.metrics import Phase, ProcessorMetrics
from tests.support.common.observability.exposition import Exposition
from tests.support.common.worker.fakes import FakeContext, MemoryOutbox
from tests.support.http_server import ScriptedServer, serve
from tests.support.processor.processor_harness import STEMS, TASK_UUID, FakeEngine, ProcessorBench


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
def bench(tmp_path):
    with ScriptedServer() as server:
        yield ProcessorBench(tmp_path, server)


def result_of(done) -> Separated | SeparationFailed:
    assert isinstance(done, Done)
    message, _ = done.messages
    assert (message.topic, message.key) == ("results", str(TASK_UUID).encode())
    return messages.decode_result(message.value)


def test_the_stems_are_staged_and_announced(bench):
    result = result_of(bench.handler().run(bench.record(), FakeContext(attempt=2)))
    assert isinstance(result, Separated)
    assert (result.model, result.device, result.gain, result.finished_at) == ("centre", "cpu", 0.5, 99.0)
    assert sorted(stem.key for stem in result.stems.values()) == bench.staged()
    assert bench.staged() == sorted(f"{TASK_UUID}/tasks-0-5.2/{name}.wav" for name in STEMS)
    assert bench.stage.path(result.stems["vocals"].key).read_bytes() == b"vocals"
    bench.assert_no_temporary_files()


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
def test_nothing_stays_after_an_engine_that_failed(bench, error):
    def fail() -> None:
        raise error

    with pytest.raises(type(error)):
        bench.handler(FakeEngine(fail)).run(bench.record(), FakeContext())
    assert bench.staged() == []
    bench.assert_no_temporary_files()


def test_a_job_cancelled_between_two_stems_takes_the_first_back(bench):
    context = FakeContext()

    def cancel_after_one() -> None:
        context.cancel_after = context.checks + 1

    with pytest.raises(Cancelled):
        bench.handler(FakeEngine(cancel_after_one)).run(bench.record(), context)
    assert bench.staged() == []
    bench.assert_no_temporary_files()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_transient_and_the_user_reads_no_path(bench, number):
    stage = FullStage(bench.stage.root, number)
    with pytest.raises(TransientError) as caught:
        bench.handler(stage=stage).run(bench.record(), FakeContext())
    assert caught.value.code == ErrorCode.DISK_FULL
    assert "secret" not in caught.value.message
    assert bench.staged() == []
    bench.assert_no_temporary_files()


def test_a_download_that_fails_leaves_nothing(bench):
    bench.server.on("/gone.wav", serve(b"", status=404))
    with pytest.raises(JobError, match="404"):
        bench.handler().run(bench.record("/gone.wav"), FakeContext())
    bench.assert_no_temporary_files()


def test_what_is_not_audio_leaves_nothing(bench):
    bench.server.on("/page.wav", serve(b"<html>no song here</html>" * 100))
    with pytest.raises(PermanentError) as caught:
        bench.handler().run(bench.record("/page.wav"), FakeContext())
    assert caught.value.code == ErrorCode.NOT_AUDIO
    bench.assert_no_temporary_files()


def test_earlier_attempts_of_this_record_are_removed_and_nothing_else(bench):
    bench.left_over(5, 1)
    other_record, later = bench.left_over(6, 1), bench.left_over(5, 3)
    bench.handler().run(bench.record(), FakeContext(attempt=2))
    assert bench.staged() == sorted(
        [other_record, later, *(f"{TASK_UUID}/tasks-0-5.2/{name}.wav" for name in STEMS)]
    )


def test_a_job_given_up_after_crashes_leaves_nothing_of_them(bench):
    for attempt in (1, 2, 3):
        bench.left_over(5, attempt)
    other_record = bench.left_over(6, 1)
    error = PermanentError(ErrorCode.ENGINE_CRASHED)
    bench.handler().give_up(bench.record(), error, FakeContext(attempt=4))
    assert bench.staged() == [other_record]


def test_what_is_told_counts_as_the_limit_does_and_files_have_numbers_of_their_own(bench, caplog):
    caplog.set_level("INFO")
    result = result_of(bench.handler().run(bench.record(), FakeContext(attempt=9, handed_back=8)))
    assert all("0-5.9/" in stem.key for stem in result.stems.values())
    assert "task taken, attempt 1" in caplog.text


def test_the_same_attempt_once_more_is_not_disturbed_by_its_old_directory(bench):
    old = bench.temp_dir / "tasks-0-5.1" / "stems"
    old.mkdir(parents=True)
    (old / "vocals.wav").write_bytes(b"old")
    result_of(bench.handler().run(bench.record(), FakeContext()))
    bench.assert_no_temporary_files()


@pytest.mark.parametrize("text", ["x" * 5000, "\ud800 no text", "é" * 1000])
def test_a_failure_is_announced_with_a_text_of_bounded_length(bench, text):
    error = PermanentError(ErrorCode.NOT_AUDIO, text)
    failed = result_of(bench.handler().give_up(bench.record(), error, FakeContext()))
    assert isinstance(failed, SeparationFailed)
    assert failed.error_code == "not_audio"
    assert 0 < len(failed.error_message) <= 1000
    assert (failed.hook_url, failed.finished_at) == ("http://hook.example/", 99.0)


@pytest.mark.parametrize("value", [None, b"", b"{}", b"\xff", b"[]", b'{"schema_version": 2}'])
def test_what_is_no_task_is_poison(bench, value):
    record = Record("tasks", 0, 0, None, value)
    assert isinstance(bench.handler().run(record, FakeContext()), Poison)
    with pytest.raises(UndecodableMessage):
        bench.handler().give_up(record, PermanentError(ErrorCode.ENGINE_CRASHED), FakeContext())


def test_each_stage_is_timed_and_speed_is_audio_by_the_engines_own_time(bench):
    metrics = ProcessorMetrics.create()
    bench.handler(metrics=metrics).run(bench.record(), FakeContext())
    shown = Exposition.of(metrics.worker.registry)
    for phase in Phase:
        assert shown.value("uvr_stage_seconds_count", service="processor", stage=phase) == 1, phase
    assert shown.value("uvr_stage_seconds_sum", stage="separate") == 0.1
    assert shown.value("uvr_separated_audio_seconds_total") == pytest.approx(0.2, abs=0.001)
    assert shown.value("uvr_separation_speed_ratio_sum") == pytest.approx(2, abs=0.01)


def test_a_job_that_fails_is_timed_up_to_there(bench):
    metrics = ProcessorMetrics.create()

    def fail():
        raise TransientError(ErrorCode.ENGINE_TIMEOUT)

    with pytest.raises(TransientError):
        bench.handler(FakeEngine(fail), metrics=metrics).run(bench.record(), FakeContext())
    shown = Exposition.of(metrics.worker.registry)
    counts = {phase: shown.value("uvr_stage_seconds_count", stage=phase) for phase in Phase}
    assert counts == {Phase.DOWNLOAD: 1, Phase.PREPARE: 1, Phase.SEPARATE: 0, Phase.STAGE: 0}
    assert shown.value("uvr_separated_audio_seconds_total") == 0


def statuses_of(messages_: tuple[Message, ...]) -> list[messages.Status]:
    return [messages.decode_status(m.value) for m in messages_ if m.topic == "status"]


def test_with_the_result_its_status_says_that_it_waits_for_an_uploader(bench):
    done = bench.handler().run(bench.record(), FakeContext(attempt=2))
    (told,) = statuses_of(done.messages)
    assert (told.state, told.run, told.model, told.device) == (State.UPLOADING, 1, "centre", "cpu")
    entered = {State.QUEUED, State.DOWNLOADING, State.PREPARING, State.SEPARATING}
    assert told.times.keys() == entered | {State.UPLOADING}
    assert result_of(done).times.keys() == entered


def test_a_failure_is_told_before_its_callback_and_a_wait_says_until_when(bench):
    handler, error = bench.handler(), TransientError(ErrorCode.HTTP_ERROR, "HTTP error: 503")
    (told,) = statuses_of(handler.give_up(bench.record(), error, FakeContext(attempt=3)).messages)
    assert (told.state, told.error_code, told.error_message) == (
        "delivering",
        "http_error",
        "HTTP error: 503",
    )
    (waiting,) = statuses_of(handler.waiting(bench.record(), error, 129.0, FakeContext(attempt=3)))
    assert (waiting.state, waiting.next_try_at, waiting.tries) == ("queued", 129.0, (1,))
    assert waiting.error_code == "http_error"


def test_the_song_is_named_in_whatever_is_told_of_it_without_its_secrets(bench):
    handler, outbox, record = bench.handler(), MemoryOutbox(), bench.record("/song.wav?signature=TOPSECRET#x")
    handler._statuses = Statuses("status", outbox, lambda: 9.0)
    done = handler.run(record, FakeContext())
    error = TransientError(ErrorCode.HTTP_ERROR, "HTTP error: 503")
    given_up = handler.give_up(record, error, FakeContext())
    told = [*outbox.statuses, *statuses_of((*done.messages, *given_up.messages))]
    told += statuses_of(handler.waiting(record, error, 129.0, FakeContext()))
    results = [
        messages.decode_result(m.value) for m in (*done.messages, *given_up.messages) if m.topic == "results"
    ]
    assert (len(told) > 5, len(results)) == (True, 2)
    assert {one.audio for one in (*told, *results)} == {bench.server.url + "/song.wav"}


def test_a_retry_was_queued_when_it_was_written_whatever_becomes_of_it(bench):
    handler, outbox = bench.handler(), MemoryOutbox()
    handler._statuses = Statuses("status", outbox, lambda: 99.0)
    error = TransientError(ErrorCode.HTTP_ERROR, "HTTP error: 503")
    policy = retry.RetryPolicy("tasks", (30, 300))
    waits = policy.next_try(bench.record(), error, handler.schedule(error), 50.0)
    again = Record(waits.topic, 0, 7, waits.key, waits.value, waits.headers, 50_000)
    done, given_up = handler.run(again, FakeContext()), handler.give_up(again, error, FakeContext())
    told = [*outbox.statuses, *statuses_of((*done.messages, *given_up.messages))]
    results = [
        messages.decode_result(m.value) for m in (*done.messages, *given_up.messages) if m.topic == "results"
    ]
    assert {one.times[State.QUEUED] for one in (*told, *results)} == {50.0}
    first = Record("tasks", 0, 5, b"k", waits.value, (), 50_000)
    assert result_of(handler.run(first, FakeContext())).times[State.QUEUED] == 1.0

"""The processor killed with SIGKILL at each point of a task's way through it."""

import json

import pytest

from common.failpoint import Failpoint
from common.jobs.retry import TRIES
from common.tasks.messages import decode_task
from tests.support import audio
from tests.support.crash import PROCESSOR, CrashSystem
from tests.support.http_server import in_turn, serve
from tests.support.range_host import RangeHost
from tests.support.waiting import below, wait_for


@pytest.fixture(scope="module")
def crashing(system: CrashSystem) -> CrashSystem:
    system.trio.start("api", "uploader")
    return system


# Where it dies, how many files it leaves in the stage, the attempts that its log tells of in the end, and the
# task's lane.
@pytest.mark.slow
@pytest.mark.parametrize(
    ("point", "staged", "attempts", "priority"),
    [
        (Failpoint.ATTEMPT_IN_TRANSACTION, 0, [1], 5),
        (Failpoint.ATTEMPT_COMMITTED, 0, [2], 3),
        (Failpoint.DOWNLOADING, 0, [1, 2], 1),
        (Failpoint.SEPARATING, 0, [1, 2], 3),
        (Failpoint.STAGING, 1, [1, 2], 3),
        (Failpoint.STAGED, 2, [1, 2], 2),
        (Failpoint.JOB_IN_TRANSACTION, 2, [1, 2], 4),
    ],
)
def test_a_processor_killed_before_its_commit_does_the_task_again(
    crashing, song, point, staged, attempts, priority
):
    processor = crashing.armed(PROCESSOR, point)
    task_uuid = crashing.trio.submit(crashing.trio.song(song), priority=priority)
    crashing.wait_for_end(processor)
    assert len(crashing.records("KAFKA_RESULT_TOPIC", task_uuid)) == 0
    assert len(crashing.staged(task_uuid)) == staged
    crashing.restart(processor)
    crashing.assert_seen_once(task_uuid)
    assert crashing.attempts(processor, task_uuid) == attempts
    assert len(crashing.submitted(task_uuid, priority)) == 1
    wait_for(
        lambda: not below(processor.directory / "temp", files_only=True), 20, "empty temporary directory"
    )


@pytest.mark.slow
def test_a_download_goes_on_after_its_processor_was_killed(crashing, tmp_path):
    song = audio.write(tmp_path / "long.wav", audio.noise(60.0), subtype="PCM_16").read_bytes()
    host = RangeHost(song, holds_at=len(song) * 9 // 10)
    processor = crashing.armed(PROCESSOR, Failpoint.STAGED)
    task_uuid = crashing.trio.submit(crashing.trio.song(host))
    partials = processor.directory / "temp" / "uvr-downloads"
    wait_for(lambda: any(p.stat().st_size > 8 * 1024**2 for p in partials.glob("*.part")), 60, "partial file")
    processor.kill()
    crashing.restart(processor)
    crashing.assert_seen_once(task_uuid)
    assert host.sent_bytes <= len(song) + 2 * 1024**2
    assert list(partials.iterdir()) == []


@pytest.mark.slow
def test_a_processor_killed_after_its_commit_finds_the_task_done(crashing, song):
    processor = crashing.armed(PROCESSOR, Failpoint.JOB_COMMITTED)
    task_uuid = crashing.trio.submit(crashing.trio.song(song))
    crashing.wait_for_end(processor)
    assert len(crashing.records("KAFKA_RESULT_TOPIC", task_uuid)) == 1
    crashing.restart(processor)
    # A task that is done after the restart shows that the other one's place in the log was passed over.
    following = crashing.trio.submit(crashing.trio.song(song))
    crashing.assert_seen_once(following)
    crashing.assert_seen_once(task_uuid)
    assert crashing.attempts(processor, task_uuid) == [1]


@pytest.mark.slow
def test_another_processor_takes_over_from_one_killed_in_its_transaction(crashing, song):
    processor = crashing.armed(PROCESSOR, Failpoint.JOB_IN_TRANSACTION)
    task_uuid = crashing.trio.submit(crashing.trio.song(song))
    crashing.wait_for_end(processor)
    other = crashing.replace(processor)
    crashing.assert_seen_once(task_uuid)
    assert crashing.attempts(processor, task_uuid) == [1]
    assert crashing.attempts(other, task_uuid) == [2]
    assert other.stop() == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("point", "refusals", "waiting", "attempts", "priority"),
    [(Failpoint.JOB_IN_TRANSACTION, 2, 0, [1, 2, 1], 5), (Failpoint.JOB_COMMITTED, 1, 1, [1, 1], 3)],
)
def test_a_processor_killed_around_the_commit_of_a_retry_writes_one_record_for_it(
    crashing, song, point, refusals, waiting, attempts, priority
):
    processor = crashing.armed(PROCESSOR, point)
    busy = serve(b"busy", 503, "text/plain")
    task_uuid = crashing.trio.submit(
        crashing.trio.song(in_turn(*[busy] * refusals, serve(song))), priority=priority
    )
    crashing.wait_for_end(processor)
    assert len(crashing.records("KAFKA_TASK_TOPIC", task_uuid, retries=True)) == waiting
    crashing.restart(processor)
    crashing.assert_seen_once(task_uuid, task_retries=1)
    assert crashing.attempts(processor, task_uuid) == attempts
    (record,) = crashing.records("KAFKA_TASK_TOPIC", task_uuid, retries=True)
    assert json.loads(dict(record.headers)[TRIES]) == {"job": 1}
    assert decode_task(record.value).priority == priority

"""The uploader killed with SIGKILL at each point of a result's way through it."""

import json

import pytest

from common.failpoint import Failpoint
from common.jobs.retry import TRIES
from tests.support import audio
from tests.support.api.task_client import redeliver
from tests.support.crash import PROCESSOR, STEMS, CrashSystem
from tests.support.http_server import in_turn, serve

COMPLETE = sorted((*STEMS, "manifest.json"))
UPLOADER = "uploader"


@pytest.fixture(scope="module")
def crashing(system: CrashSystem) -> CrashSystem:
    system.trio.start("api", PROCESSOR)
    return system


@pytest.fixture(autouse=True)
def receiver_takes_all(crashing: CrashSystem) -> None:
    crashing.trio.receiver.answer(204)


def kill_at(crashing: CrashSystem, point: Failpoint, song: bytes):
    """The dead uploader, and the task whose result it had."""
    uploader = crashing.armed(UPLOADER, point)
    task_uuid = crashing.trio.submit(crashing.trio.song(song))
    crashing.wait_for_end(uploader)
    return uploader, task_uuid


# Where it dies, what is in the store then, and how many callbacks there are in the end.
@pytest.mark.slow
@pytest.mark.parametrize(
    ("point", "stored", "callbacks"),
    [
        (Failpoint.BETWEEN_STEMS, ["vocals.wav"], 1),
        (Failpoint.UPLOADED, sorted(STEMS), 1),
        (Failpoint.MANIFEST_WRITTEN, COMPLETE, 1),
        (Failpoint.CALLBACK_ANSWERED, COMPLETE, 2),
        (Failpoint.JOB_IN_TRANSACTION, COMPLETE, 2),
    ],
)
def test_an_uploader_killed_before_its_commit_ends_what_it_began(crashing, song, point, stored, callbacks):
    uploader, task_uuid = kill_at(crashing, point, song)
    before = crashing.objects(task_uuid)
    assert sorted(before) == stored
    assert crashing.records("KAFKA_DELIVERY_TOPIC", task_uuid) == []
    crashing.restart(uploader)
    crashing.assert_seen_once(task_uuid, callbacks=callbacks)
    if "manifest.json" in before:
        assert crashing.objects(task_uuid) == before


@pytest.mark.slow
def test_an_uploader_killed_between_two_parts_leaves_no_multipart_upload(crashing, tmp_path):
    # A stem of more than one part of 16 MiB.
    long = audio.write(tmp_path / "long.flac", audio.noise(100), subtype="PCM_16").read_bytes()
    uploader, task_uuid = kill_at(crashing, Failpoint.BETWEEN_PARTS, long)
    assert crashing.uploads(task_uuid) == [f"{task_uuid}/1/vocals.wav"]
    assert crashing.objects(task_uuid) == {}
    crashing.restart(uploader)
    crashing.assert_seen_once(task_uuid)


def test_an_uploader_killed_after_its_commit_calls_nobody_again(crashing, song):
    uploader, task_uuid = kill_at(crashing, Failpoint.JOB_COMMITTED, song)
    assert len(crashing.records("KAFKA_DELIVERY_TOPIC", task_uuid)) == 1
    # Out of sight already: whoever sweeps the stage needs to know nothing of the task.
    assert all(".retired/" in path for path in crashing.staged(task_uuid))
    crashing.restart(uploader)
    following = crashing.trio.submit(crashing.trio.song(song))
    crashing.assert_seen_once(following)
    assert len(crashing.trio.callbacks(task_uuid)) == 1
    assert len(crashing.records("KAFKA_DELIVERY_TOPIC", task_uuid)) == 1


@pytest.mark.slow
def test_another_uploader_takes_over_from_one_killed_after_its_callback(crashing, song):
    uploader, task_uuid = kill_at(crashing, Failpoint.CALLBACK_ANSWERED, song)
    before = crashing.objects(task_uuid)
    other = crashing.replace(uploader)
    crashing.assert_seen_once(task_uuid, callbacks=2)
    assert crashing.objects(task_uuid) == before
    assert other.stop() == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("point", "callbacks", "waiting"), [(Failpoint.JOB_IN_TRANSACTION, 3, 0), (Failpoint.JOB_COMMITTED, 2, 1)]
)
def test_an_uploader_killed_around_the_commit_of_a_retry_writes_one_record_for_it(
    crashing, song, point, callbacks, waiting
):
    busy = serve(b"busy", 500, "text/plain")
    crashing.trio.receiver.on("/hook", in_turn(*[busy] * (callbacks - 1), serve(b"", 204)))
    uploader, task_uuid = kill_at(crashing, point, song)
    before = crashing.objects(task_uuid)
    assert len(crashing.records("KAFKA_RESULT_TOPIC", task_uuid, retries=True)) == waiting
    crashing.restart(uploader)
    crashing.assert_seen_once(task_uuid, callbacks=callbacks, deliveries=2, result_retries=1)
    assert crashing.objects(task_uuid) == before
    (record,) = crashing.records("KAFKA_RESULT_TOPIC", task_uuid, retries=True)
    assert json.loads(dict(record.headers)[TRIES]) == {"callback": 1}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("point", "callbacks"), [(Failpoint.CALLBACK_ANSWERED, 3), (Failpoint.JOB_COMMITTED, 2)]
)
def test_an_uploader_killed_in_a_redelivery_ends_it(crashing, song, point, callbacks):
    crashing.armed(UPLOADER, Failpoint.BETWEEN_PARTS)  # to which so short a song does not get
    task_uuid = crashing.trio.submit(crashing.trio.song(song))
    crashing.assert_seen_once(task_uuid)
    uploader = crashing.armed(UPLOADER, point)
    assert redeliver(crashing.trio.services["api"].url, task_uuid).status == 202
    crashing.wait_for_end(uploader)
    crashing.restart(uploader)
    crashing.assert_seen_once(task_uuid, callbacks=callbacks, deliveries=2, redeliveries=1)

"""The uploader killed while it deletes a task's results, and while it copies those of another task."""

import pytest

from common.failpoint import VARIABLE, Failpoint
from tests.support.api.task_client import ask, task
from tests.support.crash import STEMS, CrashSystem
from tests.support.waiting import wait_for

UPLOADER = "uploader"
TOMBSTONE = ["manifest.json"]


@pytest.fixture(scope="module")
def crashing(system: CrashSystem) -> CrashSystem:
    # The product's own engine: a stand-in's models have no digest.
    system.trio.start("api", "processor", RESULT_CACHE_S="600")
    return system


@pytest.fixture(autouse=True)
def receiver_takes_all(crashing: CrashSystem) -> None:
    crashing.trio.receiver.answer(204)


def url(crashing: CrashSystem) -> str:
    return crashing.trio.services["api"].url


def separated(crashing: CrashSystem, song: bytes, **fields) -> str:
    """Submits, and returns the task's id once its callback was delivered."""
    body = {"audio": crashing.trio.song(song), "hook_url": crashing.trio.receiver.hook_url, **fields}
    task_uuid = crashing.trio.submit_body(body)
    crashing.wait_for_deliveries(task_uuid)
    return task_uuid


@pytest.mark.slow
@pytest.mark.parametrize(
    ("point", "left"),
    [
        (Failpoint.STEM_DELETED, ["manifest.json", "peaks.json", "vocals.wav"]),
        (Failpoint.RESULTS_DELETED, TOMBSTONE),
        (Failpoint.JOB_IN_TRANSACTION, TOMBSTONE),
    ],
)
def test_an_uploader_killed_while_it_deletes_is_done_with_it_when_it_is_back(crashing, song, point, left):
    # Armed for a point that no result reaches, so that the task has ended before the kill.
    crashing.armed(UPLOADER, Failpoint.BETWEEN_PARTS)
    task_uuid = separated(crashing, song)
    wait_for(lambda: task(url(crashing), task_uuid)["state"] == "succeeded", 30, "the task's end in the api")
    uploader = crashing.armed(UPLOADER, point)
    assert ask(url(crashing), f"/tasks/{task_uuid}", "DELETE").status == 202
    crashing.wait_for_end(uploader)
    assert sorted(crashing.objects(task_uuid)) == left
    assert "deleted_at" not in task(url(crashing), task_uuid)
    crashing.restart(uploader)
    wait_for(lambda: "deleted_at" in task(url(crashing), task_uuid), 60, "the deletion in the api")
    assert sorted(crashing.objects(task_uuid)) == TOMBSTONE
    # Once under the task's key and once under that of its progress.
    told = [r for r in crashing.records_of("KAFKA_STATUS_TOPIC") if b"deleted_at" in r.value]
    mine = [r.key.decode() for r in told if r.key.decode().startswith(task_uuid)]
    assert sorted(mine) == [task_uuid, f"{task_uuid}/progress"]
    assert len(crashing.trio.callbacks(task_uuid)) == 1


@pytest.mark.slow
def test_an_uploader_killed_between_manifest_and_cache_entry_writes_the_entry_when_it_is_back(crashing, song):
    uploader = crashing.armed(UPLOADER, Failpoint.MANIFEST_WRITTEN)
    first = crashing.trio.submit_body(
        {"audio": crashing.trio.song(song), "hook_url": crashing.trio.receiver.hook_url, "cache": "refresh"}
    )
    crashing.wait_for_end(uploader)
    crashing.restart(uploader)
    crashing.assert_seen_once(first)
    second = separated(crashing, song)
    assert crashing.trio.callbacks(second)[0].json["cached_from"] == first


@pytest.mark.slow
@pytest.mark.parametrize("how", ["killed", "frozen"])
def test_stems_that_vanish_while_they_are_copied_lose_no_task_and_fail_no_callback(crashing, song, how):
    crashing.armed(UPLOADER, Failpoint.BETWEEN_PARTS)
    source = separated(crashing, song, cache="refresh")
    uploader = crashing.armed(UPLOADER, Failpoint.BETWEEN_STEMS)
    if how == "frozen":
        uploader.kill()
        uploader.process.env[VARIABLE] = f"{Failpoint.BETWEEN_STEMS}:stop"
        uploader.start()
        uploader.wait_ready()
    copied = crashing.trio.submit(crashing.trio.song(song))
    wait_for(lambda: len(crashing.objects(copied)) == 1, 60, "the first copied stem")
    if how == "killed":
        crashing.wait_for_end(uploader)
    client, bucket = crashing.store.client(), crashing.store.bucket
    for name in STEMS:
        client.delete_object(Bucket=bucket, Key=f"{source}/1/{name}")
    if how == "killed":
        crashing.restart(uploader)
    else:
        uploader.thaw()
    crashing.assert_seen_once(copied, results=2)
    assert "cached_from" not in crashing.trio.callbacks(copied)[0].json
    tasks = crashing.records("KAFKA_TASK_TOPIC", copied)
    assert [b'"cache":"refresh"' in record.value for record in tasks] == [False, True]

"""Results that end: deleted, expired, copied for a repeated song, packed into one file. With all services."""

import base64
import contextlib
import hashlib
import io
import json
import threading
import time
import urllib.request
import zipfile
from uuid import uuid4

import pytest

from common.settings.schema import UploaderSettings
from common.storage.bucket import Bucket
from common.storage.upload_record import Upload
from common.storage.uploads import Uploads
from common.tasks.status_outbox import KafkaOutbox, status_producer
from tests.support import audio
from tests.support.api.api_process import PATIENCE_S
from tests.support.api.task_client import ask, redeliver, task
from tests.support.http_server import stall
from tests.support.trio import Trio
from tests.support.waiting import wait_for
from uploader.bucket_sweep import BucketSweep, expire_by

pytestmark = pytest.mark.network

PREFIX = "ended/"


@pytest.fixture(scope="module")
def trio(module_stack, kafka, s3_store, model_dir):
    settings = {"RETRY_DELAYS_S": "1", "S3_PREFIX": PREFIX, "RESULT_CACHE_S": "600"}
    trio = Trio(module_stack, kafka.bootstrap, s3_store, model_dir, MODEL_NAME="centre", **settings)
    put_expired_song(Bucket(s3_store.client(), s3_store.bucket))
    with contextlib.closing(trio):
        yield trio.start()


def put_expired_song(bucket: Bucket) -> None:
    long_ago_s = time.time() - 30 * 86400
    upload = Upload(
        upload_id=uuid4(),
        user="alice",
        file_name="a.wav",
        bytes=1,
        created_at=long_ago_s,
        expires_at=long_ago_s,
    )
    Uploads(bucket, PREFIX).save(upload)
    bucket.put(upload.keys(PREFIX).audio, b"x")


@pytest.fixture(scope="module")
def bucket(s3_store) -> Bucket:
    return Bucket(s3_store.client(), s3_store.bucket)


@pytest.fixture(autouse=True)
def receiver_takes_all(trio):
    trio.receiver.answer(204)


@pytest.fixture(scope="module")
def url(trio) -> str:
    return trio.services["api"].url


def song(tmp_path, seed: int) -> bytes:
    return audio.write(tmp_path / "mix.wav", audio.noise(2.0, seed=seed), subtype="PCM_16").read_bytes()


def succeeded(trio: Trio, url: str, data: bytes, **fields) -> dict:
    """Separates, and returns the task once it is over."""
    body = {"audio": trio.song(data), "hook_url": trio.receiver.hook_url, **fields}
    task_uuid = trio.submit_body(body)
    wait_for(lambda: task(url, task_uuid)["state"] == "succeeded", PATIENCE_S, f"{task_uuid} succeeded")
    return task(url, task_uuid)


def wait_deleted(url: str, task_uuid: str) -> dict:
    wait_for(lambda: "deleted_at" in task(url, task_uuid), PATIENCE_S, f"the deletion of {task_uuid}")
    return task(url, task_uuid)


def names(bucket: Bucket, task_uuid: str) -> list[str]:
    return [seen.key.rpartition("/")[2] for seen in bucket.objects(f"{PREFIX}{task_uuid}/")]


def statuses(bucket: Bucket) -> set[str]:
    """What the manifests of all tasks say."""
    keys = [seen.key for seen in bucket.objects(PREFIX) if "manifest" in seen.key]
    return {json.loads(bucket.get(key))["status"] for key in keys}


def engine_s(trio: Trio) -> float:
    with urllib.request.urlopen(f"{trio.services['processor'].url}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith("uvr_engine_busy_seconds"))


def test_an_uploader_removes_songs_that_have_expired(trio, bucket):
    wait_for(lambda: not list(bucket.objects(f"{PREFIX}uploads/")), PATIENCE_S, "the removal of the song")


def test_a_deleted_task_leaves_nothing_but_that_it_was(trio, url, bucket, tmp_path):
    task_uuid = succeeded(trio, url, song(tmp_path, 1), label="Artist - Title")["task_uuid"]
    first = ask(url, f"/tasks/{task_uuid}", "DELETE")
    assert first.status == 202
    gone = wait_deleted(url, task_uuid)
    kept = "task_uuid state run attempt user submitted_at updated_at times deleted_at"
    assert gone.keys() == {*kept.split()}
    assert (gone["state"], gone["user"]) == ("succeeded", "admin")
    assert names(bucket, task_uuid) == ["manifest.json"]
    again = ask(url, f"/tasks/{task_uuid}", "DELETE")
    assert (again.status, again.body) == (first.status, first.body)
    assert task(url, task_uuid) == gone
    assert redeliver(url, task_uuid).status == 410
    assert ask(url, f"/tasks/{task_uuid}/archive.zip").status == 410
    assert len(trio.callbacks(task_uuid)) == 1


def test_a_page_can_draw_the_stems_without_decoding_them(trio, url, bucket, tmp_path):
    data = song(tmp_path, 3)
    first = succeeded(trio, url, data, cache="refresh")
    copied = succeeded(trio, url, data)
    assert "cached_from" in copied["result"]
    alone = succeeded(trio, url, data, stems=["vocals"], output={"format": "flac"})
    for found, stems in ((first, 2), (copied, 2), (alone, 1)):
        peaks = ask(url, f"/tasks/{found['task_uuid']}/peaks.json").json()
        assert len(peaks["resolutions"]) == 2
        for resolution in peaks["resolutions"]:
            assert len(resolution["stems"]) == stems
            for name, points in resolution["stems"].items():
                wanted = found["result"]["stems"][name]["duration_s"] * resolution["points_per_s"]
                assert len(base64.b64decode(points)) == pytest.approx(wanted, abs=1)
                assert max(base64.b64decode(points)) > 0
    bucket.remove([f"{PREFIX}{first['task_uuid']}/1/peaks.json"])
    answer = ask(url, f"/tasks/{first['task_uuid']}/peaks.json")
    assert (answer.status, answer.json()["error_code"]) == (409, "no_peaks")


def test_a_task_that_runs_is_not_deleted(trio, url):
    running = trio.submit(trio.song(stall()))
    answer = ask(url, f"/tasks/{running}", "DELETE")
    assert (answer.status, answer.json()["error_code"]) == (409, "task_running")
    assert ask(url, f"/tasks/{running}/cancel", "POST").status == 202
    wait_for(lambda: task(url, running)["state"] == "cancelled", PATIENCE_S, "the end of the cancelled task")
    wait_for(
        lambda: ask(url, f"/tasks/{running}", "DELETE").status == 202, PATIENCE_S, "the end of the callback"
    )
    assert wait_deleted(url, running)["state"] == "cancelled"


def test_a_repeated_song_is_copied_without_the_engine_until_its_stems_are_deleted(
    trio, url, bucket, tmp_path
):
    data = song(tmp_path, 2)
    first = succeeded(trio, url, data)
    before_s = engine_s(trio)
    second = succeeded(trio, url, data, label="Björk – Jóga")
    assert engine_s(trio) == before_s
    assert second["result"]["cached_from"] == first["task_uuid"]
    assert trio.callbacks(second["task_uuid"])[0].json["cached_from"] == first["task_uuid"]
    for name, stem in second["result"]["stems"].items():
        body = bucket.get(f"{PREFIX}{second['task_uuid']}/1/{name}.wav")
        assert hashlib.sha256(body).hexdigest() == stem["sha256"] == first["result"]["stems"][name]["sha256"]
    assert "cached_from" not in succeeded(trio, url, data, cache="refresh")["result"]
    assert "cached_from" not in succeeded(trio, url, data, stems=["vocals"])["result"]

    refreshed = succeeded(trio, url, data)["result"]["cached_from"]
    assert ask(url, f"/tasks/{refreshed}", "DELETE").status == 202
    wait_deleted(url, refreshed)
    assert "cached_from" not in succeeded(trio, url, data)["result"]


def test_an_archive_has_the_stems_with_names_for_people(trio, url, tmp_path):
    done = succeeded(trio, url, song(tmp_path, 3), label="Björk – Jóga", output={"format": "flac"})
    answer = ask(url, f"/tasks/{done['task_uuid']}/archive.zip")
    assert (answer.status, answer.headers["content-type"]) == (200, "application/zip")
    with zipfile.ZipFile(io.BytesIO(answer.body)) as archive:
        assert archive.testzip() is None
        found = {name: hashlib.sha256(archive.read(name)).hexdigest() for name in archive.namelist()}
    stems = done["result"]["stems"]
    assert found == {f"Björk – Jóga ({name}).flac": stem["sha256"] for name, stem in stems.items()}
    used = ask(url, "/usage").json()["users"][0]
    assert used["results"]["bytes"] >= sum(stem["bytes"] for stem in stems.values())
    assert used["uploads"] == {"count": 0, "bytes": 0}


def test_results_expire_by_the_one_way_of_deletion(trio, url, bucket, tmp_path):
    task_uuid = succeeded(trio, url, song(tmp_path, 4))["task_uuid"]
    settings = UploaderSettings(**{name.lower(): value for name, value in trio.settings.items()})
    outbox = KafkaOutbox(lambda: status_producer(settings))
    outbox.start()
    expire = expire_by(outbox, settings.kafka_result_topic)
    # As two uploaders an hour after the results have become old.
    for _ in range(2):
        BucketSweep(bucket, PREFIX, 1, expire, lambda: time.time() + 7200).sweep(threading.Event())
    gone = wait_deleted(url, task_uuid)
    outbox.stop()
    assert gone["user"] == "admin"
    assert names(bucket, task_uuid) == ["manifest.json"]
    # Those of the tests before, which other partitions of the topic have, may be deleted later.
    wait_for(lambda: statuses(bucket) == {"deleted"}, PATIENCE_S, "the deletion of every result")

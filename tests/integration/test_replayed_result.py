"""A replay's stems and a failed run's leftovers, in a real store."""

import hashlib
import os
from pathlib import Path
from uuid import UUID, uuid4

import pytest
import requests

from common.errors import Cancelled, ErrorCode, PermanentError
from common.settings.schema import UploaderSettings
from common.storage.bucket_keys import RunKeys
from common.storage.bucket_stage import BucketStage
from common.storage.multipart import PART_BYTES
from common.storage.stage import LocalStage
from common.storage.stage_interface import Stage
from common.tasks.messages import Separated, StagedStem
from tests.support.servers import S3Store
from uploader import callback, stems
from uploader.storage import Storage
from uploader.sweep import Sweeper

pytestmark = pytest.mark.network

PREFIX = "stems/"
NAMES = ("manifest.json", "vocals.wav")
DAY_S = 24 * 3600.0


def go_on() -> None:
    """No job is cancelled here."""


@pytest.fixture
def storage(s3_store: S3Store) -> Storage:
    values = {name.lower(): value for name, value in s3_store.environment().items()}
    return Storage(UploaderSettings(**values))


class Task:
    """A task with one staged stem; `publish` does what a run of it does, without its callback."""

    def __init__(self, stage: Stage, storage: Storage, song: Path):
        self.stage, self.storage, self.uuid = stage, storage, uuid4()
        staged = stage.put(self.uuid, "tasks-0-5", 1, song)
        self.stem = StagedStem(
            key=staged.key, sha256=staged.sha256, bytes=staged.size_bytes, duration_s=1.0, etag=staged.etag
        )

    def keys(self, run: int) -> RunKeys:
        return RunKeys(PREFIX, self.uuid, run)

    def result(self, run: int) -> Separated:
        return Separated(
            task_uuid=self.uuid,
            hook_url="http://hook.example/",
            run=run,
            submitted_at=1.0,
            finished_at=2.0,
            stems={"vocals": self.stem},
            model="m",
            device="cpu",
            stage=self.stage.mode,
        )

    def publish(self, run: int) -> str:
        """The stem's link."""
        result, keys = self.result(run), self.keys(run)
        links = stems.publish(result, keys, self.stage, self.storage, go_on)
        self.storage.put_manifest(keys.manifest, callback.success_body(result, links, 9.0))
        return links["vocals"].url

    def lose_staged(self) -> None:
        self.stage.retire(self.stem.key)
        self.stage.remove_retired(self.stem.key)


@pytest.fixture(params=["path", "s3"])
def make(request, tmp_path, storage):
    in_bucket = BucketStage(storage.bucket, storage.quick, f"{uuid4()}/")
    stage = LocalStage(tmp_path / "stage") if request.param == "path" else in_bucket

    def make(data: bytes = b"a voice") -> Task:
        song = tmp_path / "vocals.wav"
        song.write_bytes(data)
        return Task(stage, storage, song)

    return make


def objects(store: S3Store, uuid: UUID) -> list[str]:
    answer = store.client().list_objects_v2(Bucket=store.bucket, Prefix=f"{PREFIX}{uuid}/")
    return [found["Key"] for found in answer.get("Contents", [])]


@pytest.mark.parametrize("size", [7, PART_BYTES + 1])
def test_a_replay_s_stems_are_copied_under_its_own_keys_and_outlive_the_first_run(make, s3_store, size):
    task = make(b"x" * size)
    task.publish(1)
    task.lose_staged()
    link = task.publish(2)
    assert f"/{task.uuid}/2/vocals.wav" in link
    s3_store.client().delete_object(Bucket=s3_store.bucket, Key=task.keys(1).stem("vocals", "wav"))
    answer = requests.get(link, timeout=60)
    assert hashlib.sha256(answer.content).hexdigest() == task.stem.sha256
    assert answer.headers["Content-Type"] == "audio/wav"
    assert answer.headers["Content-Disposition"].startswith("attachment; filename=")


def test_a_replay_whose_stems_are_nowhere_says_so_and_leaves_nothing(make, s3_store):
    task = make()
    task.lose_staged()
    with pytest.raises(PermanentError) as caught:
        task.publish(3)
    assert caught.value.code == ErrorCode.STAGE_MISSING
    assert objects(s3_store, task.uuid) == []


def test_a_manifest_that_outlived_its_stems_is_no_source(make, s3_store):
    task = make()
    task.publish(1)
    task.lose_staged()
    s3_store.client().delete_object(Bucket=s3_store.bucket, Key=task.keys(1).stem("vocals", "wav"))
    with pytest.raises(PermanentError) as caught:
        task.publish(2)
    assert caught.value.code == ErrorCode.STAGE_MISSING


def test_what_is_too_large_for_one_request_is_copied_in_parts(storage):
    song, keys = os.urandom(11 * 1024**2), (f"stems/{uuid4()}/1/vocals.wav", f"stems/{uuid4()}/1/vocals.wav")
    storage.bucket.put(keys[0], song)
    headers, sent = {"ContentType": "audio/wav"}, []
    storage.bucket.multipart.copy(*keys, len(song), 5 * 1024**2, headers, go_on, sent.append)
    assert storage.bucket.get(keys[1]) == song
    assert sent == [5 * 1024**2, 5 * 1024**2, 1024**2]


def test_a_job_that_stops_while_its_stem_is_copied_in_parts_leaves_no_part(storage, s3_store):
    song, key = bytes(11 * 1024**2), f"stems/{uuid4()}/1/vocals.wav"
    storage.bucket.put(key, song)
    sent: list[int] = []

    def stop() -> None:
        if sent:
            raise Cancelled

    with pytest.raises(Cancelled):
        storage.bucket.multipart.copy(key, f"{key}.copy", len(song), 5 * 1024**2, {}, stop, sent.append)
    assert f"{key}.copy" not in unfinished(s3_store)
    assert storage.bucket.seen(f"{key}.copy") is None


def test_a_cancel_is_heard_while_earlier_runs_are_looked_at(make):
    task = make()
    task.publish(1)
    task.lose_staged()

    def cancel() -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        stems.publish(task.result(2), task.keys(2), task.stage, task.storage, cancel)


def test_a_failed_run_s_objects_go_and_those_of_other_runs_stay(make, s3_store, storage):
    task = make()
    for run in (1, 11, 2):
        task.publish(run)
    storage.remove_unnamed(task.keys(1))
    left = [task.keys(1).manifest, *[f"{task.keys(r).directory}{n}" for r in (11, 2) for n in NAMES]]
    assert objects(s3_store, task.uuid) == sorted(left)


def unfinished(store: S3Store) -> set[str]:
    answer = store.client().list_multipart_uploads(Bucket=store.bucket)
    return {upload["Key"] for upload in answer.get("Uploads", [])}


def test_a_sweep_aborts_old_unfinished_uploads_of_ours_and_no_others(tmp_path, s3_store, storage):
    now = []
    stage = LocalStage(tmp_path / "stage")
    ours, staged, other_prefix, other_name = (
        f"{PREFIX}{uuid4()}/1/vocals.wav",
        f"{PREFIX}stage/{uuid4()}/tasks-0-5.1/vocals.wav",
        f"theirs/{uuid4()}/1/vocals.wav",
        f"{PREFIX}backup/1/vocals.wav",
    )
    client = s3_store.client()
    begun = {
        key: client.create_multipart_upload(Bucket=s3_store.bucket, Key=key)["UploadId"]
        for key in (ours, staged, other_prefix, other_name)
    }
    (started,) = [
        u["Initiated"].timestamp()
        for u in client.list_multipart_uploads(Bucket=s3_store.bucket)["Uploads"]
        if u["Key"] == ours
    ]
    sweeper = Sweeper(stage, storage.bucket.multipart, PREFIX, DAY_S, lambda: now[0])
    now[:] = [started + DAY_S - 60]
    sweeper.sweep_stage()
    assert set(begun) <= unfinished(s3_store)
    now[:] = [started + DAY_S + 60]
    sweeper.sweep_stage()
    sweeper.sweep_stage()
    assert unfinished(s3_store) & set(begun) == {other_prefix, other_name}
    for key in (other_prefix, other_name):
        client.abort_multipart_upload(Bucket=s3_store.bucket, Key=key, UploadId=begun[key])

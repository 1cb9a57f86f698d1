"""How long the uploader keeps an uploaded song, and what it removes."""

import threading
from uuid import uuid4

import pytest

from common.storage.bucket import Bucket
from common.storage.stage import LocalStage
from common.storage.upload_record import Upload
from common.storage.uploads import Uploads
from common.tasks.messages import SeparationFailed
from tests.support.memory_s3 import MemoryS3, error
from tests.support.waiting import wait_for
from uploader.songs import SongKeeper
from uploader.sweep import Sweeper

DAY_S = 24 * 3600.0
MARK_KEPT_S = 8 * DAY_S
BEGAN_S = 1_800_000_000.0


class Bench:
    """A bucket in memory whose clock is the keeper's."""

    def __init__(self) -> None:
        self.now_s = BEGAN_S
        self.s3 = MemoryS3(lambda: self.now_s)
        self.uploads = Uploads(Bucket(self.s3, "bucket"), "p/")
        self.keeper = SongKeeper(self.uploads, DAY_S, MARK_KEPT_S, lambda: self.now_s)

    def upload(self, **fields) -> Upload:
        given = {"upload_id": uuid4(), "user": "alice", "file_name": "a.wav", "bytes": 1, **fields}
        upload = Upload(**given, created_at=self.now_s, expires_at=self.now_s + DAY_S)
        self.uploads.save(upload)
        self.s3.put_object("bucket", upload.keys("p/").audio, b"x")
        return upload

    def failed(self, upload: Upload, task_uuid) -> SeparationFailed:
        return SeparationFailed(
            task_uuid=task_uuid,
            user="alice",
            audio=f"upload:{upload.upload_id}",
            submitted_at=1.0,
            finished_at=2.0,
            error_code="not_audio",
            error_message="it is text",
        )

    def sweep_after(self, seconds: float) -> int:
        self.now_s += seconds
        return self.keeper.sweep()


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_an_upload_without_a_task_goes_when_it_has_expired(bench):
    bench.upload()
    assert bench.sweep_after(DAY_S) == 0  # an api may have taken it this very moment
    assert bench.sweep_after(601) == 1
    assert bench.s3.keys == []


def test_an_upload_stays_while_a_task_needs_it_and_for_its_retention_after_the_last_one(bench):
    upload, tasks = bench.upload(), [uuid4(), uuid4()]
    for task_uuid in tasks:
        bench.uploads.mark(upload, task_uuid)
    assert bench.sweep_after(3 * DAY_S) == 0
    bench.keeper.release(bench.failed(upload, tasks[0]))
    assert bench.sweep_after(2 * DAY_S) == 0
    bench.keeper.release(bench.failed(upload, tasks[1]))
    bench.keeper.release(bench.failed(upload, tasks[1]))  # as of a result that is read twice
    assert bench.sweep_after(DAY_S) == 0
    assert bench.sweep_after(601) == 1
    assert bench.s3.keys == []


def test_a_mark_that_could_not_be_removed_goes_once_the_task_has_its_manifest(bench):
    upload, task_uuid = bench.upload(), uuid4()
    bench.uploads.mark(upload, task_uuid)
    bench.s3.fail = lambda operation, key: error("SlowDown", 503)
    bench.keeper.release(bench.failed(upload, task_uuid))
    bench.s3.fail = lambda operation, key: None
    assert bench.uploads.users(upload) == [task_uuid]
    manifest = f"p/{task_uuid}/1/manifest.json"
    bench.s3.put_object("bucket", manifest, b"{}")
    assert bench.sweep_after(2 * DAY_S) == 0
    assert bench.uploads.users(upload) == []
    assert bench.sweep_after(DAY_S + 601) == 1
    assert bench.s3.keys == [manifest]


def test_the_mark_of_a_task_that_never_came_to_kafka_goes_by_age(bench):
    upload = bench.upload()
    bench.uploads.mark(upload, uuid4())
    assert bench.sweep_after(MARK_KEPT_S) == 0
    assert bench.uploads.users(upload) != []
    assert bench.sweep_after(1) == 0
    assert bench.sweep_after(DAY_S + 601) == 1
    assert bench.s3.keys == []


def test_a_mark_that_comes_while_the_upload_is_removed_keeps_it(bench):
    upload, task_uuid = bench.upload(), uuid4()

    def mark_first(operation: str, key: str) -> None:
        if operation == "delete_object":
            bench.s3.fail = lambda operation, key: None
            bench.uploads.mark(upload, task_uuid)

    bench.s3.fail = mark_first
    assert not bench.uploads.remove_unless_used(upload.keys(bench.uploads.prefix))
    assert bench.uploads.find("alice", upload.upload_id) == upload
    assert bench.uploads.song(upload) is not None


def test_unfinished_parts_and_songs_without_a_record_go_by_age(bench):
    upload = bench.upload()
    key = upload.keys("p/").audio
    bench.s3.create_multipart_upload("bucket", key)
    bench.s3.create_multipart_upload("bucket", f"p/{uuid4()}/1/vocals.wav")  # another sweep's
    bench.s3.delete_object("bucket", upload.keys("p/").record)
    bench.s3.put_object("bucket", "p/uploads/odd", b"x")
    assert bench.sweep_after(DAY_S) == 0
    assert len(bench.s3.parts) == 2
    assert bench.sweep_after(601) == 2
    assert bench.s3.keys == []
    assert len(bench.s3.parts) == 1


def test_the_sweeper_removes_songs_also_where_the_stage_cannot_be_read(bench, tmp_path, caplog):
    bench.upload()
    bench.now_s += 2 * DAY_S
    (tmp_path / "stage").write_text("no directory")
    bucket = bench.uploads.bucket
    sweeper = Sweeper(LocalStage(tmp_path / "stage"), bucket.multipart, "p/", DAY_S, songs=bench.keeper)
    stopping = threading.Event()
    thread = threading.Thread(target=sweeper.run, args=(stopping,))
    thread.start()
    try:
        wait_for(lambda: not bench.s3.keys, 10, "the removal of the song")
    finally:
        stopping.set()
        thread.join()
    assert "the sweep failed" in caplog.text


def test_a_result_of_an_address_asks_the_store_nothing(bench):
    result = bench.failed(bench.upload(), uuid4()).model_copy(update={"audio": "https://a.example/upload:x"})
    bench.s3.calls.clear()
    bench.keeper.release(result)
    bench.keeper.release(result.model_copy(update={"audio": "upload:nothing"}))
    assert bench.s3.calls == []

"""How a processor reads an uploaded song, and what it makes of one that is not right."""

import hashlib
from pathlib import Path
from uuid import uuid4

import pytest
from urllib3.exceptions import ProtocolError

from common.errors import ErrorCode, JobError, PermanentError, TransientError
from common.settings.schema import ProcessorSettings
from common.storage.bucket import Bucket
from common.storage.upload_record import Upload
from common.storage.uploads import Uploads
from common.tasks.messages import Task
from processor.upload_reader import UploadReader, make_reader
from tests.support.memory_s3 import MemoryS3, error

SONG = bytes(range(256)) * 5000


class Bench:
    def __init__(self, directory: Path):
        self.directory, self.s3 = directory, MemoryS3()
        self.uploads = Uploads(Bucket(self.s3, "bucket"), "")
        self.upload = Upload(
            upload_id=uuid4(),
            user="alice",
            file_name="My Song.FLAC",
            bytes=len(SONG),
            sha256=hashlib.sha256(SONG).hexdigest(),
            created_at=1.0,
            expires_at=2.0,  # a task that was queued in time reads it all the same
        )
        self.put()

    def put(self, song: bytes = SONG, **fields) -> None:
        self.upload = self.upload.model_copy(update=fields)
        self.uploads.save(self.upload)
        self.s3.put_object("bucket", self.upload.keys("").audio, song)

    def read(self, user: str = "alice", check=lambda: None, on_progress=lambda fraction: None):
        task = Task(task_uuid=uuid4(), audio=f"upload:{self.upload.upload_id}", user=user, submitted_at=1.0)
        reader = UploadReader(self.uploads)
        return reader.read(task, self.upload.upload_id, self.directory, check, on_progress)

    def error(self, user: str = "alice") -> JobError:
        with pytest.raises(JobError) as caught:
            self.read(user)
        assert list(self.directory.iterdir()) == []
        return caught.value


@pytest.fixture
def bench(tmp_path) -> Bench:
    return Bench(tmp_path)


def test_the_song_comes_into_the_directory_with_its_own_extension(bench):
    told: list[float] = []
    file = bench.read(on_progress=told.append)
    assert file.path.name == "input.flac"
    assert file.path.read_bytes() == SONG
    assert file.size_bytes == len(SONG)
    assert told == sorted(told)
    assert told[-1] == 1.0


@pytest.mark.parametrize(
    ("song", "fields"),
    [
        (SONG + b"x", {}),
        (SONG[:-1], {}),
        (SONG[::-1], {}),
        (SONG, {"sha256": "0" * 64}),
    ],
    ids=["longer", "shorter", "another", "checksum"],
)
def test_another_song_than_the_announced_one_is_refused(bench, song, fields):
    bench.put(song, **fields)
    failure = bench.error()
    assert (type(failure), failure.code) == (PermanentError, ErrorCode.UPLOAD_MISMATCH)


@pytest.mark.parametrize("missing", ["record", "audio"])
def test_a_song_that_is_gone_is_said_to_be(bench, missing):
    bench.s3.delete_object("bucket", getattr(bench.upload.keys(""), missing))
    failure = bench.error()
    assert (type(failure), failure.code) == (PermanentError, ErrorCode.UPLOAD_MISSING)


def test_another_users_song_is_not_there(bench):
    assert bench.error("bob").code == ErrorCode.UPLOAD_MISSING


@pytest.mark.parametrize(
    ("failure", "kind"),
    [(error("SlowDown", 503), TransientError), (error("AccessDenied", 403), PermanentError)],
)
def test_a_store_that_fails_is_tried_again_and_one_that_refuses_is_not(bench, failure, kind):
    bench.s3.fail = lambda operation, key: failure if operation == "get_object" else None
    found = bench.error()
    assert (type(found), found.code) == (kind, ErrorCode.STORAGE_ERROR)
    assert found.message.startswith("The uploaded song could not be read: ")


def test_a_connection_that_breaks_within_the_song_is_tried_again(bench, monkeypatch):
    class Broken:
        def read(self, size_bytes: int) -> bytes:
            raise ProtocolError("broken")

        def close(self) -> None: ...

    monkeypatch.setattr(Uploads, "open", lambda *_: Broken())
    found = bench.error()
    assert (type(found), found.code) == (TransientError, ErrorCode.NETWORK_ERROR)


def test_a_cancelled_task_reads_no_further(bench):
    def stop() -> None:
        raise PermanentError(ErrorCode.CANCELLED)

    with pytest.raises(PermanentError):
        bench.read(check=stop)
    assert list(bench.directory.iterdir()) == []


def test_a_processor_without_bucket_or_keys_says_which_setting_is_missing(monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(PermanentError, match="S3_BUCKET_NAME"):
        make_reader(ProcessorSettings())
    with pytest.raises(PermanentError, match="PROCESSOR_AWS_ACCESS_KEY_ID"):
        make_reader(ProcessorSettings(s3_bucket_name="bucket"))

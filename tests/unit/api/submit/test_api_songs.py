"""Of a submission that was not queued for certain no song stays, and no mark at an upload."""

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import closing
from uuid import uuid4

import pytest
from botocore.exceptions import ConnectTimeoutError

from api.uploads.gate import _BATCH_THREADS, _MOST_UNANSWERED
from api.view.merge import of_task
from common.storage.bucket import Bucket
from common.storage.upload_record import Upload
from common.storage.uploads import Uploads
from tests.support.api.api_client import Answer, ApiClient, basic
from tests.support.api.memory_uploads import BUCKET, memory_gate
from tests.support.memory_s3 import MemoryS3, error

AUTH = basic("admin", "password")
KEY = {"Idempotency-Key": "mine"}
MIB = 1024 * 1024


class Desk:
    """An api whose Kafka is `away`, does not confirm (`unclear`), or is there."""

    def __init__(self, client: ApiClient, s3: MemoryS3):
        self.client, self.s3 = client, s3
        self.uploads = Uploads(Bucket(s3, ""), "")

    def kafka(self, state: str) -> None:
        for publisher in (self.client.publisher, self.client.together):
            publisher.away, publisher.unclear = (
                "no route" * (state == "away"),
                "late" * (state == "unclear"),
            )

    def form(self, song: bytes = b"RIFFsong", headers=None) -> Answer:
        head = b'--b\r\nContent-Disposition: form-data; name="audio"; filename="a.mp3"\r\n\r\n'
        body = head + song + b"\r\n--b--\r\n"
        given = {"Content-Type": "multipart/form-data; boundary=b", "Content-Length": str(len(body))}
        return self.client.generate(body, given | (headers or {}))

    def batch(self, *uploads: Upload, headers=None) -> Answer:
        items = [{"audio": "https://example.com/a"}, *({"audio": audio(upload)} for upload in uploads)]
        return self.call("POST", "/batches", {"items": items}, headers)

    def call(self, method: str, path: str, body: dict | None = None, headers=None) -> Answer:
        chunks = [b"" if body is None else json.dumps(body).encode()]
        return self.client.request(method, path, AUTH | (headers or {}), chunks)

    def uploaded(self) -> Upload:
        fields = {"user": "admin", "file_name": "a.wav", "created_at": 1.0, "expires_at": 1e12}
        upload = Upload(upload_id=uuid4(), bytes=4, **fields)
        self.uploads.save(upload)
        self.s3.put_object("", upload.keys("").audio, b"song")
        return upload

    def marks(self, upload: Upload) -> int:
        return len(self.uploads.users(upload))

    def delete(self, upload: Upload) -> int:
        return self.call("DELETE", f"/uploads/{upload.upload_id}").status


def audio(upload: Upload) -> str:
    return f"upload:{upload.upload_id}"


@pytest.fixture
def desk() -> Iterator[Desk]:
    s3, limits = MemoryS3(), {"max_upload_bytes_per_user": 4 * MIB}
    with closing(memory_gate(s3, **limits)) as gate:
        yield Desk(ApiClient(uploads=gate, **BUCKET, **limits), s3)


@pytest.mark.parametrize("headers", [{}, KEY], ids=["without-key", "with-key"])
@pytest.mark.parametrize("size_bytes", [100, 11 * MIB // 10])
def test_forms_leave_nothing_however_often_they_come_while_kafka_is_away(desk, headers, size_bytes):
    desk.kafka("away")
    for _ in range(5):
        answer = desk.form(b"s" * size_bytes, headers)
        assert (answer.status, answer.headers["retry-after"]) == (503, "10")
        assert desk.s3.keys == []
    assert desk.s3.parts == {}
    desk.kafka("there")
    assert desk.form(b"s" * size_bytes, headers).status == 200
    assert sum(key.endswith("/audio") for key in desk.s3.keys) == 1


def test_a_form_that_may_be_queued_keeps_its_song(desk):
    desk.kafka("unclear")
    assert desk.form().status == 503
    kept = desk.s3.keys
    assert [key.split("/")[-2 if "/tasks/" in key else -1] for key in kept] == [
        "audio",
        "tasks",
        "upload.json",
    ]
    desk.kafka("away")
    assert desk.form(headers=KEY).status == 503
    assert desk.s3.keys == kept


def test_an_upload_is_free_after_a_task_that_was_not_sent(desk):
    upload = desk.uploaded()
    desk.kafka("away")
    for _ in range(3):
        assert desk.client.generate({"audio": audio(upload)}).status == 503
        assert desk.batch(upload, upload).status == 503
        assert desk.marks(upload) == 0
    assert desk.delete(upload) == 204


def test_a_key_keeps_its_marks_since_another_api_may_have_queued_the_same_task(desk):
    upload = desk.uploaded()
    desk.kafka("away")
    for _ in range(3):
        assert desk.client.generate({"audio": audio(upload)}, KEY).status == 503
        assert desk.batch(upload, headers=KEY).status == 503
        assert desk.marks(upload) == 2
    desk.kafka("there")
    assert desk.client.generate({"audio": audio(upload)}, KEY).status == 200
    assert desk.marks(upload) == 2


def test_the_mark_of_a_task_that_may_be_queued_outlives_its_repeats(desk):
    upload = desk.uploaded()
    for state in ("unclear", "away", "unclear", "away", "away"):
        desk.kafka(state)
        assert desk.client.generate({"audio": audio(upload)}, KEY).status == 503
        assert desk.batch(upload, headers=KEY).status == 503
        assert (desk.marks(upload), desk.delete(upload)) == (2, 409)
    desk.kafka("there")
    assert desk.client.generate({"audio": audio(upload)}, KEY).status == 200
    desk.client.view.tell(of_task(desk.client.publisher.tasks[-1]))
    assert desk.client.generate({"audio": audio(upload)}, KEY).status == 200
    assert desk.marks(upload) == 2


@pytest.mark.parametrize("why", ["unknown", "expired", "store"])
def test_a_batch_with_a_song_that_cannot_be_had_keeps_none_of_the_others(desk, why):
    good, bad = desk.uploaded(), desk.uploaded()
    if why == "unknown":
        desk.uploads.bucket.remove([bad.keys("").record])
    elif why == "expired":
        desk.uploads.save(bad.model_copy(update={"expires_at": 1.0}))
    else:
        broken = bad.keys("").record
        desk.s3.fail = lambda operation, key: error("SlowDown", 503) if key == broken else None
    answer = desk.batch(good, bad, good)
    assert (answer.status, answer.json()["problems"][0]["index"]) == (
        {"unknown": 404, "expired": 410, "store": 503}[why],
        2,
    )
    assert desk.client.together.transactions == []
    assert desk.marks(good) == 0


def test_no_further_upload_is_asked_for_once_the_store_is_away(desk):
    uploads = [desk.uploaded() for _ in range(40)]
    asked = []

    def fail(operation: str, key: str) -> Exception | None:
        asked.append(key)
        return ConnectTimeoutError(endpoint_url="http://store.example") if len(asked) > 20 else None

    desk.s3.fail = fail
    answer = desk.batch(*uploads)
    assert (answer.status, answer.json()["error_code"]) == (503, "store_unavailable")
    # Some were under way when the store went away, and some are tried to take the marks back.
    assert len(asked) <= 20 + 2 * _BATCH_THREADS + _MOST_UNANSWERED
    desk.s3.fail = lambda operation, key: None
    assert desk.batch(*uploads).status == 200


def test_a_batch_has_many_threads_and_leaves_others_to_single_calls_and_turns_to_other_batches():
    go_on, begun = threading.Event(), []

    def stand_still(batch: str):
        def call(store) -> None:
            begun.append(batch)
            go_on.wait(60)

        return call

    async def scenario() -> tuple[list[str], list[str]]:
        with closing(memory_gate(MemoryS3())) as gate:
            first = asyncio.create_task(gate.run_all([stand_still("first")] * 100))
            while len(begun) < _BATCH_THREADS:
                await asyncio.sleep(0)
            second = asyncio.create_task(gate.run_all([stand_still("second")] * 100))
            singles = [gate.run(lambda store: "answered") for _ in range(20)]
            answers = await asyncio.gather(*singles)
            before = [*begun]
            go_on.set()
            await asyncio.gather(first, second)
        return before, answers

    assert asyncio.run(scenario()) == (["first"] * _BATCH_THREADS, ["answered"] * 20)
    assert _BATCH_THREADS > 2
    assert "first" in begun[begun.index("second") + 2 * _BATCH_THREADS :], "the second did not wait for all"


def test_a_mark_that_cannot_be_taken_back_changes_no_answer(desk, caplog):
    upload = desk.uploaded()
    desk.kafka("away")
    desk.s3.fail = lambda operation, key: error("SlowDown", 503) if operation == "delete_object" else None
    assert desk.client.generate({"audio": audio(upload)}).status == 503
    assert f"upload {upload.upload_id} stays marked" in caplog.text
    assert desk.marks(upload) == 1


@pytest.mark.parametrize("failures", [1, 12])
def test_a_mark_that_the_store_refuses_to_take_back_leaves_no_other(desk, failures):
    uploads = [desk.uploaded() for _ in range(20)]
    refused: list[str] = []

    def fail(operation: str, key: str) -> Exception | None:
        if operation != "delete_object" or len(refused) == failures:
            return None
        refused.append(key)
        return error("SlowDown", 503)

    desk.kafka("away")
    desk.s3.fail = fail
    assert desk.batch(*uploads).status == 503
    assert sum(map(desk.marks, uploads)) == failures


def test_marks_are_left_once_several_in_a_row_had_no_answer(desk):
    uploads = [desk.uploaded() for _ in range(60)]
    tried: list[str] = []

    def fail(operation: str, key: str) -> Exception | None:
        if operation != "delete_object":
            return None
        tried.append(key)
        return ConnectTimeoutError(endpoint_url="http://store.example")

    desk.kafka("away")
    desk.s3.fail = fail
    assert desk.batch(*uploads).status == 503
    assert _MOST_UNANSWERED <= len(tried) <= _MOST_UNANSWERED + _BATCH_THREADS
    desk.s3.fail = lambda operation, key: None
    assert sum(map(desk.marks, uploads)) == 60

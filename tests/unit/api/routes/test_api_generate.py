"""`POST /generate`: what is queued, and what is refused with which status."""

import itertools
import json
from uuid import UUID, uuid4

import pytest

from common.tasks.messages import decode_task
from tests.support.api.api_client import SONG, ApiClient, MemoryPublisher


def problem_of(answer, status):
    assert answer.status == status
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert body["status"] == status
    assert body["type"]
    assert body["title"]
    assert body["error"] == body["detail"] != ""
    return body


def test_a_song_is_queued_and_answered_with_the_contracts_body():
    client = ApiClient()
    answer = client.generate()
    assert answer.status == 200
    (task,) = client.publisher.tasks
    assert answer.json() == {
        "message": "Task has been queued for processing",
        "status": "queued",
        "task_uuid": str(task.task_uuid),
    }
    assert (task.audio, task.hook_url, task.user, task.run) == (SONG["audio"], SONG["hook_url"], "admin", 1)
    assert task.task_uuid.version == 4


@pytest.mark.parametrize("body", [{"audio": SONG["audio"]}, SONG | {"hook_url": None}])
def test_a_song_needs_no_hook(body):
    client = ApiClient()
    assert client.generate(body).status == 200
    (task,) = client.publisher.tasks
    assert task.hook_url is None
    assert decode_task(task.to_bytes()) == task


def test_unknown_fields_are_ignored():
    client = ApiClient()
    assert client.generate(SONG | {"urgency": 5, "task_uuid": "mine", "run": 7}).status == 200
    assert client.publisher.tasks[0].run == 1


@pytest.mark.parametrize("content_type", ["application/x-www-form-urlencoded", "text/plain", "", "rubbish"])
def test_json_is_taken_whatever_the_content_type_says(content_type):
    assert ApiClient().generate(headers={"Content-Type": content_type}).status == 200


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"text"',
        b"audio=https://example.com/a.mp3",
        b"\xff\xfe\x00",
        b'{"audio": "\xff", "hook_url": "https://example.com/h"}',
        b'{"audio": "https://example.com/\\ud800", "hook_url": "https://example.com/h"}',
        b"[" * 10_000,
        b'{"audio": NaN, "hook_url": Infinity}',
        json.dumps({"hook_url": SONG["hook_url"]}).encode(),
        json.dumps(SONG | {"audio": None}).encode(),
        json.dumps(SONG | {"audio": 5}).encode(),
        json.dumps(SONG | {"audio": ["https://example.com/a.mp3"]}).encode(),
        json.dumps(SONG | {"hook_url": {"url": "https://example.com"}}).encode(),
        json.dumps(SONG | {"hook_url": True}).encode(),
    ],
)
def test_a_wrong_body_is_400(refusing, body):
    problem_of(refusing.generate(body), 400)
    assert refusing.publisher.tasks == []


@pytest.mark.parametrize("field", ["audio", "hook_url"])
@pytest.mark.parametrize(
    ("address", "code"),
    [
        ("", "address_invalid"),
        ("song.mp3", "address_invalid"),
        ("ftp://example.com/a.mp3", "address_invalid"),
        ("file:///etc/passwd", "address_invalid"),
        ("https://", "address_invalid"),
        ("https://user:secret@example.com/a", "address_invalid"),
        ("https://example.com/a\r\nHost: b", "address_invalid"),
        ("https://example.com:99999/a", "address_invalid"),
        ("https://" + "a" * 5000, "address_invalid"),
        ("http://127.0.0.1/a.mp3", "address_blocked"),
        ("http://[::1]/a.mp3", "address_blocked"),
        ("http://localhost/a.mp3", "address_blocked"),
        ("http://169.254.169.254/latest", "address_blocked"),
        ("https://example.com:22/a", "address_blocked"),
    ],
)
def test_a_wrong_address_is_400_with_its_code(refusing, field, address, code):
    body = problem_of(refusing.generate(SONG | {field: address}), 400)
    assert body["error_code"] == code
    assert body["error"].startswith(f"{field}: ")
    assert "secret" not in body["error"]
    assert refusing.publisher.tasks == []


def test_a_trusted_origin_is_taken():
    client = ApiClient(trusted_url_prefixes=("http://127.0.0.1:9000",))
    assert client.generate(SONG | {"audio": "http://127.0.0.1:9000/a.mp3"}).status == 200
    assert client.generate(SONG | {"audio": "http://127.0.0.1:9001/a.mp3"}).status == 400


def test_a_body_that_is_declared_too_large_is_413_unread():
    client = ApiClient(max_body_bytes=1000)
    problem_of(client.generate(headers={"Content-Length": "1001"}), 413)
    assert client.chunks_read == 0


def test_a_body_of_the_largest_size_is_taken():
    body = json.dumps(SONG).encode()
    assert ApiClient(max_body_bytes=len(body)).generate(body).status == 200
    problem_of(ApiClient(max_body_bytes=len(body) - 1).generate(body), 413)


def test_an_endless_body_is_413_as_soon_as_it_is_too_large():
    client = ApiClient(max_body_bytes=1000)
    with_credentials = {"Authorization": "Basic YWRtaW46cGFzc3dvcmQ="}
    answer = client.request("POST", "/generate", with_credentials, itertools.repeat(b" " * 100))
    problem_of(answer, 413)
    assert client.chunks_read == 11


def test_the_same_key_of_the_same_user_is_the_same_task():
    client = ApiClient()
    first, again, other = (
        client.generate(headers={"Idempotency-Key": key}).json() for key in ("a", "a", "b")
    )
    assert first["task_uuid"] == again["task_uuid"] != other["task_uuid"]
    assert UUID(first["task_uuid"]).version == 5
    assert [str(task.task_uuid) for task in client.publisher.tasks[:2]] == [first["task_uuid"]] * 2


def test_the_same_key_of_another_user_is_another_task():
    key = {"Idempotency-Key": "a"}
    one, other = (ApiClient(basic_auth_username=user).generate(headers=key).json() for user in ("x", "y"))
    assert one["task_uuid"] != other["task_uuid"]


def test_a_keys_task_stays_the_same_over_versions():
    answer = ApiClient().generate(headers={"Idempotency-Key": "order-1"})
    assert answer.json()["task_uuid"] == "9327cc42-ac6b-52e6-b464-fa459f9692bc"


@pytest.mark.parametrize("key", ["", " ", "a b", "a\tb", "\xe9", "x" * 256, "\x7f"])
def test_a_wrong_key_is_400(key):
    client = ApiClient()
    assert "Idempotency-Key" in problem_of(client.generate(headers={"Idempotency-Key": key}), 400)["error"]
    assert client.publisher.tasks == []


@pytest.mark.parametrize("key", ["!", "~", "x" * 255, "a:b"])
def test_a_right_key_is_taken(key):
    assert ApiClient().generate(headers={"Idempotency-Key": key}).status == 200


def test_an_unconfirmed_task_is_503_with_a_time_to_come_back():
    answer = ApiClient(MemoryPublisher(away="Kafka is at lunch")).generate()
    problem_of(answer, 503)
    assert int(answer.headers["retry-after"]) > 0


def test_an_unexpected_error_is_500_and_tells_nothing():
    answer = ApiClient(MemoryPublisher(fails_with=RuntimeError("secret detail"))).generate()
    problem_of(answer, 500)
    assert b"secret" not in answer.body


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing", 404),
        ("GET", "/generate", 405),
        ("DELETE", "/health", 405),
        ("POST", "/generate/", 404),
    ],
)
def test_what_is_not_there_is_a_problem_too(method, path, status):
    problem_of(ApiClient().request(method, path), status)


def test_a_wrong_method_names_the_right_one():
    assert ApiClient().request("GET", "/generate").headers["allow"] == "POST"
    assert ApiClient().request("PUT", f"/uploads/{uuid4()}").headers["allow"] == "GET, DELETE"
    assert ApiClient().request("POST", "/docs").headers["allow"] == "GET"

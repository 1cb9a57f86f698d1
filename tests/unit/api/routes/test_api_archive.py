"""Who gets all stems of which task in one file, and what happens when the store does not give them."""

import asyncio
import io
import zipfile
from uuid import UUID

import pytest

from api.archive.errors import BucketUnavailable, ObjectBroken
from api.archive.reader import Held
from common.tasks.messages import PublishedStem, State, Status, SuccessCallback
from tests.support.api.api_client import Answer, ApiClient, basic

ALICE, BOB, ROOT = (basic(name, "password") for name in ("alice", "bob", "root"))
TASK_UUID = UUID(int=1)
PATH = f"/tasks/{TASK_UUID}/archive.zip"
KEYS = {name: f"{TASK_UUID}/1/{name}.flac" for name in ("vocals", "instrumental")}


class FakeReader:
    """The bucket's objects. `breaks` is raised in the middle of each."""

    def __init__(self):
        self.objects = dict.fromkeys(KEYS.values(), b"stem")
        self.breaks: Exception | None = None
        self.away = ""
        self.held = {"alice": Held(2, 99)}

    def sizes(self, keys):
        if self.away:
            raise BucketUnavailable(self.away)
        return [len(self.objects[key]) if key in self.objects else None for key in keys]

    def blocks(self, key, size_bytes):
        yield self.objects[key][:2]
        if self.breaks:
            raise self.breaks
        yield self.objects[key][2:]

    def uploads(self, user):
        if self.away:
            raise BucketUnavailable(self.away)
        return self.held.get(user, Held(0, 0))


@pytest.fixture
def reader() -> FakeReader:
    return FakeReader()


@pytest.fixture
def client(three_users, reader) -> ApiClient:
    made = ApiClient(basic_auth_users_file=three_users, admin_usernames="root", s3_bucket_name="bucket")
    made.app.state.parts.archives._load = lambda settings: reader
    return made


def succeeded(user="alice", task_uuid=TASK_UUID, **fields) -> Status:
    stem = PublishedStem(url="", sha256="a", bytes=4, duration_s=1)
    stems = {n: stem.model_copy(update={"url": f"https://s.example/b/{key}?X=1"}) for n, key in KEYS.items()}
    result = SuccessCallback(task_uuid=task_uuid, timestamp=1e9, stems=stems, model="m", device="cpu")
    known = {"task_uuid": task_uuid, "user": user, "submitted_at": 1.0, "at": 9.0, "label": "Artist - Title"}
    return Status(**known | {"state": State.SUCCEEDED, "result": result} | fields)


def get(client: ApiClient, user=ALICE, path: str = PATH) -> Answer:
    return client.request("GET", path, user)


def test_stems_under_an_earlier_prefix_come_too(client, reader):
    reader.objects = {f"old/{key}": body for key, body in reader.objects.items()}
    status = succeeded()
    stems = {
        name: stem.model_copy(update={"url": f"https://s.example/bucket/old/{KEYS[name]}?X=1"})
        for name, stem in status.result.stems.items()
    }
    client.view.tell(status.model_copy(update={"result": status.result.model_copy(update={"stems": stems})}))
    assert get(client).status == 200


def test_all_stems_come_in_one_file_with_names_for_people(client):
    client.view.tell(succeeded())
    answer = get(client)
    assert (answer.status, answer.headers["content-type"]) == (200, "application/zip")
    assert 'filename="Artist - Title.zip"' in answer.headers["content-disposition"]
    with zipfile.ZipFile(io.BytesIO(answer.body)) as archive:
        assert archive.namelist() == ["Artist - Title (vocals).flac", "Artist - Title (instrumental).flac"]
        assert {archive.read(name) for name in archive.namelist()} == {b"stem"}


def test_there_must_be_stems_and_they_are_for_the_tasks_user_and_for_admins(client):
    client.view.tell(succeeded(state=State.SEPARATING, result=None))
    answer = get(client)
    assert (answer.status, answer.json()["state"]) == (409, "separating")
    client.view.tell(succeeded())
    assert [get(client, user).status for user in (ALICE, ROOT, BOB)] == [200, 200, 404]
    unknown = get(client, ALICE, f"/tasks/{UUID(int=2)}/archive.zip")
    assert unknown.body == get(client, BOB).body
    assert client.request("GET", PATH).status == 401


@pytest.mark.parametrize("gone", ["deleted", "a stem"])
def test_stems_that_are_deleted_are_told_before_anything_is_sent(client, reader, gone):
    client.view.tell(succeeded())
    if gone == "deleted":
        client.view.tell(succeeded(result=None, label=None, deleted_at=9.5))
    else:
        del reader.objects[KEYS["vocals"]]
    answer = get(client)
    assert (answer.status, answer.json()["error_code"]) == (410, "task_deleted")


def test_a_store_that_breaks_off_breaks_the_connection_and_frees_the_place(client, reader):
    client.view.tell(succeeded())
    reader.breaks = ObjectBroken("away")
    with pytest.raises(ObjectBroken):
        get(client)
    reader.breaks = None
    assert get(client).status == 200


def test_a_bucket_that_cannot_be_read_is_a_problem_of_the_operators(client, reader):
    client.view.tell(succeeded())
    reader.away = "no keys"
    answer = get(client)
    assert (answer.status, answer.json()["error_code"]) == (503, "bucket_unavailable")
    assert "no keys" not in answer.json()["error"]
    reader.away = ""
    assert get(client).status == 200


def test_an_api_without_a_bucket_says_so(three_users):
    client = ApiClient(basic_auth_users_file=three_users)
    client.view.tell(succeeded())
    answer = get(client)
    assert (answer.status, answer.json()["error_code"]) == (503, "bucket_unavailable")
    assert "S3_BUCKET_NAME" in answer.json()["error"]


def test_a_user_has_one_archive_at_a_time_and_others_do_not_wait(client):
    client.view.tell(succeeded())
    seen: list[Answer] = []

    async def during() -> None:
        parts = client.app.state.parts
        parts.archives.take_place("alice")
        for user in (ALICE, ROOT):
            seen.append(await client.get(PATH, user, lambda part: None))
        parts.archives.leave_place("alice")
        seen.append(await client.get(PATH, ALICE, lambda part: None))

    asyncio.run(during())
    assert [answer.status for answer in seen] == [429, 200, 200]
    assert (seen[0].json()["error_code"], seen[0].headers["retry-after"]) == ("too_many_archives", "10")


def test_usage_is_what_a_user_keeps_in_the_bucket(client, reader):
    client.view.tell(succeeded(), succeeded(task_uuid=UUID(int=2)), succeeded("bob", UUID(int=3)))
    client.view.tell(succeeded("bob", UUID(int=4), result=None, label=None, deleted_at=9.5))
    own = {
        "user": "alice",
        "results": {"count": 2, "bytes": 16},
        "uploads": {"count": 2, "bytes": 99},
        "days": [],
    }
    bobs = {
        "user": "bob",
        "results": {"count": 1, "bytes": 8},
        "uploads": {"count": 0, "bytes": 0},
        "days": [],
    }
    assert get(client, ALICE, "/usage").json()["users"] == [own]
    assert get(client, ALICE, "/usage?user=alice").json()["users"] == [own]
    assert get(client, ROOT, "/usage?user=bob").json()["users"] == [bobs]
    assert get(client, ROOT, "/usage?all=true").json()["users"] == [own, bobs]
    assert get(client, ROOT, "/usage").json()["users"][0]["results"] == {"count": 0, "bytes": 0}
    for query in ("user=bob", "all=true"):
        refused = get(client, ALICE, f"/usage?{query}")
        assert (refused.status, refused.json()["error_code"]) == (403, "not_an_admin")
    reader.away = "no keys"
    assert get(client, ALICE, "/usage").json()["users"] == [{n: v for n, v in own.items() if n != "uploads"}]


def test_deleted_results_take_no_space(client):
    client.view.tell(succeeded())
    client.view.tell(succeeded(result=None, label=None, deleted_at=9.5))
    assert get(client, ALICE, "/usage").json()["users"][0]["results"] == {"count": 0, "bytes": 0}

"""Many songs at once: all are queued, in order, or none is; and one order to call once all have ended."""

import asyncio
import json
from uuid import uuid4

import pytest

from api.batches.ends import BatchEnds
from api.submit.submission import batch_uuid
from api.view.merge import of_task
from common.storage.bucket import Bucket
from common.storage.upload_record import Upload
from common.storage.uploads import Uploads
from common.tasks.messages import (
    Cancel,
    DeliveryAttempt,
    State,
    Status,
    Task,
    TaskBatch,
    WorkerSeen,
    decode_batch,
    decode_result_record,
    decode_task,
    item_uuids,
)
from tests.support.api.api_client import ApiClient, basic
from tests.support.api.memory_uploads import memory_gate
from tests.support.api.stored_view import StoredView
from tests.support.memory_s3 import MemoryS3

ALICE, BOB, ROOT = (basic(name, "password") for name in ("alice", "bob", "root"))
SONGS = [{"audio": f"https://example.com/{number}.mp3"} for number in range(3)]
HOOK = "https://example.com/hook"


@pytest.fixture
def client(three_users) -> ApiClient:
    return ApiClient(basic_auth_users_file=three_users, admin_usernames="root")


def post(client: ApiClient, body, user=ALICE, **headers):
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return client.request("POST", "/batches", user | names, [json.dumps(body).encode()])


def submitted(client: ApiClient, body, **headers) -> TaskBatch:
    """The batch that is queued, which the view knows from here on."""
    assert post(client, body, **headers).status == 200
    *tasks, batch = client.together.transactions[-1]
    found = decode_batch(batch.value)
    client.view.tell(found, *(of_task(decode_task(task.value)) for task in tasks))
    return found


def end(client: ApiClient, batch: TaskBatch, *states: State) -> None:
    """Ends the first tasks of the batch in these states."""
    for task_uuid, state in zip(item_uuids(batch.batch_uuid, 0, batch.count), states, strict=False):
        known = client.view._reader.find(task_uuid)
        code = "cancelled" if state is State.CANCELLED else None
        ended = {"state": state, "at": 50.0, "times": {state: 40.0 + len(state)}, "error_code": code}
        client.view.tell(known.model_copy(update=ended))


def test_all_songs_are_queued_together_and_answered_in_order(client):
    body = {"items": SONGS, "defaults": {"model": "m", "label": "all", "unheard_of": 1}, "hook_url": HOOK}
    body["items"] = [SONGS[0], SONGS[1] | {"label": "own"}, SONGS[2] | {"model": None}]
    answer = post(client, body | {"metadata": {"order": 17}, "colour": "red"})
    (records,) = client.together.transactions
    assert [record.topic for record in records] == ["uvr_tasks"] * 3 + ["uvr_batches"]
    tasks, batch = [decode_task(record.value) for record in records[:3]], decode_batch(records[3].value)
    assert [task.audio for task in tasks] == [song["audio"] for song in SONGS]
    assert [task.label for task in tasks] == ["all", "own", "all"]
    assert [task.choices.model if task.choices else None for task in tasks] == ["m", "m", None]
    assert {task.user for task in tasks} | {batch.user} == {"alice"}
    assert (batch.count, batch.hook_url, batch.metadata) == (3, HOOK, {"order": 17})
    known = answer.json()
    assert [one["task_uuid"] for one in known["tasks"]] == [str(task.task_uuid) for task in tasks]
    assert (known["batch_uuid"], known["ignored"]) == (str(batch.batch_uuid), ["colour"])
    assert [one["ignored"] for one in known["tasks"]] == [["unheard_of"]] * 3
    assert client.view.backlog.queued("alice").of_user == 3


def test_one_wrong_item_refuses_the_batch_and_each_wrong_item_is_named(client):
    items = [SONGS[0], {"audio": "ftp://example.com/a"}, 7, {"audoi": "https://example.com/a"}]
    answer = post(client, {"items": items})
    problem = answer.json()
    assert (answer.status, problem["error_code"]) == (400, "items_invalid")
    assert [one["index"] for one in problem["problems"]] == [1, 2, 3]
    assert [one.get("error_code") for one in problem["problems"]] == [
        "address_invalid",
        None,
        "field_unknown",
    ]
    assert client.together.transactions == []


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"items": []},
        {"items": [SONGS[0]] * 1001},
        {"items": SONGS, "defaults": 3},
        {"items": SONGS, "hook_url": "nowhere"},
        {"items": SONGS, "metadata": [1]},
        {"items": SONGS, "hookurl": HOOK},
    ],
)
def test_a_wrong_batch_is_refused(client, body):
    assert post(client, body).status == 400
    assert client.together.transactions == []


def test_a_repeated_key_is_the_same_batch_and_another_body_is_refused(client):
    batch = submitted(client, {"items": SONGS}, Idempotency_Key="k")
    assert batch.batch_uuid == batch_uuid("alice", "k")
    again = post(client, {"items": [dict(reversed(song.items())) for song in SONGS]}, Idempotency_Key="k")
    assert (again.status, again.json()["batch_uuid"]) == (200, str(batch.batch_uuid))
    other = post(client, {"items": SONGS[:2]}, Idempotency_Key="k")
    assert (other.status, other.json()["error_code"]) == (409, "key_reused")
    assert len(client.together.transactions) == 1


def test_the_key_of_a_batch_is_refused_once_all_of_its_results_are_deleted(client):
    batch = submitted(client, {"items": SONGS[:2]}, Idempotency_Key="k")
    for task_uuid in item_uuids(batch.batch_uuid, 0, 2):
        assert post(client, {"items": SONGS[:2]}, Idempotency_Key="k").status == 200
        deleted = Status(task_uuid=task_uuid, submitted_at=1.0, state=State.SUCCEEDED, at=2.0, deleted_at=2.0)
        client.view.tell(deleted)
    again = post(client, {"items": SONGS[:2]}, Idempotency_Key="k")
    assert (again.status, again.json()["error_code"]) == (409, "key_reused")
    assert "deleted" in again.json()["error"]


def uploaded(s3: MemoryS3, sha256: str | None) -> str:
    """A song that is uploaded for alice, with this checksum."""
    song = Upload(
        upload_id=uuid4(), user="alice", file_name="a", bytes=1, sha256=sha256, created_at=1, expires_at=1e12
    )
    uploads = Uploads(Bucket(s3, "in-memory"), "")
    uploads.save(song)
    s3.put_object("in-memory", song.keys("").audio, b"x")
    return f"upload:{song.upload_id}"


def test_files_that_are_uploaded_again_make_the_same_batch_if_their_bytes_are_the_same(three_users):
    s3 = MemoryS3()
    client = ApiClient(uploads=memory_gate(s3, s3_prefix=""), basic_auth_users_file=three_users)

    def body(*sha256s: str | None, **fields) -> dict:
        items = [
            {"audio": "https://example.com/a?token=1"},
            *({"audio": uploaded(s3, one)} for one in sha256s),
        ]
        return {"items": items, **fields}

    one, two = "1" * 64, "2" * 64
    batch = submitted(client, body(one, two), Idempotency_Key="k")
    again = post(client, body(one, two), Idempotency_Key="k")
    assert (again.status, again.json().get("batch_uuid")) == (200, str(batch.batch_uuid))
    others = [body(two, one), body(one, None), body(one), body(one, two, metadata={"a": 1})]
    others.append({"items": [*body(one)["items"], {"audio": "https://example.com/b"}]})
    assert [post(client, other, Idempotency_Key="k").status for other in others] == [409] * 5
    assert len(client.together.transactions) == 1


def test_a_batch_that_kafka_does_not_confirm_promises_nothing(client):
    client.together.away = "away"
    answer = post(client, {"items": SONGS})
    assert (answer.status, "Retry-After".lower() in answer.headers) == (503, True)
    assert client.view.backlog.queued("alice").of_user == 0


def test_a_batch_needs_room_for_all_its_songs(three_users):
    client = ApiClient(basic_auth_users_file=three_users, max_queued_tasks_per_user=4)
    submitted(client, {"items": SONGS[:2]})
    refused = post(client, {"items": SONGS})
    assert (refused.status, refused.json()["error_code"]) == (429, "too_many_queued_by_user")
    assert post(client, {"items": SONGS[:2]}).status == 200


@pytest.mark.parametrize("trouble", ["the ends come late", "the view is behind"])
def test_what_may_be_a_repeat_is_not_refused_for_lack_of_room(three_users, trouble):
    view = StoredView(caught_up=trouble != "the view is behind")
    client = ApiClient(view=view, basic_auth_users_file=three_users, max_queued_tasks=2)
    view.tell(*(of_task(Task(task_uuid=uuid4(), audio="a", submitted_at=1.0, user="bob")) for _ in range(2)))
    view.ends.away = True
    assert post(client, {"items": SONGS}, Idempotency_Key="order-1").status == 200
    assert len(client.together.transactions) == 1
    view.ends.away = False
    if view.is_current:
        assert post(client, {"items": SONGS}, Idempotency_Key="order-2").status == 429


def test_a_choice_that_nobody_has_names_its_item(client, monkeypatch):
    monkeypatch.setattr(client.view.workers, "live", lambda: (WorkerSeen.model_validate(WORKER),))
    answer = post(client, {"items": [*SONGS, SONGS[0] | {"model": "unheard-of"}]})
    problem = answer.json()
    assert (answer.status, problem["error_code"], problem["problems"][0]["index"]) == (
        400,
        "model_unknown",
        3,
    )
    assert client.together.transactions == []


WORKER = {
    "worker_id": "w",
    "at": 1.0,
    "version": "1",
    "device": "cpu",
    "slots": 1,
    "default_model": "m",
    "models": [{"name": "m", "architecture": "MDX", "stems": ["vocals"]}],
}


def test_a_batch_is_seen_by_its_user_and_admins_with_its_states_and_pages(client):
    batch = submitted(client, {"items": SONGS, "hook_url": HOOK})
    end(client, batch, State.SUCCEEDED, State.FAILED)
    path = f"/batches/{batch.batch_uuid}"
    first = client.request("GET", f"{path}?limit=2", ALICE).json()
    assert first["states"] == {"queued": 1, "succeeded": 1, "failed": 1}
    assert (first["count"], first["is_over"], first["hook_host"]) == (3, False, "example.com")
    assert [one["state"] for one in first["items"]] == ["succeeded", "failed"]
    second = client.request("GET", first["next"], ALICE).json()
    assert ([one["index"] for one in second["items"]], second.get("next")) == ([2], None)
    assert client.request("GET", path, ROOT).status == 200
    unknown = client.request("GET", f"/batches/{uuid4()}", BOB)
    assert client.request("GET", path, BOB).body == unknown.body
    assert unknown.status == 404
    assert client.request("GET", path).status == 401


def test_a_cancel_is_for_the_tasks_that_have_not_ended_all_together(client):
    batch = submitted(client, {"items": SONGS})
    end(client, batch, State.SUCCEEDED)
    path = f"/batches/{batch.batch_uuid}/cancel"
    assert client.request("POST", path, BOB).status == 404
    assert client.request("POST", path, ALICE).status == 202
    records = client.together.transactions[-1]
    cancels = [Cancel.model_validate_json(record.value) for record in records]
    assert [one.task_uuid for one in cancels] == list(item_uuids(batch.batch_uuid, 1, 3))
    assert {record.topic for record in records} == {"uvr_control"}
    end(client, batch, State.SUCCEEDED, State.CANCELLED, State.CANCELLED)
    assert client.request("POST", path, ALICE).status == 409


def orders(client: ApiClient) -> list:
    return [found for found in client.together.transactions if found[0].topic == "uvr_results"]


def test_once_all_tasks_have_ended_one_order_goes_out_with_the_batchs_end(client):
    batch = submitted(client, {"items": SONGS, "hook_url": HOOK, "metadata": {"a": 1}})
    now_s = [0.0]
    ends = [
        BatchEnds(
            client.settings, client.view, client.together, lambda: now_s[0], lambda: 99.0, lambda p=p: p
        )
        for p in (0.0, 2.0)
    ]

    def look() -> int:
        for one in ends:
            asyncio.run(one.look())
        return len(orders(client))

    end(client, batch, State.SUCCEEDED, State.CANCELLED)
    assert look() == 0
    end(client, batch, State.SUCCEEDED, State.CANCELLED, State.FAILED)
    assert look() == 1  # the second api still waits
    order, closed = orders(client)[0]
    body = decode_result_record(order.value).callback
    assert body.states == {State.SUCCEEDED: 1, State.FAILED: 1, State.CANCELLED: 1}
    assert [one.state for one in body.tasks] == [State.SUCCEEDED, State.CANCELLED, State.FAILED]
    assert (body.tasks[1].error_code, body.timestamp, body.metadata) == ("cancelled", 49.0, {"a": 1})
    client.view.tell(decode_batch(closed.value))
    now_s[0] = 1000.0
    assert look() == 1
    seen = client.request("GET", f"/batches/{batch.batch_uuid}", ALICE).json()
    assert (seen["is_over"], seen["called_at"]) == (True, 99.0)


def test_an_order_that_kafka_does_not_take_is_given_later_and_the_first_record_undoes_no_end(client):
    batch = submitted(client, {"items": SONGS[:1], "hook_url": HOOK})
    end(client, batch, State.SUCCEEDED)
    now_s = [0.0]
    ends = BatchEnds(client.settings, client.view, client.together, lambda: now_s[0], pause_s=lambda: 0.0)
    client.together.away = "away"
    asyncio.run(ends.look())
    client.together.away, now_s[0] = "", 60.0
    asyncio.run(ends.look())
    (given,) = orders(client)
    client.view.tell(decode_batch(given[1].value))
    client.view.tell(batch)  # compaction leaves any order between partitions of a new view's first reading
    now_s[0] = 1000.0
    asyncio.run(ends.look())
    assert len(orders(client)) == 1


def delivery(batch: TaskBatch, started_at: float, **fields) -> DeliveryAttempt:
    about = {"task_uuid": batch.batch_uuid, "run": 1, "hook_url": HOOK, "try_number": 1, "took_s": 0.5}
    return DeliveryAttempt(**about, started_at=started_at, **fields)


def redeliver(client: ApiClient, batch: TaskBatch, user=ALICE):
    return client.request("POST", f"/batches/{batch.batch_uuid}/redeliver", user)


def called(client: ApiClient) -> TaskBatch:
    """A batch that has ended and whose callback is ordered."""
    batch = submitted(client, {"items": SONGS[:2], "hook_url": HOOK})
    end(client, batch, State.SUCCEEDED, State.FAILED)
    closed = batch.model_copy(update={"ended_at": 60.0})
    client.view.tell(closed)
    return closed


def test_a_batch_tells_what_has_become_of_its_callback(client):
    batch = submitted(client, {"items": SONGS[:1], "hook_url": HOOK})

    def seen() -> dict:
        return client.request("GET", f"/batches/{batch.batch_uuid}", ALICE).json()["callback"]

    assert seen() == {"state": "awaited", "tries": 0}
    client.view.tell(batch.model_copy(update={"ended_at": 60.0}))
    assert seen() == {"state": "delivering", "tries": 0}
    failed = {"status": 500, "error_code": "callback_failed", "error_message": "HTTP status 500"}
    client.view.tell(delivery(batch, 61.0, **failed, next_try_at=90.0))
    assert seen() == {"state": "delivering", "tries": 1, "last_try_at": 61.0, **failed, "next_try_at": 90.0}
    client.view.tell(delivery(batch, 90.0, **failed))
    assert (seen()["state"], seen()["tries"]) == ("given_up", 2)
    client.view.tell(delivery(batch, 99.0, status=204, redelivery_requested_at=98.0))
    again = {"last_try_at": 99.0, "status": 204, "redelivery_requested_at": 98.0}
    assert seen() == {"state": "delivered", "tries": 3, **again}
    nobody = submitted(client, {"items": SONGS[:1]})
    assert "callback" not in client.request("GET", f"/batches/{nobody.batch_uuid}", ALICE).json()


def test_a_batchs_callback_is_sent_again_for_its_user_and_for_admins(client):
    batch = called(client)
    answers = [redeliver(client, batch, user) for user in (ALICE, ROOT, BOB)]
    assert [answer.status for answer in answers] == [202, 202, 404]
    assert answers[0].json() == client.request("GET", f"/batches/{batch.batch_uuid}", ALICE).json()
    asked = client.publisher.batch_redeliveries
    assert [(one.user, one.hook_url, one.is_redelivery) for one in asked] == [
        ("alice", HOOK, True),
        ("root", HOOK, True),
    ]
    assert asked[0].callback.states == {State.SUCCEEDED: 1, State.FAILED: 1}
    assert redeliver(client, batch).status == 202
    refused = redeliver(client, batch, ROOT)
    assert (refused.status, refused.json()["error_code"]) == (429, "too_many_redeliveries")
    assert "of this batch" in refused.json()["error"]


def test_a_batch_whose_callback_is_to_come_or_that_calls_nobody_has_none_to_send_again(client):
    waiting = submitted(client, {"items": SONGS, "hook_url": HOOK})
    nobody = submitted(client, {"items": SONGS[:1]})
    end(client, nobody, State.SUCCEEDED)
    replayed = called(client)
    task = client.view._reader.find(item_uuids(replayed.batch_uuid, 0, 1)[0])
    client.view.tell(task.model_copy(update={"run": 2, "state": State.SEPARATING}))
    for batch, why in ((waiting, "still to come"), (nobody, "no hook_url"), (replayed, "runs again")):
        answer = redeliver(client, batch)
        assert (answer.status, answer.json()["batch_uuid"]) == (409, str(batch.batch_uuid))
        assert why in answer.json()["error"]
    client.publisher.away = "away"
    assert redeliver(client, called(client)).status == 503
    assert client.publisher.batch_redeliveries == []


def test_each_song_of_a_batch_goes_to_the_lane_of_its_priority(client):
    items = [song | {"priority": priority} for song, priority in zip(SONGS, (5, 3, 1), strict=True)]
    assert post(client, {"items": items}).status == 200
    *tasks, _ = client.together.transactions[-1]
    assert [message.topic for message in tasks] == ["uvr_tasks_p5", "uvr_tasks", "uvr_tasks_p1"]


@pytest.mark.parametrize(
    ("rules", "status", "code"),
    [
        ("default.max_priority = 3", 403, "priority_not_allowed"),
        ("default.max_running = 2", 429, "too_many_running"),
    ],
)
def test_a_batch_keeps_to_its_users_limits_as_single_songs_do(tmp_path, rules, status, code):
    limits = tmp_path / "limits.toml"
    limits.write_text(rules)
    client = ApiClient(user_limits_file=limits)
    answer = post(client, {"items": [*SONGS[:2], SONGS[2] | {"priority": 4}]}, basic("admin", "password"))
    assert (answer.status, answer.json()["error_code"]) == (status, code)
    assert client.together.transactions == []


def test_a_batch_tells_what_is_left_of_its_users_limits(tmp_path):
    limits = tmp_path / "limits.toml"
    limits.write_text("default.max_running = 4")
    client, admin = ApiClient(user_limits_file=limits), basic("admin", "password")
    taken, refused, too_large = (post(client, {"items": SONGS * n}, admin) for n in (1, 1, 2))
    assert [one.status for one in (taken, refused, too_large)] == [200, 429, 429]
    assert taken.headers["ratelimit-policy"] == '"running";q=4;qu="concurrent-requests"'
    assert [one.headers["ratelimit"] for one in (taken, refused)] == ['"running";r=1'] * 2
    assert int(refused.headers["retry-after"]) >= 1
    assert "batch of 3 later" in refused.json()["error"]
    assert "in parts of 4" in too_large.json()["error"]

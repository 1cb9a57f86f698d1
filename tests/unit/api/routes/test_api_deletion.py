"""Who may delete which task's results, and what is asked of the uploader then."""

from uuid import UUID

import pytest

from api.view.merge import of_task
from common.tasks.messages import Deletion, PublishedStem, State, Status, SuccessCallback, Task
from tests.support.api.api_client import Answer, ApiClient, MemoryPublisher, basic

ALICE, BOB, ROOT = (basic(name, "password") for name in ("alice", "bob", "root"))
TASK_UUID = UUID(int=1)
PATH = f"/tasks/{TASK_UUID}"
TASK = of_task(
    Task(
        task_uuid=TASK_UUID,
        audio="https://h.example/song.wav",
        hook_url="https://h.example/?t=1",
        submitted_at=1.0,
        user="alice",
        label="a label",
        metadata={"order": 17},
        idempotency_key="order-17",
    )
)
DELETED = Status(
    task_uuid=TASK_UUID,
    user="alice",
    submitted_at=1.0,
    state=State.SUCCEEDED,
    at=20.0,
    times={State.QUEUED: 1.0, State.SUCCEEDED: 9.0},
    deleted_at=20.0,
)


@pytest.fixture
def client(three_users) -> ApiClient:
    return ApiClient(basic_auth_users_file=three_users, admin_usernames="root")


def ended(state: State = State.SUCCEEDED, **fields) -> Status:
    """A status as an uploader publishes it."""
    return TASK.model_copy(update={"state": state, "at": 9.0} | fields)


def delete(client: ApiClient, user=ALICE, path: str = PATH, **headers: str) -> Answer:
    return client.request("DELETE", path, user | headers)


def test_a_deletion_is_asked_for_with_all_that_is_to_stay(client):
    client.view.tell(ended(run=2, times={State.QUEUED: 1.0, State.SUCCEEDED: 9.0}))
    answer = delete(client, ROOT, **{"X-Request-Id": "away-1"})
    assert (answer.status, answer.json()["task_uuid"]) == (202, str(TASK_UUID))
    (asked,) = client.publisher.deletions
    assert asked == Deletion(
        task_uuid=TASK_UUID,
        run=2,
        requested_at=asked.requested_at,
        user="root",
        request_id="away-1",
        audio="https://h.example/song.wav",
        owner="alice",
        submitted_at=1.0,
        state=State.SUCCEEDED,
        times={State.QUEUED: 1.0, State.SUCCEEDED: 9.0},
    )


def test_a_deletion_says_where_the_stems_are(client):
    url = f"https://store.example/old/{TASK_UUID}/1/vocals.wav?X-Amz-Signature=x"
    stems = {"vocals": PublishedStem(url=url, sha256="a", bytes=4, duration_s=1)}
    result = SuccessCallback(task_uuid=TASK_UUID, timestamp=9.0, stems=stems, model="m", device="cpu")
    client.view.tell(ended(result=result))
    assert delete(client).status == 202
    assert client.publisher.deletions[0].stem_url == url


@pytest.mark.parametrize("state", [state for state in State if not state.is_final])
def test_a_task_that_runs_is_to_be_cancelled_first(client, state):
    client.view.tell(ended(state))
    answer = delete(client)
    assert (answer.status, answer.json()["error_code"], answer.json()["state"]) == (
        409,
        "task_running",
        state,
    )
    assert f"{PATH}/{'deliveries' if state == State.DELIVERING else 'cancel'}" in answer.json()["error"]
    assert client.publisher.deletions == []


def test_a_failure_whose_callback_is_still_to_come_cannot_be_deleted_yet(client):
    client.view.tell(ended(State.FAILED, callback_next_try_at=99.0))
    answer = delete(client)
    assert (answer.status, answer.json()["error_code"]) == (409, "task_running")


def test_a_foreign_task_is_as_unknown_as_one_that_is_not_there(client):
    client.view.tell(ended())
    foreign = delete(client, BOB)
    unknown = delete(client, ALICE, f"/tasks/{UUID(int=2)}")
    assert (foreign.status, foreign.body) == (unknown.status, unknown.body)
    assert foreign.status == 404
    assert client.request("DELETE", PATH).status == 401
    assert delete(client, ALICE, "/tasks/x").status == 400
    assert client.publisher.deletions == []


def test_a_repeated_deletion_gets_the_same_answer_and_asks_for_nothing(client):
    client.view.tell(ended())
    first = delete(client)
    client.view.tell(DELETED)
    again = delete(client)
    assert (again.status, again.body) == (first.status, first.body)
    assert len(client.publisher.deletions) == 1


def test_another_method_is_answered_with_those_that_there_are(client):
    answer = client.request("PUT", PATH, ALICE)
    assert (answer.status, answer.headers["allow"]) == (405, "GET, DELETE")


def test_what_kafka_does_not_confirm_was_not_asked_for(three_users):
    client = ApiClient(MemoryPublisher(away="gone"), basic_auth_users_file=three_users)
    client.view.tell(ended())
    answer = delete(client)
    assert (answer.status, answer.headers["retry-after"]) == (503, "10")


@pytest.mark.parametrize("first", ["the deletion", "the task"])
def test_a_deleted_task_is_shown_with_nothing_but_that_it_was(client, first):
    known = [TASK, ended(), DELETED]
    client.view.tell(*(reversed(known) if first == "the deletion" else known))
    shown = client.request("GET", PATH, ALICE).json()
    assert shown == {
        "task_uuid": str(TASK_UUID),
        "state": "succeeded",
        "run": 1,
        "attempt": 0,
        "user": "alice",
        "submitted_at": 1.0,
        "updated_at": 20.0,
        "times": {"queued": 1.0, "succeeded": 9.0},
        "deleted_at": 20.0,
    }
    assert client.request("GET", "/tasks", ALICE).json()["tasks"] == [shown]
    for search in ("label=a", "search=label", "idempotency_key=order-17"):
        assert client.request("GET", f"/tasks?{search}", ALICE).json()["tasks"] == []


def test_the_callback_of_a_deleted_task_is_not_sent_again(client):
    client.view.tell(TASK, DELETED)
    answer = client.request("POST", f"{PATH}/redeliver", ALICE)
    assert (answer.status, answer.json()["error_code"]) == (410, "task_deleted")
    assert client.publisher.redeliveries == []

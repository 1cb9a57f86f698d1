"""Who may have which callback sent again, and what is asked of the uploader then."""

from uuid import UUID

import pytest

from api.view.merge import of_task
from common.tasks.messages import FailureCallback, Redelivery, State, Status, Task
from tests.support.api.api_client import Answer, ApiClient, MemoryPublisher, basic
from tests.support.api.stored_view import StoredView

ALICE, BOB, ROOT = (basic(name, "password") for name in ("alice", "bob", "root"))
TASK_UUID = UUID(int=1)
PATH = f"/tasks/{TASK_UUID}/redeliver"
FAILURE = FailureCallback(task_uuid=TASK_UUID, timestamp=9.25, error_code="http_error", error_message="404")
TASK = of_task(
    Task(task_uuid=TASK_UUID, audio="a", hook_url="https://h.example/?t=1", submitted_at=1.0, user="alice")
)


@pytest.fixture
def client(three_users) -> ApiClient:
    return ApiClient(basic_auth_users_file=three_users, admin_usernames="root")


def ended(state: State = State.SUCCEEDED, **fields) -> Status:
    """A status as an uploader publishes it."""
    return TASK.model_copy(update={"state": state, "at": 9.0, "hook_url": None} | fields)


def redeliver(client: ApiClient, user=ALICE, **headers: str) -> Answer:
    return client.request("POST", PATH, user | headers)


def test_a_callback_is_asked_for_with_all_that_it_takes(client):
    client.view.tell(TASK, ended(State.FAILED, run=2, failure=FAILURE, unstored=True))
    answer = redeliver(client, **{"X-Request-Id": "again-1"})
    assert answer.status == 202
    (asked,) = client.publisher.redeliveries
    assert asked == Redelivery(
        task_uuid=TASK_UUID,
        hook_url="https://h.example/?t=1",
        run=2,
        requested_at=asked.requested_at,
        user="alice",
        request_id="again-1",
        failure=FAILURE,
        unstored=True,
    )
    assert asked.failure.to_bytes() == FAILURE.to_bytes()


@pytest.mark.parametrize("state", [state for state in State if state.is_final])
def test_the_answer_is_the_task_as_it_is(client, state):
    client.view.tell(TASK, ended(state))
    answer = redeliver(client)
    assert (answer.status, answer.json()) == (202, client.request("GET", PATH[:-10], ALICE).json())
    assert answer.json()["state"] == state


@pytest.mark.parametrize("state", [state for state in State if not state.is_final])
def test_a_task_that_is_not_over_is_told_with_its_state(client, state):
    client.view.tell(ended(state, hook_url="h"))
    answer = redeliver(client)
    assert (answer.status, answer.json()["state"]) == (409, state)
    assert answer.headers["content-type"] == "application/problem+json"
    assert client.publisher.redeliveries == []


def test_there_must_be_somebody_to_call(client):
    client.view.tell(ended())
    answer = redeliver(client)
    assert (answer.status, answer.json()["state"]) == (409, "succeeded")
    assert "hook_url" in answer.json()["error"]


def test_it_is_for_the_tasks_user_and_for_admins(client):
    client.view.tell(TASK, ended())
    assert [redeliver(client, user).status for user in (ALICE, ROOT, BOB)] == [202, 202, 404]
    assert client.request("POST", PATH).status == 401
    unknown = client.request("POST", f"/tasks/{UUID(int=2)}/redeliver", ALICE)
    assert (unknown.status, unknown.body) == (404, redeliver(client, BOB).body)
    assert client.request("POST", "/tasks/x/redeliver", ALICE).status == 400
    assert [asked.user for asked in client.publisher.redeliveries] == ["alice", "root"]


def test_what_kafka_does_not_confirm_was_not_asked_for(three_users):
    client = ApiClient(MemoryPublisher(away="gone"), basic_auth_users_file=three_users)
    client.view.tell(TASK, ended())
    answer = redeliver(client)
    assert (answer.status, answer.headers["retry-after"]) == (503, "10")


def test_nothing_is_sent_again_while_too_little_is_known():
    client = ApiClient(view=StoredView(caught_up=False))
    answer = redeliver(client, basic("admin", "password"))
    assert (answer.status, answer.headers["retry-after"]) == (503, "2")
    assert client.publisher.redeliveries == []


def test_one_task_is_sent_again_so_often_in_a_minute_and_no_more(client):
    client.view.tell(TASK, ended())
    assert [redeliver(client, user).status for user in (ALICE, ROOT, ALICE)] == [202] * 3
    for user in (ALICE, ROOT):
        answer = redeliver(client, user)
        assert (answer.status, answer.headers["retry-after"]) == (429, "20")
        assert answer.json()["error_code"] == "too_many_redeliveries"
        assert "20 s" in answer.json()["error"]
    assert len(client.publisher.redeliveries) == 3
    client.now_s += 20
    assert redeliver(client).status == 202


def test_one_user_asks_so_often_in_a_minute_and_no_more_and_others_are_not_held_up(three_users):
    client = ApiClient(basic_auth_users_file=three_users, admin_usernames="root", redeliveries_per_minute=6)
    tasks = [UUID(int=number) for number in range(1, 9)]
    client.view.tell(*(ended(hook_url="https://h.example/", task_uuid=task) for task in tasks))

    def ask(task: UUID, user) -> Answer:
        return client.request("POST", f"/tasks/{task}/redeliver", user)

    assert [ask(task, ALICE).status for task in tasks] == [202] * 6 + [429] * 2
    assert ask(tasks[7], ALICE).headers["retry-after"] == "10"
    assert ask(tasks[7], ROOT).status == 202
    client.now_s += 10
    assert ask(tasks[7], ALICE).status == 202


def test_what_was_refused_or_not_confirmed_does_not_count(three_users):
    client = ApiClient(
        MemoryPublisher(away="gone"), basic_auth_users_file=three_users, redeliveries_per_minute=1
    )
    client.view.tell(ended(State.DELIVERING, hook_url="h", user="alice"))
    assert [redeliver(client).status for _ in range(5)] == [409] * 5
    client.view.tell(TASK, ended())
    assert [redeliver(client).status for _ in range(5)] == [503] * 5
    client.publisher.away = ""
    assert [redeliver(client).status for _ in range(2)] == [202, 429]

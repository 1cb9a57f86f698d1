"""Who may cancel which task, when it is too late, and what is stored."""

from uuid import UUID

import pytest

from api.view.merge import of_task
from common.tasks.messages import State, Status, Task
from tests.support.api.api_client import SONG, Answer, ApiClient, MemoryPublisher, basic

ALICE, BOB, ROOT = (basic(name, "password") for name in ("alice", "bob", "root"))
DAY_S = 24 * 3600
UUID_1 = UUID(int=1)


@pytest.fixture
def client(three_users) -> ApiClient:
    client = ApiClient(basic_auth_users_file=three_users, admin_usernames="root")
    client.view.tell(task())
    return client


def task(run: int = 1, **fields) -> Status:
    first = Task(task_uuid=UUID_1, audio="a", hook_url="h", submitted_at=1.0, user="alice", run=run)
    return of_task(first).model_copy(update=fields)


def cancel(client: ApiClient, user=ALICE, task_uuid: object = UUID_1, **headers: str) -> Answer:
    return client.request("POST", f"/tasks/{task_uuid}/cancel", user | headers)


def test_a_cancel_is_stored_and_answered_with_the_task_as_it_is(client):
    answer = cancel(client, **{"X-Request-Id": "abc"})
    assert answer.status == 202
    seen = client.request("GET", f"/tasks/{UUID_1}", ALICE).json()
    assert answer.json() == {name: value for name, value in seen.items() if name != "queue_place"}
    (stored,) = client.publisher.cancels
    assert (stored.task_uuid, stored.run, stored.user, stored.request_id) == (UUID_1, 1, "alice", "abc")


def test_a_task_is_cancelled_by_its_user_and_by_admins_alone(client):
    assert [cancel(client, user).status for user in (ALICE, ROOT, BOB)] == [202, 202, 404]
    assert [stored.user for stored in client.publisher.cancels] == ["alice", "root"]
    assert client.request("POST", f"/tasks/{UUID_1}/cancel").status == 401
    assert cancel(client, task_uuid=UUID(int=2)).body == cancel(client, BOB).body
    assert cancel(client, task_uuid="x").status == 400
    assert client.request("GET", f"/tasks/{UUID_1}/cancel", ALICE).status == 405


@pytest.mark.parametrize("state", [state for state in State if state.is_final])
def test_what_is_over_is_not_cancelled(client, state):
    client.view.tell(task(state=state))
    answer = cancel(client)
    assert (answer.status, answer.json()["state"], client.publisher.cancels) == (409, state, [])


def test_of_a_replayed_task_the_run_that_goes_on_is_cancelled(client):
    client.view.tell(task(state=State.FAILED), task(run=2))
    assert cancel(client).status == 202
    assert [stored.run for stored in client.publisher.cancels] == [2]


def test_nobody_is_told_that_a_task_is_cancelled_before_that_is_stored(three_users):
    client = ApiClient(MemoryPublisher(away="gone"), basic_auth_users_file=three_users)
    client.view.tell(task())
    answer = cancel(client)
    assert (answer.status, answer.headers["retry-after"]) == (503, "10")


@pytest.mark.parametrize("seconds", [0.001, 60, 30 * DAY_S])
def test_a_deadline_counts_from_the_submission(seconds):
    client = ApiClient()
    assert client.generate(SONG | {"cancel_after_s": seconds}).status == 200
    (stored,) = client.publisher.tasks
    assert stored.cancel_at - stored.submitted_at == pytest.approx(seconds, abs=1e-3)


def test_there_need_not_be_a_deadline():
    client = ApiClient()
    for body in (SONG, SONG | {"cancel_after_s": None}):
        assert client.generate(body).status == 200
    assert [stored.cancel_at for stored in client.publisher.tasks] == [None, None]


@pytest.mark.parametrize("value", ["0", "-1", f"{30 * DAY_S + 1}", "1e999", "NaN", '"60"', "true", "[]"])
def test_a_deadline_that_is_none_is_refused(value):
    client = ApiClient()
    body = '{"audio": "https://example.com/a", "hook_url": "https://example.com/h", "cancel_after_s": %s}'
    answer = client.generate((body % value).encode())
    assert answer.status == 400
    assert client.publisher.tasks == []
    if value != "NaN":  # which is no JSON
        assert answer.json()["error"].startswith("cancel_after_s")

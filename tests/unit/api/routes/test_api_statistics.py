"""What administrators see of all tasks together, and that nobody else sees it."""

import time
from uuid import UUID

import pytest

from common.tasks.messages import State, Status
from tests.support.api.announcements import worker
from tests.support.api.api_client import ApiClient, basic

ALICE, ROOT = (basic(name, "password") for name in ("alice", "root"))
PATHS = ("/queue", "/failures", "/users")


@pytest.fixture
def client(three_users) -> ApiClient:
    return ApiClient(basic_auth_users_file=three_users, admin_usernames="root")


def ask(client: ApiClient, path: str) -> dict:
    answer = client.request("GET", path, ROOT)
    assert answer.status == 200, answer
    return answer.json()


def status(number: int, state: State, age_s: float = 0.0, **fields) -> Status:
    """A status of `age_s` ago."""
    at = time.time() - age_s
    given = {"task_uuid": UUID(int=number), "user": "alice", "submitted_at": at, "at": at, "state": state}
    return Status(**given | {"times": {state: at}} | fields)


@pytest.mark.parametrize("path", PATHS)
def test_they_are_for_administrators_alone(client, path):
    answer = client.request("GET", path, ALICE)
    assert (answer.status, answer.json()["error_code"]) == (403, "not_an_admin")
    assert client.request("GET", path).status == 401
    nobody = ApiClient().request("GET", path, basic("admin", "password"))
    assert nobody.status == 403  # without ADMIN_USERNAMES there is no administrator


@pytest.mark.parametrize(
    "path", ["/queue?hours=169", "/queue?hours=0", "/failures?hours=1e9", "/users?limit=1001"]
)
def test_what_is_asked_for_is_bounded(client, path):
    assert client.request("GET", path, ROOT).status == 400


def test_the_queue_tells_what_waits_and_runs_and_how_runs_ended(client):
    client.view.tell(
        status(1, State.QUEUED, 90),
        status(2, State.QUEUED, 30),
        status(3, State.QUEUED, next_try_at=time.time() + 60, error_code="http_error"),
        status(4, State.SEPARATING),
        status(5, State.SUCCEEDED, 60),
        status(6, State.FAILED, 60, error_code="not_audio"),
        status(7, State.SUCCEEDED, 3 * 3600),
        status(8, State.SUCCEEDED, 30 * 3600),
    )
    told = ask(client, "/queue")
    assert (told["waiting"], told["retrying"], told["last_hour"]) == (
        2, 1, {"succeeded": 1, "failed": 1, "cancelled": 0},
    )  # fmt: skip
    assert told["oldest_waiting_at"] == pytest.approx(told["at"] - 90, abs=20)
    assert told["states"] | {"queued": 3, "separating": 1} == told["states"]
    (lane,) = told["lanes"]
    assert (lane["priority"], lane["waiting"], lane["running"]) == (3, 2, 1)
    assert len(told["hours"]) == 24
    assert sum(hour["finished"]["succeeded"] for hour in told["hours"]) == 2


def test_a_failure_stays_one_after_its_task_was_replayed_or_deleted(client):
    failed = status(1, State.FAILED, 60, error_code="not_audio")
    client.view.tell(failed)
    deleted = {"deleted_at": time.time(), "at": time.time(), "error_code": None}
    client.view.tell(failed.model_copy(update=deleted))
    client.view.tell(status(1, State.SUCCEEDED, run=2))
    client.view.tell(
        status(2, State.FAILED, 50, error_code="not_audio"),
        status(3, State.FAILED, 40, error_code="too_long"),
        status(4, State.CANCELLED, error_code="cancelled"),
        status(5, State.SUCCEEDED, error_code="callback_failed"),
    )
    told = ask(client, "/failures")
    counts = {kind["error_code"]: kind["count"] for kind in told["codes"]}
    assert counts == {"not_audio": 2, "too_long": 1, "callback_failed": 1}
    assert told["codes"][0]["last_task_uuid"] == str(UUID(int=2))
    by_hour = [hour["codes"].get("not_audio", 0) for hour in told["hours"]]
    assert (len(by_hour), sum(by_hour)) == (24, 2)


def test_users_with_the_most_to_do_come_first(client):
    client.view.tell(
        status(1, State.QUEUED, user="bob"),
        status(2, State.SEPARATING, user="bob"),
        status(3, State.UPLOADING),
        status(4, State.FAILED, 60),
        status(5, State.FAILED, 25 * 3600),
    )
    told = ask(client, "/users")
    assert [(one["user"], one["queued"], one["running"]) for one in told["users"]] == [
        ("bob", 1, 1),
        ("alice", 0, 1),
    ]
    assert told["users"][1]["finished"]["failed"] == 1
    assert ask(client, "/users?limit=1")["left_out"] == 1


def test_only_administrators_see_what_a_processor_works_on(client):
    work = status(1, State.SEPARATING, worker_id="one", label="a song", progress=0.5)
    client.view.tell(work, status(2, State.DOWNLOADING), worker("one"), worker("two"))
    one, two = ask(client, "/workers")["workers"]
    assert [(task["name"], task["progress"]) for task in one["tasks"]] == [("a song", 0.5)]
    assert two["tasks"] == []
    anybody = ApiClient(view=client.view).request("GET", "/workers", basic("admin", "password"))
    assert "tasks" not in anybody.json()["workers"][0]

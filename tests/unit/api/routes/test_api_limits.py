"""The operator's rules: ceilings and limits of users, what is left of them, and what was used."""

import time
from uuid import UUID

import pytest

from api.view.merge import of_task
from common.tasks.messages import Deletion, PublishedStem, State, Status, SuccessCallback
from tests.support.api.api_client import SONG, ApiClient, basic
from tests.support.api.users import write_users

ADMIN = basic("admin", "password")
DAY_S = 86_400


@pytest.fixture
def rules(tmp_path):
    """Writes the file of rules and returns its path."""

    def write(text: str):
        path = tmp_path / "limits.toml"
        path.write_text(text)
        return path

    return write


def separated(number: int, audio_s: float = 60.0, **fields) -> Status:
    task_uuid, now_s = UUID(int=number), time.time()
    stem = PublishedStem(url="u", sha256="ab" * 32, bytes=500, duration_s=audio_s)
    result = SuccessCallback(
        task_uuid=task_uuid, timestamp=1.0, stems={"vocals": stem}, model="m", device="cpu"
    )
    given = {"user": "admin", "submitted_at": now_s, "at": now_s, "state": State.SUCCEEDED, "result": result}
    return Status(task_uuid=task_uuid, **{**given, "audio_s": audio_s, "engine_s": 5.0, **fields})


def days_of(client: ApiClient, query: str = "") -> list[dict]:
    answer = client.request("GET", f"/usage{query}", ADMIN)
    assert answer.status == 200
    return [day for user in answer.json()["users"] for day in user["days"]]


def test_a_priority_above_the_ceiling_is_refused_with_the_ceiling(rules):
    client = ApiClient(user_limits_file=rules("[default]\nmax_priority = 3\n[users.admin]\nmax_priority = 4"))
    assert client.generate({**SONG, "priority": 4}).status == 200
    refused = client.generate({**SONG, "priority": 5})
    assert (refused.status, refused.json()["error_code"]) == (403, "priority_not_allowed")
    assert "4" in refused.json()["detail"]


def test_a_changed_file_counts_from_the_next_request_on_and_a_broken_one_does_not(rules, caplog):
    client = ApiClient(user_limits_file=rules("default.max_priority = 3"))
    urgent = {**SONG, "priority": 4}
    assert client.generate(urgent).status == 403
    rules("default.max_priority = 4")
    assert client.generate(urgent).status == 200
    rules("default.max_priority = 9")
    assert client.generate(urgent).status == 200
    assert client.generate({**SONG, "priority": 5}).status == 403
    assert caplog.text.count("default.max_priority") == 1


@pytest.mark.parametrize(
    "text",
    [
        "[",
        "[defaults]",
        "default.max_priority = 0",
        "default.max_running = -1",
        "default.max_running = 'many'",
        "default.scopes = ['all']",
        "users.alice.max_audio = 1",
        "[users.'a:b']",
    ],
)
def test_an_api_does_not_start_with_a_broken_file(rules, text):
    with pytest.raises(ValueError, match="USER_LIMITS_FILE"):
        ApiClient(user_limits_file=rules(text))


def test_an_api_does_not_start_without_the_file_that_it_is_told_of(tmp_path):
    with pytest.raises(ValueError, match="USER_LIMITS_FILE"):
        ApiClient(user_limits_file=tmp_path / "none.toml")


def test_as_many_tasks_as_allowed_are_queued_or_worked_on_at_once(rules):
    client = ApiClient(user_limits_file=rules("default.max_running = 2"))
    answers = [client.generate() for _ in range(3)]
    assert [answer.status for answer in answers] == [200, 200, 429]
    assert [answer.headers["ratelimit"] for answer in answers] == [
        '"running";r=1',
        '"running";r=0',
        '"running";r=0',
    ]
    assert answers[2].headers["ratelimit-policy"] == '"running";q=2;qu="concurrent-requests"'
    assert answers[2].json()["error_code"] == "too_many_running"
    assert int(answers[2].headers["retry-after"]) >= 1
    first, second = (of_task(task) for task in client.publisher.tasks)
    client.view.tell(first.model_copy(update={"state": State.SEPARATING, "attempt": 1}), second)
    assert client.generate().status == 429
    client.view.tell(first.model_copy(update={"state": State.DELIVERING, "attempt": 1}))
    assert client.generate().status == 200


def test_a_repeated_request_is_never_refused_for_lack_of_room(rules):
    client = ApiClient(user_limits_file=rules("default.max_running = 1"))
    key = {"Idempotency-Key": "one"}
    assert client.generate(headers=key).status == 200
    client.view.tell(of_task(client.publisher.tasks[0]))
    assert client.generate(headers=key).status == 200
    assert client.generate().status == 429


def test_the_audio_of_a_day_is_limited_until_midnight_even_if_its_stems_are_deleted(rules):
    client = ApiClient(user_limits_file=rules("default.max_audio_s_per_day = 100"))
    client.view.tell(separated(1), separated(2, submitted_at=time.time() - 2 * DAY_S))
    accepted = client.generate()
    assert accepted.status == 200
    assert accepted.headers["ratelimit"].startswith('"audio";r=40;t=')
    client.view.tell(separated(3), separated(1, result=None, deleted_at=time.time()))
    refused = client.generate()
    assert (refused.status, refused.json()["error_code"]) == (429, "audio_limit_reached")
    assert 0 < int(refused.headers["retry-after"]) <= DAY_S
    assert f";t={refused.headers['retry-after']}" in refused.headers["ratelimit"]


def test_one_users_limits_are_no_others(rules, tmp_path):
    users = write_users(tmp_path / "users", alice="password", bob="password")
    file = rules("[default]\nmax_running = 0\n[users.bob]\nmax_running = 'unlimited'")
    client = ApiClient(user_limits_file=file, basic_auth_users_file=users)
    answers = {name: client.generate(headers=basic(name, "password")) for name in ("alice", "bob")}
    assert {name: answer.status for name, answer in answers.items()} == {"alice": 429, "bob": 200}
    assert "ratelimit" not in answers["bob"].headers


def test_a_users_scopes_bound_the_password_too(rules):
    file = rules("default.scopes = ['read']")
    client = ApiClient(user_limits_file=file, admin_usernames=("admin",))
    refused = client.generate()
    assert (refused.status, refused.json()["error_code"]) == (403, "scope_missing")
    assert client.request("GET", "/usage?all=true", ADMIN).status == 403


def test_usage_adds_up_by_day_and_model():
    client = ApiClient()
    client.view.tell(separated(1), separated(2, audio_s=30.0), separated(3, user="alice"))
    today = time.strftime("%Y-%m-%d", time.gmtime())
    counted = {"tasks": 2, "audio_s": 90.0, "engine_s": 10.0, "bytes": 1000}
    assert days_of(client) == [{"day": today, "model": "m", **counted}]
    assert days_of(client, "?from=2020-01-01&to=2020-12-31") == []


def test_what_is_accounted_outlasts_the_stems_and_a_failure_costs_nothing():
    client = ApiClient()
    late = separated(2, result=None, state=State.UPLOADING)
    client.view.tell(separated(1), late)
    assert sum(day["tasks"] for day in days_of(client)) == 2
    gone = Status(
        task_uuid=UUID(int=1), submitted_at=time.time(), at=time.time(), state=State.SUCCEEDED, deleted_at=1.0
    )
    client.view.tell(gone, separated(2, result=None, audio_s=60.0, state=State.FAILED))
    (day,) = days_of(client)
    assert (day["tasks"], day["audio_s"], day["engine_s"], day["bytes"]) == (1, 60.0, 5.0, 0)


def test_a_deletion_hands_on_what_is_accounted():
    client = ApiClient()
    client.view.tell(separated(1))
    assert client.request("DELETE", f"/tasks/{UUID(int=1)}", ADMIN).status == 202
    (deletion,) = client.publisher.deletions
    assert isinstance(deletion, Deletion)
    assert (deletion.audio_s, deletion.engine_s, deletion.model) == (60.0, 5.0, "m")


@pytest.mark.parametrize(
    "query",
    [
        "?from=2025-01-01&to=2026-01-02",
        "?from=2026-01-02&to=2026-01-01",
        "?from=yesterday",
        "?to=0001-01-01&from=9999-12-31",
    ],
)
def test_an_impossible_time_of_usage_is_a_bad_request(query):
    assert ApiClient().request("GET", f"/usage{query}", ADMIN).status == 400


@pytest.mark.parametrize("query", ["?to=0001-01-02", "?from=9999-12-31&to=9999-12-31", "?from=9999-12-31"])
def test_the_first_and_the_last_day_that_there_are_make_no_error(query):
    assert days_of(ApiClient(), query) == []

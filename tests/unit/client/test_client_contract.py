"""Tests the requests of UvrClient, and how it reads answers, against a server that follows the contract."""

import pytest

from tests.support.client.fake_api import FakeApi, answer, problem, task
from tests.support.client.impatient import impatient
from tests.support.http_server import redirect, reset, serve
from uvr_client import Conflict, NotFound, ServerError, State, TooManyRequests, Unreachable, UvrClient

pytestmark = pytest.mark.network

SONG = "https://example.com/song.mp3"


@pytest.fixture
def api():
    with FakeApi() as api:
        yield api


@pytest.fixture
def client(api):
    with UvrClient(api.url, "admin", "password", patience=impatient()) as client:
        yield client


def test_a_submission_has_what_was_given_and_no_more(api, client):
    api.takes_submissions(task())
    client.submit(SONG)
    client.submit(SONG, "https://example.com/hook", "order-17", 90.5)
    bare, whole = api.requests("/generate")
    assert bare.json() == {"audio": SONG}
    assert whole.json() == {"audio": SONG, "hook_url": "https://example.com/hook", "cancel_after_s": 90.5}
    assert whole.headers["idempotency-key"] == "order-17"


def test_a_key_is_sent_as_a_bearer_token_and_no_error_shows_it(api):
    api.takes_submissions(task())
    key = "uvr_0123456789ab_" + "0f" * 24
    with UvrClient(api.url, key=key, patience=impatient()) as client:
        client.submit(SONG)
    (request,) = api.requests("/generate")
    assert request.headers["authorization"] == f"Bearer {key}"
    for wrong in ({"key": f"{key}\n"}, {"key": "secret"}, {"key": key, "password": "secret"}):
        with pytest.raises(ValueError, match="expected a key") as caught:
            UvrClient(api.url, **wrong)
        assert "secret" not in str(caught.value)
        assert key not in str(caught.value)


@pytest.mark.parametrize("lost", [reset(), serve(b"", 502), serve(b"", 503), serve(b"{", declared_bytes=99)])
def test_a_submission_whose_answer_was_lost_is_repeated_with_its_key(api, client, lost):
    status = task()
    api.takes_submissions(status)
    api.first("/generate", lost)
    assert str(client.submit(SONG).task_uuid) == status["task_uuid"]
    first, second = api.requests("/generate")
    assert first.headers["idempotency-key"] == second.headers["idempotency-key"]
    assert first.body == second.body


def test_a_key_that_another_submission_has_had_is_a_conflict(api, client):
    api.on("/generate", problem(409, "Another submission has had this key", error_code="key_reused"))
    with pytest.raises(Conflict, match="Another submission") as caught:
        client.submit(SONG, idempotency_key="order-17")
    assert (caught.value.error_code, caught.value.state) == ("key_reused", None)


def test_a_full_queue_is_told_and_not_pressed(api, client):
    api.on("/generate", problem(429, "Too many tasks are queued", [("Retry-After", "42")]))
    with pytest.raises(TooManyRequests, match="Too many tasks") as caught:
        client.submit(SONG)
    assert caught.value.retry_after_s == 42
    assert len(api.requests("/generate")) == 1


def test_a_list_can_be_of_one_key(api, client):
    status = task()
    api.on("/tasks", answer(200, {"tasks": [status]}))
    (found,) = client.list(idempotency_key="order 17&x=1", limit=5)
    assert str(found.task_uuid) == status["task_uuid"]
    assert api.requests("/tasks")[0].target == "/tasks?idempotency_key=order+17%26x%3D1&limit=5"


def test_credentials_do_not_follow_a_next_link_that_leads_elsewhere(api, client):
    with FakeApi() as other:
        for leads in (f"{other.url}/tasks?x", f"//127.0.0.1:{other.port}/tasks?x", "/elsewhere"):
            api.on("/tasks", answer(200, {"tasks": [task()], "next": leads}))
            with pytest.raises(ServerError, match="next"):
                [*client.list()]
        assert other.requests() == []


def test_a_task_that_is_not_over_is_cancelled(api, client):
    task_uuid = api.add(task("separating"))
    assert client.cancel(task_uuid).state == State.SEPARATING
    (asked,) = api.requests(f"/tasks/{task_uuid}/cancel")
    assert asked.method == "POST"


def test_a_cancel_whose_answer_was_lost_is_repeated(api, client):
    task_uuid = api.add(task("cancelled"))
    api.first(f"/tasks/{task_uuid}/cancel", reset())
    assert client.cancel(task_uuid).state == State.CANCELLED


def test_what_is_over_is_not_cancelled(api, client):
    with pytest.raises(Conflict, match="over") as caught:
        client.cancel(api.add(task("succeeded")))
    assert caught.value.state == State.SUCCEEDED


def test_the_callback_of_a_task_that_is_over_is_sent_again(api, client):
    task_uuid = api.add(task("succeeded"))
    assert client.redeliver(task_uuid).succeeded
    with pytest.raises(Conflict) as caught:
        client.redeliver(api.add(task("queued")))
    assert caught.value.state == State.QUEUED


def test_sending_a_callback_again_is_not_repeated_where_it_may_have_been_heard(api, client):
    task_uuid = api.add(task("succeeded"))
    api.on(f"/tasks/{task_uuid}/redeliver", reset())
    with pytest.raises(Unreachable):
        client.redeliver(task_uuid)
    assert len(api.requests(f"/tasks/{task_uuid}/redeliver")) == 1


def test_what_cannot_have_arrived_is_repeated_always():
    with FakeApi() as gone:
        pass
    pauses_s = []
    with (
        UvrClient(gone.url, "admin", "password", patience=impatient(pauses_s)) as client,
        pytest.raises(Unreachable, match=gone.url),
    ):
        client.redeliver(task()["task_uuid"])
    assert pauses_s == [0.5, 1, 2]


def test_another_users_task_is_not_there(api, client):
    task_uuid = task()["task_uuid"]
    for what, call in (("/cancel", client.cancel), ("/redeliver", client.redeliver)):
        api.on(f"/tasks/{task_uuid}{what}", problem(404, "There is no such task"))
        with pytest.raises(NotFound, match="There is no such task"):
            call(task_uuid)


@pytest.mark.parametrize(
    "script",
    [
        serve(b"<html>", 200, "text/html"),
        serve(b"<html>", 500, "text/html"),
        serve(b'{"state": 1}', 200, "application/json"),
        serve(b"[]", 500, "application/json"),
        redirect("https://example.com/"),
    ],
)
def test_what_is_no_answer_of_the_api_is_told(api, client, script):
    task_uuid = task()["task_uuid"]
    api.on(f"/tasks/{task_uuid}", script)
    with pytest.raises(ServerError):
        client.status(task_uuid)


def test_a_newer_api_may_say_more(api, client):
    task_uuid = api.add(task("mastering", loudness_lufs=-14))
    found = client.status(task_uuid)
    assert (found.state, found.is_over) == ("mastering", False)
    assert found.model_dump()["loudness_lufs"] == -14


def test_choices_are_sent_as_the_api_takes_them_and_those_left_out_are_not(api, client):
    api.takes_submissions(task())
    client.submit(SONG, preset="best", stems=("vocals",), model=None, label="ä", metadata={"a": None})
    client.submit(
        SONG, models=["A", "B"], weights=(1, 2), format="mp3", bitrate_kbps=192, tags="keep", start_s=0
    )
    one, other = api.requests("/generate")
    named = {"label": "ä", "metadata": {"a": None}}
    assert one.json() == {"audio": SONG, "preset": "best", "stems": ["vocals"]} | named
    assert other.json() == {
        "audio": SONG,
        "models": ["A", "B"],
        "weights": [1, 2],
        "start_s": 0,
        "output": {"format": "mp3", "bitrate_kbps": 192, "tags": "keep"},
    }
    with pytest.raises(TypeError, match="no choice named 'stem'"):
        client.submit(SONG, stem="vocals")


def test_a_list_can_be_of_one_beginning_of_labels(api, client):
    api.on("/tasks", answer(200, {"tasks": [task(label="100% mine")]}))
    (found,) = client.list(label="100% &")
    assert found.label == "100% mine"
    assert api.requests("/tasks")[0].target == "/tasks?label=100%25+%26&limit=200"

"""Tests each call of UvrClient, and each error, against the real api's code on a real port."""

from uuid import UUID

import pytest

from common.tasks.messages import DeliveryAttempt, Status
from common.tasks.messages import State as ApiState
from tests.support.api.api_client import SONG
from tests.support.api.api_server import api_server
from tests.support.client.impatient import impatient
from uvr_client import BadRequest, NotFound, State, Unauthorized, Unavailable, UvrClient, transport

pytestmark = pytest.mark.network


@pytest.fixture(scope="module")
def api():
    with api_server() as server:
        yield server


@pytest.fixture
def client(api):
    with UvrClient(api.url, "admin", "password", patience=impatient()) as client:
        yield client


def status(task_uuid: UUID, state: ApiState, at: float = 2e9, **fields) -> Status:
    return Status(task_uuid=task_uuid, user="admin", submitted_at=1e9, state=state, at=at, **fields)


def submit(client: UvrClient) -> UUID:
    return client.submit(**SONG).task_uuid


def test_what_was_submitted_is_queued_and_found(api, client):
    submission = client.submit(**SONG)
    assert (submission.status, submission.message) == ("queued", "Task has been queued for processing")
    task = api.publisher.tasks[-1]
    assert (task.task_uuid, task.audio, task.hook_url) == (submission.task_uuid, *SONG.values())
    found = client.status(submission.task_uuid)
    assert (found.task_uuid, found.state, found.user) == (submission.task_uuid, State.QUEUED, "admin")
    assert found.queue_place >= 1
    assert not found.is_over


def test_the_same_key_is_the_same_task_and_no_key_is_a_new_one_each_time(client):
    first, again = (client.submit(**SONG, idempotency_key="order-17") for _ in range(2))
    assert first.task_uuid == again.task_uuid
    assert first.idempotency_key == "order-17"
    others = [client.submit(**SONG) for _ in range(2)]
    assert len({s.task_uuid for s in (first, *others)}) == 3
    repeated = client.submit(**SONG, idempotency_key=others[0].idempotency_key)
    assert repeated.task_uuid == others[0].task_uuid


def test_a_list_goes_through_all_pages_and_no_further_than_asked(api, client):
    wanted = [UUID(int=n) for n in range(450)]
    api.view.tell(
        *(status(u, ApiState.FAILED).model_copy(update={"submitted_at": 5e9 + u.int}) for u in wanted)
    )
    found = [task.task_uuid for task in client.list("failed", submitted_since=5e9)]
    assert found == wanted[::-1]
    assert [task.task_uuid.int for task in client.list("failed", limit=3)] == [449, 448, 447]
    assert len([*client.list("failed", submitted_since=5e9, limit=201)]) == 201
    between = client.list(submitted_since=5e9 + 10, submitted_before=5e9 + 12)
    assert [task.task_uuid.int for task in between] == [11, 10]


def test_events_tell_each_change_until_the_end(api, client):
    task_uuid = submit(client)
    events = client.events(task_uuid)
    assert next(events).task.state == State.QUEUED
    api.view.tell(status(task_uuid, ApiState.SEPARATING, progress=0.5, attempt=1))
    event = next(events)
    assert (event.task.state, event.task.progress) == (State.SEPARATING, 0.5)
    api.view.tell(status(task_uuid, ApiState.FAILED, error_code="not_audio", error_message="no audio"))
    (last,) = events
    assert last.task.is_over
    assert not last.task.succeeded
    assert last.task.error_code == "not_audio"
    assert [*client.events(task_uuid, last.id)] == []
    assert [e.id for e in client.events(task_uuid, event.id)] == [last.id]


def test_to_wait_gives_how_it_ended(api, client):
    task_uuid = submit(client)
    heard = []

    def on_change(task):
        heard.append(task.state)
        if not task.is_over:
            api.view.tell(status(task_uuid, ApiState.FAILED, error_code="http_error"))

    assert client.wait(task_uuid, on_change=on_change).error_code == "http_error"
    assert heard == [State.QUEUED, State.FAILED]


def test_deliveries_are_told_in_their_order(api, client):
    task_uuid = submit(client)
    assert client.deliveries(task_uuid) == []
    tries = [
        DeliveryAttempt(
            task_uuid=task_uuid, run=1, hook_url="h", try_number=n, started_at=float(n), took_s=0.5, **fields
        )
        for n, fields in ((1, {"error_code": "callback_failed", "next_try_at": 9.0}), (2, {"status": 204}))
    ]
    api.view.tell(*tries)
    first, second = client.deliveries(task_uuid)
    assert (first.try_number, first.error_code, first.next_try_at) == (1, "callback_failed", 9.0)
    assert (second.try_number, second.status, second.took_s) == (2, 204, 0.5)


def test_an_unknown_task_is_not_found(client):
    for call in (client.status, client.deliveries, lambda t: next(client.events(t)), client.wait):
        with pytest.raises(NotFound):
            call(UUID(int=1 << 100))
    with pytest.raises(NotFound, match="not a UUID"):
        client.status("../../health")


def test_wrong_credentials_are_told(api):
    with (
        UvrClient(api.url, "admin", "wrong", patience=impatient()) as client,
        pytest.raises(Unauthorized, match="Wrong user name or password"),
    ):
        client.status(UUID(int=1))


def test_what_is_wrong_in_a_request_is_told_with_its_code(client):
    with pytest.raises(BadRequest, match=r"^audio: ") as caught:
        client.submit("ftp://example.com/song.mp3", SONG["hook_url"])
    assert (caught.value.status, caught.value.error_code) == (400, "address_invalid")
    with pytest.raises(BadRequest, match=r"^cursor: "):
        [*client._pages("/tasks?cursor=x")]


@pytest.mark.parametrize("key", ["", "two words", "schlüssel", "a\nb", "k" * 256])
def test_a_key_that_can_be_none_is_told(api, client, key):
    queued = len(api.publisher.tasks)
    with pytest.raises(BadRequest, match="Idempotency-Key"):
        client.submit(**SONG, idempotency_key=key)
    assert len(api.publisher.tasks) == queued


def test_an_address_that_is_no_text_is_the_apis_to_refuse(client):
    with pytest.raises(BadRequest):
        client.submit("http://example.com/\udcff", SONG["hook_url"])


def test_while_kafka_is_away_it_is_tried_again_and_then_told(api):
    pauses_s = []
    patience = impatient(pauses_s)
    api.publisher.away = "Kafka is away"
    try:
        with (
            UvrClient(api.url, "admin", "password", patience=patience) as client,
            pytest.raises(Unavailable) as caught,
        ):
            client.submit(**SONG)
    finally:
        api.publisher.away = ""
    assert caught.value.retry_after_s == 10
    assert pauses_s == [10] * (patience.tries - 1)


@pytest.mark.parametrize(
    "address",
    ["", "127.0.0.1:8000", "ftp://example.com", "http://", "http://a:b@example.com", "http://example.com/?x",
     "http://example.com:x", "http://example.com\n"],
)  # fmt: skip
def test_what_is_no_address_of_an_api_is_refused_at_once(address):
    with pytest.raises(ValueError, match="expected the api's address"):
        UvrClient(address, "admin", "password")


def test_a_user_name_with_a_colon_is_refused_at_once():
    with pytest.raises(ValueError, match="colon"):
        UvrClient("http://127.0.0.1:8000", "a:b", "password")


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("ALL_PROXY", "socks5://127.0.0.1:1", "proxy"),
        ("HTTPS_PROXY", "http://a..b:1", "proxy"),
        ("HTTP_PROXY", "192.168.1.300:1", "proxy"),
        ("SSL_CERT_FILE", "/none.pem", "SSL_CERT_FILE"),
    ],
)
def test_an_environment_that_cannot_be_used_is_told(monkeypatch, name, value, why):
    transport._tls.cache_clear()
    monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match=why):
        UvrClient("https://example.com", "admin", "password")


def test_what_is_on_this_machine_is_not_asked_for_through_a_proxy(api, monkeypatch):
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    with UvrClient(api.url, "admin", "password", patience=impatient()) as client:
        assert client.submit(**SONG).status == "queued"

"""Who may ask for which task, what the answers say, and what is said when too little is known."""

import asyncio
import json
from urllib.parse import quote
from uuid import UUID

import pytest

from api.routes.models import event_id
from api.view.merge import of_task
from common.tasks.messages import DeliveryAttempt, PublishedStem, State, Status, SuccessCallback, Task
from tests.support.api.api_client import Answer, ApiClient, basic
from tests.support.api.stored_view import StoredView

ALICE, BOB, ROOT = (basic(name, "password") for name in ("alice", "bob", "root"))


@pytest.fixture
def client(three_users) -> ApiClient:
    return ApiClient(basic_auth_users_file=three_users, admin_usernames="root")


def task(number: int, user: str = "alice", submitted_at: float | None = None) -> Status:
    at = float(number) if submitted_at is None else submitted_at
    return of_task(Task(task_uuid=UUID(int=number), audio="a", hook_url="h", submitted_at=at, user=user))


def ask(client: ApiClient, path: str, user=ALICE, **headers: str) -> Answer:
    return client.request("GET", path, user | headers)


def ids(answer: Answer) -> list[int]:
    return [UUID(one["task_uuid"]).int for one in answer.json()["tasks"]]


@pytest.mark.parametrize("what", ["", "/deliveries", "/events"])
def test_a_task_is_seen_by_its_user_and_by_admins_alone(client, what):
    client.view.tell(task(1).model_copy(update={"state": State.FAILED}))
    path = f"/tasks/{UUID(int=1)}{what}"
    assert [ask(client, path, user).status for user in (ALICE, ROOT, BOB)] == [200, 200, 404]
    assert client.request("GET", path).status == 401
    unknown = ask(client, f"/tasks/{UUID(int=2)}{what}")
    assert (unknown.status, unknown.body) == (404, ask(client, path, BOB).body)


ROUTES = [("GET", ""), ("HEAD", ""), ("GET", "/deliveries"), ("GET", "/events"), ("POST", "/cancel"),
          ("POST", "/redeliver")]  # fmt: skip


@pytest.mark.parametrize(("method", "what"), ROUTES)
def test_anothers_task_takes_the_steps_of_one_that_is_not_there(client, monkeypatch, method, what):
    """Ids follow from a name and a key: the time of an answer must not tell whether there is the task."""
    client.view.tell(task(1).model_copy(update={"state": State.FAILED}))
    steps = []
    ends, rows = client.view.ends.now, client.view._reader._rows

    async def now():
        steps.append("waits for Kafka")
        return await ends()

    def read(sql, values):
        found = rows(sql, values)
        steps.append((sql, len(found)))
        return found

    monkeypatch.setattr(client.view.ends, "now", now)
    monkeypatch.setattr(client.view._reader, "_rows", read)
    seen = []
    for number in (1, 2):
        steps.clear()
        answer = client.request(method, f"/tasks/{UUID(int=number)}{what}", BOB)
        seen.append((answer.status, answer.body, steps[:]))
    assert seen[0] == seen[1]
    assert (seen[0][0], "waits for Kafka" in seen[0][2]) == (404, True)
    client.view.ends.away = True
    assert {client.request(method, f"/tasks/{UUID(int=n)}{what}", BOB).status for n in (1, 2)} == {503}


def test_a_key_that_another_has_used_is_as_one_that_nobody_has(client):
    known = task(1).model_copy(update={"idempotency_key": "order-1", "submission_digest": "x"})
    client.view.tell(known)
    answers = [ask(client, f"/tasks?idempotency_key={key}", BOB) for key in ("order-1", "order-2")]
    assert [answer.json() for answer in answers] == [{"tasks": []}] * 2
    bob = BOB | {"Idempotency-Key": "order-1"}
    body = [b'{"audio": "https://example.com/song.mp3"}']
    assert client.request("POST", "/generate", bob, body).status == 200


def test_a_list_has_ones_own_tasks_and_an_admins_all(client):
    client.view.tell(task(1), task(2, "bob"), task(3))
    assert [ids(ask(client, "/tasks", user)) for user in (ALICE, BOB, ROOT)] == [[3, 1], [2], [3, 2, 1]]


def test_the_next_links_lead_through_all_that_was_asked_for(client):
    client.view.tell(*(task(n, submitted_at=float(n // 4)) for n in range(1, 60)))
    client.view.tell(*(task(n).model_copy(update={"state": State.FAILED}) for n in (5, 6)))
    path, found = "/tasks?state=queued&limit=7&submitted_since=1&submitted_before=12", []
    while path:
        answer = ask(client, path)
        found += ids(answer)
        path = answer.json().get("next")
    assert found == [n for n in range(47, 3, -1) if n not in (5, 6)]


def test_what_was_chosen_is_told_with_the_task_and_found_by_its_label(client):
    fields = {
        "choices": {"stems": ["vocals"]},
        "label": "Ärzte & Co - 100%",
        "metadata": {"order": None, "n": 1},
    }
    chosen = Task(task_uuid=UUID(int=9), audio="a", submitted_at=9.0, user="alice", **fields)
    client.view.tell(task(8), of_task(chosen), *(task(n).model_copy(update={"label": "Är"}) for n in (1, 2)))
    found = ask(client, f"/tasks/{UUID(int=9)}").json()
    assert {name: found[name] for name in fields} == fields
    assert ask(client, f"/tasks/{UUID(int=8)}").json().keys().isdisjoint(fields)
    assert ids(ask(client, f"/tasks?label={quote('Ärzte & Co - 100%')}")) == [9]
    assert ids(ask(client, f"/tasks?label={quote('ärzte')}")) == []
    first = ask(client, f"/tasks?label={quote('Är')}&limit=2")
    assert (ids(first), ids(ask(client, first.json()["next"]))) == ([9, 2], [1])
    assert ids(ask(client, f"/tasks?label={quote('Är')}", BOB)) == []


def test_tasks_are_found_by_words_of_their_names_and_addresses(client):
    named = {
        1: {"label": "ÄRZTE - Westerland (100%)"},
        2: {"file_name": "Die ärzte live.flac", "audio": "upload:5f0c"},
        3: {"audio": "https://example.com/A\u0308rzte/song.mp3"},
        4: {"label": "other", "audio": "https://example.com/song.mp3"},
    }
    client.view.tell(*(task(n).model_copy(update=fields) for n, fields in named.items()))

    def found(search: str) -> list[int]:
        return ids(ask(client, f"/tasks?search={quote(search)}"))

    assert found("ärzte") == [3, 2, 1]
    assert found("LIVE  Ärzte") == [2]
    assert (found("100%"), found("upload"), found("' OR 1"), found("\0")) == ([1], [], [], [])
    first = ask(client, f"/tasks?search={quote('ärzte')}&state=queued&limit=2")
    assert (ids(first), ids(ask(client, first.json()["next"]))) == ([3, 2], [1])
    assert ids(ask(client, f"/tasks?search={quote('ärzte')}", BOB)) == []


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=201", "limit=x", "state=lost", "cursor=x", "cursor=%F0%9F%8E%B5", "cursor=",
     "submitted_since=nan", "label=", f"label={201 * 'x'}", f"search={201 * 'x'}",
     f"search={17 * 'x+'}", "submitted_before=inf"],
)  # fmt: skip
def test_a_parameter_that_is_wrong_is_named(client, query):
    answer = ask(client, f"/tasks?{query}")
    assert answer.status == 400
    assert answer.json()["detail"].startswith(query.partition("=")[0])


def test_a_cursor_of_any_bytes_is_no_error(client):
    client.view.tell(task(1))
    for cursor in ("f_gAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "____________________________________"[:32]):
        assert ask(client, f"/tasks?cursor={cursor}").status in (200, 400)


def test_a_queued_task_has_its_place(client):
    client.view.tell(*(task(n, user="bob") for n in (1, 2)), task(3))
    found = ask(client, f"/tasks/{UUID(int=3)}").json()
    assert (found["state"], found["queue_place"], found["times"]) == ("queued", 3, {"queued": 3.0})


def test_a_task_that_is_over_has_its_result_as_the_callback_has_it(client):
    stem = PublishedStem(url="https://s/v", sha256="0" * 64, bytes=1, duration_s=1.0)
    result = SuccessCallback(
        task_uuid=UUID(int=1), timestamp=9.0, stems={"vocals": stem}, vocals=stem.url, model="m", device="cpu"
    )
    done = task(1).model_copy(update={"state": State.SUCCEEDED, "at": 9.0, "tries": (1, 2), "attempt": 3})
    client.view.tell(done.model_copy(update={"result": result, "progress": 1.0}))
    found = ask(client, f"/tasks/{UUID(int=1)}").json()
    assert found["result"] == json.loads(result.to_bytes())
    assert (found["state"], found["attempt"], found["progress"]) == ("succeeded", 6, 1.0)
    assert "queue_place" not in found


def test_begins_that_do_not_count_are_not_shown_as_attempts(client):
    moved = {"state": State.SEPARATING, "at": 9.0, "tries": (1,), "attempt": 9, "handed_back": 8}
    client.view.tell(task(1).model_copy(update=moved))
    assert ask(client, f"/tasks/{UUID(int=1)}").json()["attempt"] == 2


@pytest.mark.parametrize(
    ("audio", "hook_url", "song", "host"),
    [
        ("https://a.example/s.mp3?signature=TOPSECRET#TOPSECRET", None, "https://a.example/s.mp3", None),
        ("http://TOPSECRET:TOPSECRET@a.example:81/s.mp3", "https://b.example/TOPSECRET?TOPSECRET",
         "http://a.example:81/s.mp3", "b.example"),
        ("https://[2606:4700::1]:8443/%7es.mp3", "http://TOPSECRET@[2606:4700::2]:8080/hook",
         "https://[2606:4700::1]:8443/%7es.mp3", "[2606:4700::2]:8080"),
        # what an earlier program may have put into the topic
        ("TOPSECRET", "TOPSECRET", None, None),
        ("http://[TOPSECRET/x", "http://[TOPSECRET/x", None, None),
    ],
)  # fmt: skip
def test_which_song_a_task_is_and_whom_it_calls_is_told_without_secrets(client, audio, hook_url, song, host):
    reported = of_task(
        Task(task_uuid=UUID(int=1), audio=audio, hook_url=hook_url, submitted_at=1.0, user="alice")
    )
    client.view.tell(reported, reported.model_copy(update={"state": State.FAILED, "at": 9.0}))
    (listed,) = ask(client, "/tasks").json()["tasks"]
    one = ask(client, f"/tasks/{UUID(int=1)}")
    stream = ask(client, f"/tasks/{UUID(int=1)}/events")
    event = json.loads(stream.body.decode().partition("data: ")[2].partition("\n")[0])
    assert {(t.get("audio"), t.get("hook_host")) for t in (listed, one.json(), event)} == {(song, host)}
    assert not any(b"TOPSECRET" in answer.body for answer in (one, stream))


def test_each_callback_is_told_of(client):
    client.view.tell(task(1))
    fields = {
        "task_uuid": UUID(int=1),
        "run": 1,
        "hook_url": "https://secret.example/?token=1",
        "took_s": 0.5,
    }
    client.view.tell(
        DeliveryAttempt(**fields, try_number=2, started_at=9.0, status=204),
        DeliveryAttempt(
            **fields, try_number=1, started_at=5.0, error_code="callback_failed", next_try_at=8.0
        ),
    )
    client.view.tell(
        DeliveryAttempt(**fields, try_number=1, started_at=7.5, status=500, redelivery_requested_at=7.0)
    )
    first, again, second = ask(client, f"/tasks/{UUID(int=1)}/deliveries").json()["deliveries"]
    assert (first["error_code"], first["next_try_at"], second["status"]) == ("callback_failed", 8.0, 204)
    assert (again["try_number"], again["redelivery_requested_at"]) == (1, 7.0)
    assert "redelivery_requested_at" not in first


@pytest.mark.parametrize("path", ["/tasks", f"/tasks/{UUID(int=1)}", f"/tasks/{UUID(int=1)}/events"])
def test_while_the_view_catches_up_nothing_is_said_and_tasks_are_taken(path):
    client = ApiClient(view=StoredView(caught_up=False))
    answer = ask(client, path, basic("admin", "password"))
    assert (answer.status, answer.headers["retry-after"]) == (503, "2")
    assert client.generate().status == 200
    ready = client.request("GET", "/readyz")
    assert ready.status == 200
    assert "catching up" in ready.json()["checks"]["view"]["detail"]


def test_nobody_is_told_that_there_is_no_such_task_while_kafka_is_away(client):
    client.view.tell(task(1))
    client.view.ends.away = True
    assert ask(client, f"/tasks/{UUID(int=1)}").status == 200
    assert ask(client, f"/tasks/{UUID(int=2)}").status == 503


def events(answer: Answer) -> list[tuple[str, str]]:
    """State and id of each."""
    blocks = [block for block in answer.body.decode().split("\n\n") if block and not block.startswith(":")]
    found = []
    for block in blocks:
        fields = dict(line.split(": ", 1) for line in block.splitlines())
        assert fields["event"] == "status"
        found.append((json.loads(fields["data"])["state"], fields["id"]))
    return found


def test_a_stream_tells_each_change_and_ends_with_the_last(client):
    states = [task(1), *(task(1).model_copy(update={"state": s}) for s in (State.SEPARATING, State.FAILED))]
    client.view.tell(states[0])
    heard: list[bytes] = []

    async def watch() -> Answer:
        stream = asyncio.create_task(client.get(f"/tasks/{UUID(int=1)}/events", ALICE, heard.append))
        for number, status in enumerate(states[1:], 1):
            while len(heard) < number:  # else two changes may well become one event
                await asyncio.sleep(0.001)
            client.view.tell(status)
        return await asyncio.wait_for(stream, 20)

    assert events(asyncio.run(watch())) == [(s.state, event_id(s)) for s in states]


def test_a_stream_ends_though_the_task_was_over_before_anybody_watched_it():
    class OverAtOnce(StoredView):
        """The task is over as soon as somebody has looked at it."""

        async def find(
            self, task_uuid: UUID, patience_s: float | None = None, user: str | None = None
        ) -> Status | None:
            found = await super().find(task_uuid, patience_s, user)
            self.tell(task(1).model_copy(update={"state": State.FAILED}))
            return found

    client = ApiClient(view=OverAtOnce())
    client.view.tell(task(1, user="admin"))

    async def watch() -> Answer:
        path = f"/tasks/{UUID(int=1)}/events"
        return await asyncio.wait_for(client.get(path, basic("admin", "password"), lambda part: None), 20)

    assert [state for state, _ in events(asyncio.run(watch()))] == ["failed"]


def test_a_stream_goes_on_after_the_last_event_that_was_seen(client):
    over = task(1).model_copy(update={"state": State.FAILED, "at": 9.0})
    client.view.tell(task(1), over)
    path = f"/tasks/{UUID(int=1)}/events"
    for last in (event_id(task(1)), "", "nonsense", "1.2.x", "9" * 200):
        assert events(ask(client, path, **{"Last-Event-ID": last})) == [("failed", event_id(over))]
    assert ask(client, path, **{"Last-Event-ID": event_id(over)}).status == 204


@pytest.mark.parametrize(
    ("path", "detail"),
    [
        ("/tasks?label=a&limit=2&label=b", "label: the query has this parameter 2 times"),
        (f"/tasks/{UUID(int=1)}?wait=0&wait=1&wait=2", "wait: the query has this parameter 3 times"),
        ("/usage?from=&from=2026-11-28", "from: the query has this parameter 2 times"),
    ],
)
def test_a_query_parameter_that_is_given_more_than_once_is_refused(client, path, detail):
    answer = ask(client, path)
    assert (answer.status, answer.json()["detail"]) == (400, detail)


def test_a_query_without_a_name_is_no_query(client):
    assert ask(client, "/tasks?&").status == 200

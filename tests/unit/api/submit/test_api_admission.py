"""Which submissions become tasks: once for each key, and as many as may wait."""

import asyncio
import json
from collections import Counter
from uuid import UUID

import pytest

from api.publishing.publisher import NotSent, PublisherUnavailable
from api.submit.admission import KeyLocks
from api.view.merge import of_task
from common.tasks.messages import State, Status, Task
from tests.support.api.api_client import SONG, Answer, ApiClient, MemoryPublisher, basic
from tests.support.api.stored_view import StoredView
from tests.support.api.users import write_users
from tests.support.common.observability.exposition import Exposition

KEY = {"Idempotency-Key": "order-1"}


class FedQueue(MemoryPublisher):
    """What is published is seen by the view, at once or when the test says so."""

    def __init__(self, view: StoredView, is_prompt: bool = True):
        super().__init__()
        self.view, self.is_prompt = view, is_prompt

    async def publish(self, task: Task) -> None:
        await super().publish(task)
        await asyncio.sleep(0)  # as Kafka takes its time: others of a burst come meanwhile
        if self.is_prompt:
            self.show()

    def show(self) -> None:
        self.view.tell(*map(of_task, self.tasks))


def api(is_prompt: bool = True, view: StoredView | None = None, **settings) -> ApiClient:
    view = view or StoredView()
    return ApiClient(FedQueue(view, is_prompt), view, **settings)


def burst(client: ApiClient, count: int, **headers: str) -> Counter[int]:
    async def all_at_once() -> list[Answer]:
        return await asyncio.gather(*(client.send(headers=headers) for _ in range(count)))

    return Counter(answer.status for answer in asyncio.run(all_at_once()))


def refusals(client: ApiClient, reason: str) -> float:
    shown = Exposition(client.request("GET", "/metrics").body.decode())
    return shown.value("uvr_task_refusals_total", reason=reason)


def become(client: ApiClient, task: Task, state: State, **fields) -> None:
    client.view.tell(of_task(task).model_copy(update={"state": state, **fields}))


# Idempotency-Key


@pytest.mark.parametrize("state", [State.QUEUED, State.SEPARATING, State.SUCCEEDED, State.FAILED])
def test_a_repeat_is_answered_as_the_first_was_and_not_queued_again(state):
    client = api()
    first = client.generate(headers=KEY)
    become(client, client.publisher.tasks[0], state, attempt=1)
    again = client.generate(headers=KEY)
    assert (again.status, again.json()) == (200, first.json())
    assert len(client.publisher.tasks) == 1


@pytest.mark.parametrize(
    "body",
    [
        json.dumps(SONG, indent=4).encode(),
        json.dumps(dict(reversed(SONG.items()))).encode(),
        SONG | {"urgency": 5},
        SONG | {"priority": 3},
        json.dumps(SONG).replace("/", "\\/").encode(),
    ],
)
def test_the_same_said_otherwise_is_the_same_submission(body):
    client = api()
    first = client.generate(headers=KEY).json()
    again = client.generate(body, KEY)
    assert (again.status, {**again.json(), "ignored": None}) == (200, {**first, "ignored": None})


def test_a_hook_that_is_null_is_none():
    client = api()
    first, again = (
        client.generate({"audio": SONG["audio"]} | more, KEY) for more in ({}, {"hook_url": None})
    )
    assert again.json() == first.json()
    assert len(client.publisher.tasks) == 1


@pytest.mark.parametrize(
    "body",
    [SONG | {"audio": "https://example.com/b.mp3"}, {"audio": SONG["audio"]}, SONG | {"hook_url": None}],
)
def test_another_submission_under_the_same_key_is_refused_with_the_first_ones_task(body):
    client = api()
    first = client.generate(headers=KEY).json()["task_uuid"]
    other = client.generate(body, KEY)
    problem = other.json()
    assert (other.status, problem["error_code"], problem["task_uuid"]) == (409, "key_reused", first)
    assert first in problem["error"]
    assert len(client.publisher.tasks) == 1
    assert refusals(client, "key_reused") == 1


@pytest.mark.parametrize("body", [SONG, {"audio": "https://example.com/b.mp3"}])
def test_the_key_of_a_deleted_task_is_refused_since_nothing_comes_of_it(body):
    client = api()
    first = client.generate(headers=KEY).json()["task_uuid"]
    client.view.tell(
        Status(task_uuid=UUID(first), submitted_at=1.0, state=State.SUCCEEDED, at=2.0, deleted_at=2.0)
    )
    again = client.generate(body, KEY)
    problem = again.json()
    assert (again.status, problem["error_code"], problem["task_uuid"]) == (409, "key_reused", first)
    assert "deleted" in problem["error"]


def test_a_task_of_an_earlier_version_is_taken_for_the_same():
    client = api()
    task_uuid = UUID(client.generate(headers=KEY).json()["task_uuid"])
    old = ApiClient(MemoryPublisher(), StoredView())
    old.view.tell(of_task(Task(task_uuid=task_uuid, audio="a", hook_url="h", submitted_at=1.0, user="admin")))
    assert old.generate(headers=KEY).json()["task_uuid"] == str(task_uuid)
    assert old.publisher.tasks == []


def test_of_many_at_once_with_one_key_one_is_queued():
    client = api()
    assert burst(client, 20, **KEY) == {200: 20}
    assert len(client.publisher.tasks) == 1


def test_of_two_at_once_with_two_bodies_one_is_queued_and_the_other_refused():
    client = api()

    async def both() -> list[Answer]:
        bodies = (SONG, SONG | {"hook_url": None})
        return await asyncio.gather(*(client.send(body, KEY) for body in bodies))

    assert [answer.status for answer in asyncio.run(both())] == [200, 409]
    assert len(client.publisher.tasks) == 1


def test_a_repeat_after_a_failure_to_queue_is_queued():
    client = api()
    client.publisher.away = "gone"
    assert client.generate(headers=KEY).status == 503
    client.publisher.away = ""
    assert client.generate(headers=KEY).status == 200
    assert len(client.publisher.tasks) == 1


@pytest.mark.parametrize("trouble", ["catching up", "not fed", "Kafka is away"])
def test_with_too_little_known_a_repeat_is_queued_without_a_look(trouble):
    client = api(view=StoredView(caught_up=trouble != "catching up"), max_queued_tasks=1)
    client.view.feed.reason = "broken" if trouble == "not fed" else ""
    client.view.ends.away = trouble == "Kafka is away"
    client.publisher.is_prompt = False
    answers = [client.generate(headers=KEY) for _ in range(3)]
    assert {answer.status for answer in answers} == {200}
    assert len(client.publisher.tasks) == 3


def test_who_waits_for_a_first_request_that_is_never_confirmed_is_told():
    client = api(kafka_ack_timeout_s=1)

    async def story() -> list[int]:
        is_told = asyncio.Event()

        async def hang(task: Task) -> None:
            await is_told.wait()
            raise PublisherUnavailable("nothing is confirmed")

        client.publisher.publish = hang
        asking = {asyncio.create_task(client.send(headers=KEY)) for _ in range(2)}
        told, hanging = await asyncio.wait(asking, timeout=60, return_when=asyncio.FIRST_COMPLETED)
        assert len(hanging) == 1
        is_told.set()
        return [(await one).status for one in (*told, *hanging)]

    assert asyncio.run(story()) == [503, 503]


def test_who_waits_in_vain_for_a_first_request_is_not_sent():
    async def wait() -> None:
        locks, key = KeyLocks(patience_s=0.01), UUID(int=1)
        async with locks.take(key):
            with pytest.raises(NotSent):
                async with locks.take(key):
                    pass

    asyncio.run(wait())


# GET /tasks?idempotency_key=


def test_tasks_are_found_by_key_ones_own_and_an_admins_all(tmp_path):
    users = write_users(tmp_path / "users", alice="password", bob="password", root="password")
    client = api(basic_auth_users_file=users, admin_usernames="root")
    alice, bob, root = (basic(name, "password") for name in ("alice", "bob", "root"))
    made = {
        name: client.generate(headers=who | key).json()["task_uuid"]
        for name, who, key in (("a", alice, KEY), ("b", bob, KEY), ("c", bob, {"Idempotency-Key": "other"}))
    }
    client.generate(headers=alice)

    def found(who, query: str) -> list[str]:
        names = {task_uuid: name for name, task_uuid in made.items()}
        tasks, path = [], f"/tasks?{query}"
        while path:
            answer = client.request("GET", path, who)
            tasks += answer.json()["tasks"]
            path = answer.json().get("next")
        assert {task["idempotency_key"] for task in tasks} <= {"order-1", "other", "a&b=%"}
        return [names[task["task_uuid"]] for task in tasks]

    assert found(alice, "idempotency_key=order-1") == ["a"]
    assert found(bob, "idempotency_key=order-1") == ["b"]
    assert found(root, "idempotency_key=order-1&limit=1") == ["b", "a"]
    assert found(root, "idempotency_key=order-1&state=failed") == []
    assert found(root, "idempotency_key=none") == []
    for who in (alice, bob):
        made |= {"d": client.generate(headers=who | {"Idempotency-Key": "a&b=%"}).json()["task_uuid"]}
        assert found(who, "idempotency_key=a%26b%3D%25&limit=1") == ["d"]


@pytest.mark.parametrize("key", ["", "a%20b", "x" * 256])
def test_a_filter_that_can_be_no_key_is_400(key):
    answer = api().request("GET", f"/tasks?idempotency_key={key}", basic("admin", "password"))
    assert answer.status == 400
    assert "idempotency_key" in answer.json()["error"]


# A full queue


@pytest.mark.parametrize("is_prompt", [True, False])
@pytest.mark.parametrize("name", ["max_queued_tasks", "max_queued_tasks_per_user"])
def test_no_burst_passes_the_limit_whether_the_view_has_seen_it_or_not(name, is_prompt):
    client = api(is_prompt, **{name: 5})
    assert burst(client, 20) == {200: 5, 429: 15}
    client.publisher.show()
    assert burst(client, 5) == {429: 5}
    become(client, client.publisher.tasks[0], State.DOWNLOADING, attempt=1)
    assert burst(client, 5) == {200: 1, 429: 4}
    assert len(client.publisher.tasks) == 6


def test_a_task_that_waits_for_a_retry_is_queued():
    client = api(max_queued_tasks=1)
    client.generate()
    become(client, client.publisher.tasks[0], State.SEPARATING, attempt=1)
    become(client, client.publisher.tasks[0], State.QUEUED, tries=(1,), next_try_at=9.0)
    assert client.generate().status == 429
    become(client, client.publisher.tasks[0], State.FAILED)
    assert client.generate().status == 200


def test_what_waits_for_its_callback_counts_for_its_user_alone(tmp_path):
    users = write_users(tmp_path / "users", alice="password", bob="password")
    client = api(basic_auth_users_file=users, max_queued_tasks=9, max_queued_tasks_per_user=3)
    client.view.tell(
        reported(1, State.DELIVERING, "alice"),
        # Over, but its user has not been called yet.
        reported(2, State.FAILED, "alice", callback_next_try_at=99.0),
        reported(3, State.SUCCEEDED, "alice"),
        reported(4, State.FAILED, "alice"),
    )
    alice, bob = basic("alice", "password"), basic("bob", "password")
    assert burst(client, 2, **alice) == {200: 1, 429: 1}
    answer = client.generate(headers=alice)
    assert answer.json()["error_code"] == "too_many_queued_by_user"
    assert (
        "1 task in the queue and 2 that wait for their callback, and 3 are allowed" in answer.json()["error"]
    )
    assert answer.headers["retry-after"] == "30"
    assert burst(client, 4, **bob) == {200: 3, 429: 1}
    # Taken, or given up: either makes room.
    client.view.tell(reported(1, State.SUCCEEDED, "alice"), reported(2, State.FAILED, "alice", tries=(1,)))
    assert burst(client, 3, **alice) == {200: 2, 429: 1}


def test_each_user_has_a_share_of_its_own(tmp_path):
    users = write_users(tmp_path / "users", alice="password", bob="password")
    client = api(basic_auth_users_file=users, max_queued_tasks=5, max_queued_tasks_per_user=3)
    assert burst(client, 4, **basic("alice", "password")) == {200: 3, 429: 1}
    assert burst(client, 4, **basic("bob", "password")) == {200: 2, 429: 2}
    assert (refusals(client, "too_many_queued_by_user"), refusals(client, "too_many_queued")) == (1, 2)


def test_a_known_key_finds_its_task_in_a_full_queue():
    client = api(max_queued_tasks=1)
    first = client.generate(headers=KEY).json()
    assert client.generate().status == 429
    again = client.generate(headers=KEY)
    assert (again.status, again.json()) == (200, first)
    assert client.generate(headers={"Idempotency-Key": "new"}).status == 429


def test_what_could_not_be_queued_takes_no_room():
    client = api(max_queued_tasks=1)
    client.publisher.away = "gone"
    assert burst(client, 3) == {503: 3}
    client.publisher.away = ""
    assert client.generate().status == 200


def test_a_queue_without_limits_takes_what_comes():
    assert burst(api(is_prompt=False), 50) == {200: 50}


def reported(number: int, state: State, user: str = "admin", **fields) -> Status:
    at = {"submitted_at": float(number), "at": float(number), **fields}
    return Status(task_uuid=UUID(int=number), user=user, state=state, **at)


@pytest.mark.parametrize(
    ("took_s", "running", "expected"),
    [(None, 0, "30"), (40.0, 0, "30"), (40.0, 2, "40"), (0.01, 2, "1"), (1e7, 2, "3600")],
)
def test_the_time_to_come_back_is_that_until_there_is_room(took_s, running, expected):
    """The user's own two are behind another's, and one of them must be taken: the second place."""
    client = api(max_queued_tasks_per_user=2)
    client.view.tell(reported(1, State.QUEUED, "bob"), reported(2, State.QUEUED), reported(3, State.QUEUED))
    client.view.tell(*(reported(10 + n, State.SEPARATING, "bob") for n in range(running)))
    if took_s is not None:
        times = {State.DOWNLOADING: 10.0, State.UPLOADING: 10.0 + took_s}
        client.view.tell(reported(20, State.SUCCEEDED, "bob", times=times))
    answer = client.generate()
    problem = answer.json()
    assert (answer.status, problem["error_code"]) == (429, "too_many_queued_by_user")
    assert answer.headers["retry-after"] == expected
    assert "2 tasks in the queue" in problem["error"]


@pytest.mark.parametrize(
    ("setting", "most", "said"),
    [
        ("max_queued_tasks_per_user", 1, "You have 1 task in the queue, and 1 is allowed"),
        ("max_queued_tasks_per_user", 2, "You have 2 tasks in the queue, and 2 are allowed"),
        ("max_queued_tasks", 1, "There is 1 task in the queue, and 1 is allowed"),
        ("max_queued_tasks", 2, "There are 2 tasks in the queue, and 2 are allowed"),
    ],
)
def test_a_full_queue_is_counted_in_plain_words(setting, most, said):
    client = api(**{setting: most})
    answers = [client.generate() for _ in range(most + 1)]
    assert answers[-1].json()["error"].startswith(said)

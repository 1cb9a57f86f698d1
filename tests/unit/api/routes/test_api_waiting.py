"""A request may wait for the end of its task: a program then needs no loop."""

import asyncio
import json

from api.routes.waiting import Waiters
from api.submit.submission import task_uuid
from api.view.merge import of_task
from common.tasks.messages import State
from tests.support.api.api_client import SONG, ApiClient, MemoryPublisher, basic

ADMIN = basic("admin", "password")


class ViewedPublisher(MemoryPublisher):
    """A publisher whose tasks the view knows at once, and that ends them if `ends` says so."""

    view = None
    ends = True

    async def publish(self, message):
        await super().publish(message)
        self.view.tell(of_task(message))
        if self.ends:
            loop = asyncio.get_running_loop()
            loop.call_soon(self.view.tell, of_task(message).model_copy(update={"state": State.SUCCEEDED}))


def client_that(ends: bool) -> ApiClient:
    client = ApiClient(ViewedPublisher())
    client.publisher.view, client.publisher.ends = client.view, ends
    return client


def test_a_submission_that_waits_answers_with_the_ended_task():
    client = client_that(ends=True)
    answer = client.generate({**SONG, "unheard_of": 1}, {"Prefer": "respond-async, wait=30"})
    assert (answer.status, answer.json()["state"], answer.json()["ignored"]) == (
        200,
        "succeeded",
        ["unheard_of"],
    )
    assert answer.headers["preference-applied"] == "wait=30"
    assert client.app.state.parts.waiters.count == 0


def test_a_submission_that_has_waited_long_enough_says_where_to_ask():
    client = client_that(ends=False)

    async def submit_and_ask_again():
        submitting = asyncio.create_task(client.send(headers={"Prefer": "wait=1"}))
        while not client.publisher.tasks:
            await asyncio.sleep(0.01)
        path = f"/tasks/{client.publisher.tasks[0].task_uuid}"
        return path, await client.get(f"{path}?wait=1", ADMIN, len), await submitting

    path, again, answer = asyncio.run(submit_and_ask_again())
    known = answer.json()
    assert (answer.status, known["status"]) == (202, "queued")
    assert answer.headers["location"] == path == f"/tasks/{known['task_uuid']}"
    assert (again.status, again.json()["state"], again.headers["location"]) == (202, "queued", path)
    assert client.app.state.parts.waiters.count == 0


def test_a_task_that_ends_meanwhile_ends_the_wait():
    client = client_that(ends=False)
    queued = client.generate(headers={"Idempotency-Key": "k"})
    ended = of_task(client.publisher.tasks[0]).model_copy(update={"state": State.CANCELLED})

    async def ask():
        asking = asyncio.create_task(client.get(f"/tasks/{queued.json()['task_uuid']}?wait=60", ADMIN, len))
        while not client.view._changes._watches:
            await asyncio.sleep(0)
        client.view.tell(ended)
        return await asking

    answer = asyncio.run(ask())
    assert (answer.status, answer.json()["state"]) == (200, "cancelled")
    assert client.request("GET", f"/tasks/{task_uuid('admin', 'k')}?wait=60", ADMIN).status == 200


def test_nothing_changes_without_the_preference_or_with_another_one():
    client = client_that(ends=True)
    for headers in ({}, {"Prefer": "return=minimal"}, {"Prefer": "wait=soon"}, {"Prefer": "wait=0"}):
        answer = client.generate(headers=headers)
        assert set(answer.json()) == {"message", "status", "task_uuid"}
        assert answer.status == 200
        assert "preference-applied" not in answer.headers


def test_more_than_a_minute_is_a_minute_in_a_preference_and_refused_in_an_address():
    client = client_that(ends=True)
    answer = client.generate(headers={"Prefer": "wait=3600"})
    assert answer.headers["preference-applied"] == "wait=60"
    path = f"/tasks/{answer.json()['task_uuid']}?wait=61"
    assert client.request("GET", path, ADMIN).status == 400


def test_one_waiter_too_many_is_answered_at_once():
    client = client_that(ends=False)
    object.__setattr__(client.app.state.parts, "waiters", Waiters(most=0))
    assert client.generate(headers={"Prefer": "wait=60"}).status == 202


def test_a_client_that_is_gone_leaves_nothing():
    client = client_that(ends=False)
    waiting = client.app.state.parts.waiters
    messages = iter([{"type": "http.request", "body": json.dumps(SONG).encode()}])

    async def receive():
        if (message := next(messages, None)) is not None:
            return message
        while not client.view._changes._watches:
            await asyncio.sleep(0)
        assert waiting.count == 1
        return {"type": "http.disconnect"}

    async def run():
        sent = []

        async def send(message):
            sent.append(message)

        headers = {**ADMIN, "Prefer": "wait=60"}
        scope = {
            **{"type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST"},
            **{"scheme": "http", "path": "/generate", "raw_path": b"/generate", "query_string": b""},
            **{"root_path": "", "client": ("203.0.113.5", 50000), "server": ("127.0.0.1", 8000)},
            "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
        }
        await client.app(scope, receive, send)
        return sent, asyncio.all_tasks()

    sent, tasks = asyncio.run(run())
    assert sent[0]["status"] == 202
    assert (waiting.count, len(tasks), len(client.view._changes._watches)) == (0, 1, 0)

"""A question that may read all tasks has one place a user, is stopped in time, and delays nobody else."""

import asyncio
import threading
from datetime import date
from uuid import UUID

import pytest

from api.view import time_limit
from api.view.merge import of_task
from api.view.query import Query
from api.view.reader import Reader
from api.view.task_view import ViewUnavailable
from api.view.time_limit import TooMuchToRead
from api.view.usage import UsageQuery
from common.tasks.messages import Task
from tests.support.api.api_client import ApiClient, MemoryPublisher, basic
from tests.support.api.stored_view import StoredView

DAY = date(2026, 11, 28)
ALICE, BOB = basic("alice", "password"), basic("bob", "password")
MANY = """
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)
INSERT INTO tasks
SELECT randomblob(16), 'bob', i, 'succeeded', i, NULL, NULL, 0, 'label', 1, 3, 'a song', '{}' FROM n
"""

# Counts to the number, and for ever.
FINITE = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT {}) SELECT count(*) FROM n"
ENDLESS = FINITE.format(-1)

QUESTIONS = {
    "a search": lambda view: view.page(Query(user="bob", search="word")),
    "an administrator's search": lambda view: view.page(Query(search="word")),
    "a label": lambda view: view.page(Query(user="bob", label="l")),
    "usage": lambda view: view.usage(UsageQuery("bob", DAY, DAY)),
    "space": lambda view: view.results_space("bob"),
    "a count": lambda view: view.ask(lambda reader: reader.select("SELECT 1")),
}


def task(number: int, user: str) -> Task:
    return Task(task_uuid=UUID(int=number), audio="a", submitted_at=1.0, user=user)


@pytest.fixture
def held(monkeypatch):
    """Long questions stand still until `set`. `waiting` counts those that have begun."""
    go_on, within = threading.Event(), Reader.within
    go_on.waiting = 0

    def stand_still(self, *arguments):
        go_on.waiting += 1
        go_on.wait(60)
        return within(self, *arguments)

    monkeypatch.setattr(Reader, "within", stand_still)
    yield go_on
    go_on.set()


@pytest.mark.parametrize("kind", QUESTIONS)
def test_others_are_answered_while_one_user_asks_much(kind, held, three_users):
    view = StoredView()
    client = ApiClient(MemoryPublisher(), view, basic_auth_users_file=three_users)
    key = ALICE | {"Idempotency-Key": "order-1"}

    async def scenario():
        assert (await client.send(headers=key)).status == 200
        view.tell(*map(of_task, client.publisher.tasks))
        asked = [asyncio.create_task(QUESTIONS[kind](view)) for _ in range(12)]
        while not held.waiting:
            await asyncio.sleep(0)
        assert (await client.send(headers=key)).status == 200
        found = await client.get(f"/tasks/{client.publisher.tasks[0].task_uuid}", ALICE, lambda body: None)
        assert found.status == 200
        begun = held.waiting
        held.set()
        await asyncio.gather(*asked)
        return begun

    assert asyncio.run(scenario()) == 1
    assert len(client.publisher.tasks) == 1, "the repeat found the first task"


def test_another_users_search_is_answered_too(monkeypatch):
    view, go_on, within = StoredView(), threading.Event(), Reader.within

    def bobs_stand_still(self, limit_s, question, query):
        if query.user == "bob":
            go_on.wait(60)
        return within(self, limit_s, question, query)

    monkeypatch.setattr(Reader, "within", bobs_stand_still)
    view.tell(of_task(task(1, "alice").model_copy(update={"label": "word"})))

    async def scenario():
        asked = [asyncio.create_task(view.page(Query(user="bob", search="x"))) for _ in range(12)]
        try:
            return await view.page(Query(user="alice", search="word"))
        finally:
            go_on.set()
            await asyncio.gather(*asked)

    assert [status.task_uuid.int for status in asyncio.run(scenario())] == [1]


def test_who_waits_too_long_for_earlier_searches_is_told(held):
    view = StoredView()
    view._long._patience_s = -time_limit.LONGEST_S

    async def scenario():
        with pytest.raises(ViewUnavailable, match="earlier searches are still being answered"):
            await view.page(Query(user="bob", search="x"))
        held.set()
        view._long._patience_s = 20.0
        return await view.page(Query(user="bob", search="x"))

    assert asyncio.run(scenario()) == []


def test_a_question_that_reads_too_much_is_stopped_and_the_next_ones_are_answered():
    view = StoredView()
    with view.store._connection as connection:
        connection.execute(MANY)
    reader, search = view._reader, Query(user="bob", search="zzz")
    for _ in range(2):
        with pytest.raises(TooMuchToRead, match=r"stopped after 0 s of CPU time"):
            reader.within(0.0, reader.select, ENDLESS)
        assert reader.within(60.0, reader.page, search) == reader.page(search) == []


def test_a_question_of_several_statements_is_stopped_in_any_of_them():
    view = StoredView()
    reader = view._reader

    def count() -> None:
        while True:
            reader.select(FINITE.format(100_000))

    with pytest.raises(TooMuchToRead):
        reader.within(0.0, count)


@pytest.mark.parametrize("kind", QUESTIONS)
def test_a_question_that_gets_no_cpu_time_is_told_to_come_again(kind, monkeypatch):
    monkeypatch.setattr(time_limit, "LONGEST_S", 0.0)
    within = Reader.within
    monkeypatch.setattr(Reader, "within", lambda self, cpu_s, *_: within(self, 60.0, self.select, ENDLESS))
    with pytest.raises(ViewUnavailable, match="the machine is busy"):
        asyncio.run(QUESTIONS[kind](StoredView()))


def test_a_question_is_answered_beside_busy_threads_if_it_needs_little_cpu_time():
    view, over = StoredView(), threading.Event()
    reader = view._reader

    def spin() -> None:
        while not over.is_set():
            sum(range(200))

    threads = [threading.Thread(target=spin) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        # It takes 0.05 s of CPU time, in 2 million of SQLite's steps.
        assert reader.within(0.5, reader.select, FINITE.format(150_000)) == [(150_000,)]
    finally:
        over.set()
        for thread in threads:
            thread.join()


def too_much(self, cpu_s, question, *arguments):
    raise TooMuchToRead(f"it was stopped after {cpu_s:g} s of CPU time")


def test_a_search_that_takes_too_long_says_how_to_narrow_it(monkeypatch, three_users):
    monkeypatch.setattr(Reader, "within", too_much)
    client = ApiClient(basic_auth_users_file=three_users)
    answer = client.request("GET", "/tasks?search=word", ALICE)
    assert (answer.status, answer.json()["error_code"]) == (400, "too_much_to_read")
    assert "fewer words of `search`" in answer.json()["error"]


@pytest.mark.parametrize("path", ["/usage", "/queue", "/failures", "/users"])
def test_a_count_that_takes_too_long_is_no_fault_of_the_request(path, monkeypatch, three_users):
    monkeypatch.setattr(Reader, "within", too_much)
    client = ApiClient(basic_auth_users_file=three_users, admin_usernames="alice")
    answer = client.request("GET", path, ALICE)
    assert (answer.status, answer.headers["retry-after"]) == (503, "2")
    assert "stopped after 10 s of CPU time" in answer.json()["error"]


def test_a_request_that_has_to_wait_is_not_told_of_records_to_read():
    view = StoredView()
    view._patience_s = 0.01
    go_on = threading.Event()

    async def scenario():
        others = [asyncio.create_task(view._ask(go_on.wait, 60)) for _ in range(4)]
        try:
            with pytest.raises(ViewUnavailable, match=r"^other requests are still being answered$"):
                await view.find(UUID(int=1))
        finally:
            go_on.set()
            await asyncio.gather(*others)

    asyncio.run(scenario())

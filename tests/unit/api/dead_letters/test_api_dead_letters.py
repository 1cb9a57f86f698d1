"""Who may see and replay dead letters, how much at once, and that one request waits for another."""

import asyncio
import json
import threading

import pytest
from kafka.errors import KafkaConnectionError

from api.dead_letters import letters
from api.dead_letters.desk import Desk, DeskBusy, GivenUp
from api.dead_letters.letters import Selection
from common.deadletter import replays
from common.deadletter.plan import Filter
from common.deadletter.replayer import Overtaken
from common.settings.schema import KafkaSettings
from tests.support.api.api_client import Answer, ApiClient, basic
from tests.support.common.deadletter.dead_letters import ONE, OTHER, letter_record, mark, task
from tests.support.waiting import wait_for

ALICE, ROOT = (basic(name, "password") for name in ("alice", "root"))
SETTINGS = KafkaSettings()


@pytest.fixture
def client(three_users) -> ApiClient:
    return ApiClient(basic_auth_users_file=three_users, admin_usernames="root")


@pytest.fixture
def topic(monkeypatch) -> list:
    """The records of the dead letter topic."""
    found: list = []
    monkeypatch.setattr(replays, "records", lambda *_: iter(found))
    return found


def replay(client: ApiClient, user=ROOT, **body) -> Answer:
    return client.request("POST", "/dead-letters/replay", user, [json.dumps(body).encode()])


def test_they_are_for_administrators_alone(client, topic):
    answers = [client.request("GET", path, ALICE) for path in ("/dead-letters", "/dead-letters/3/1")]
    answers.append(replay(client, ALICE, ids=["3/1"]))
    assert [(one.status, one.json()["error_code"]) for one in answers] == [(403, "not_an_admin")] * 3
    assert client.request("GET", "/dead-letters").status == 401


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"ids": []},
        {"ids": ["3/1"] * 101},
        {"ids": ["3"]},
        {"ids": ["3/1"], "agian": True},
        {"ids": "3/1"},
    ],
)
def test_a_replay_names_its_letters_and_at_most_100(client, body):
    assert replay(client, **body).status == 400


@pytest.mark.parametrize("query", ["limit=101", "since=-1", "task=x", "cursor=abc", "code=" + "c" * 101])
def test_a_wrong_question_is_refused(client, query):
    assert client.request("GET", f"/dead-letters?{query}", ROOT).status == 400


def test_pages_show_each_letter_once_the_newest_first_and_hide_what_was_replayed(client, topic):
    tasks = [task(uuid, run) for run in (1, 2, 3) for uuid in (ONE, OTHER)]
    topic += [letter_record(one.to_bytes(), number) for number, one in enumerate(tasks)]
    topic.append(mark(5, 4, 6, OTHER))
    path, pages = "/dead-letters?limit=2", []
    while path:
        answer = client.request("GET", path, ROOT).json()
        pages.append([one["id"] for one in answer["letters"]])
        path = answer.get("next")
    assert pages == [["3/4", "3/2"], ["3/0"]]  # those of OTHER are replaced by its run 4
    whole = client.request("GET", "/dead-letters?all=true", ROOT).json()["letters"]
    assert [one.get("replayed_as") for one in whole] == [4, None, 4, None, 4, None]


def test_a_page_has_the_newest_of_many_letters(topic):
    topic += [letter_record(task().to_bytes(), number) for number in range(20)]
    found = letters.page(SETTINGS, Selection(Filter(), True, None, 3), lambda: None)
    assert [one.id for one in found.letters] == ["3/19", "3/18", "3/17"]


def test_one_letter_is_told_in_full_without_the_secrets_of_addresses(client, topic):
    secret = task().model_copy(update={"audio": "https://u:p@h.example/a.mp3?token=t"})
    topic += [letter_record(secret.to_bytes(), 7), letter_record(b"\xff\x00?", 8)]
    told = client.request("GET", "/dead-letters/3/7", ROOT).json()
    assert told["message"]["audio"] == "https://***@h.example/a.mp3?…"
    assert (told["name"], "user" in told) == ("https://h.example/a.mp3", False)
    assert {"name": "uvr-error-code", "value": "http_error"} in told["headers"]
    assert client.request("GET", "/dead-letters/3/8", ROOT).json()["excerpt"] == "\\xff\\x00?"
    assert client.request("GET", "/dead-letters/3/9", ROOT).status == 404


def test_a_dry_run_tells_what_would_become_of_each(client, topic):
    topic += [letter_record(task().to_bytes(), 0), letter_record(task(run=2).to_bytes(), 1)]
    topic.append(letter_record(b"?", 2))
    told = replay(client, ids=["3/0", "3/1", "3/2", "3/9"], dry_run=True).json()["letters"]
    assert {one["id"]: one["result"] for one in told} == {
        "3/0": "outdone",
        "3/1": "would_be_replayed",
        "3/2": "refused",
        "3/9": "unknown",
    }


@pytest.mark.parametrize(
    ("error", "expected"),
    [(KafkaConnectionError(), (503, "dead_letters_unavailable")), (Overtaken(), (409, "replay_overtaken"))],
)
def test_what_stands_in_the_way_is_told(client, monkeypatch, error, expected):
    def fails(*_):
        raise error

    monkeypatch.setattr(letters, "replay", fails)
    answer = replay(client, ids=["3/1"])
    assert (answer.status, answer.json()["error_code"]) == expected


def test_who_waits_for_too_long_gets_an_answer_and_nothing_happens_later():
    begun, go_on, steps = threading.Event(), threading.Event(), []

    def slow(check):
        begun.set()
        go_on.wait(30)
        try:
            check()
        except GivenUp:
            steps.append("given up")
            raise
        steps.append("done")

    async def asked() -> None:
        with pytest.raises(DeskBusy):
            await Desk(patience_s=0.1).ask(slow)

    asyncio.run(asked())
    assert begun.is_set()
    go_on.set()
    wait_for(lambda: steps, 30, "the end of the question")
    assert steps == ["given up"]


def test_questions_are_answered_in_turn_and_only_some_wait():
    go_on, running, most = threading.Event(), [], []

    def question(check) -> int:
        running.append(None)
        most.append(len(running))
        go_on.wait(30)
        running.pop()
        return len(most)

    async def ask_all() -> list:
        desk = Desk()
        first = asyncio.ensure_future(desk.ask(question))
        while not running:
            await asyncio.sleep(0)
        others = [asyncio.ensure_future(desk.ask(question)) for _ in range(12)]
        await asyncio.sleep(0)
        go_on.set()
        answers = await asyncio.gather(first, *others, return_exceptions=True)
        desk.close()
        return answers

    answers = asyncio.run(ask_all())
    assert answers[:9] == list(range(1, 10))
    assert [type(one) for one in answers[9:]] == [DeskBusy] * 4
    assert set(most) == {1}

"""Tests how a task's stream is read, and how it is continued after a break."""

import json

import pytest

from tests.support.client.fake_api import FakeApi, event, problem, stream, task
from tests.support.client.impatient import impatient
from tests.support.http_server import in_turn, reset, serve
from uvr_client import (
    NotFound,
    Patience,
    ServerError,
    TooManyRequests,
    Unavailable,
    Unreachable,
    UvrClient,
    WaitTimeout,
)
from uvr_client.sse import ServerSentEvent, parse

pytestmark = pytest.mark.network


@pytest.fixture
def api():
    with FakeApi() as api:
        yield api


@pytest.fixture
def pauses_s() -> list[float]:
    return []


@pytest.fixture
def client(api, pauses_s):
    with UvrClient(api.url, "admin", "password", patience=impatient(pauses_s)) as client:
        yield client


def path(status: dict) -> str:
    return f"/tasks/{status['task_uuid']}/events"


def changed(status: dict, state: str, **fields) -> dict:
    return {**status, "state": state, **fields}


def test_events_are_read_as_the_standard_says_however_they_are_cut():
    text = (
        ": ping\n\nevent: status\r\ndata: one\r\ndata:two\r\nid: 7\r\n\r\n"
        "retry: 1\ndata\n\nunknown: x\ndata: \u2028é\n\nid: a\0b\ndata: last\n\ndata: cut off"
    ).encode()
    expected = [
        ServerSentEvent("status", "one\ntwo", "7"),
        ServerSentEvent("message", "", "7"),
        ServerSentEvent("message", "\u2028é", "7"),
        ServerSentEvent("message", "last", "7"),
    ]
    for size in (1, 2, 3, 7, len(text)):
        chunks = [text[at : at + size] for at in range(0, len(text), size)]
        assert [found for found in parse(chunks) if found] == expected


def test_every_line_is_a_sign_of_life():
    assert [*parse([b": ping\n", b"\n"])] == [None, None]


def test_a_broken_stream_goes_on_after_the_last_event(api, client, pauses_s):
    status = task()
    separating, done = changed(status, "separating", progress=0.5), changed(status, "succeeded")
    cut = event(separating, "2")[:-1]
    breaks = (
        stream(event(status, "1"), b": ping\n\n", cut),
        reset(),
        problem(503, "reading", [("Retry-After", "2")]),
        stream(event(separating, "2")),
        stream(event(done, "3"), ends=False),
    )
    api.on(path(status), in_turn(*breaks))
    found = [(e.id, e.task.state) for e in client.events(status["task_uuid"])]
    assert found == [("1", "queued"), ("2", "separating"), ("3", "succeeded")]
    sent = [request.headers.get("last-event-id") for request in api.requests()]
    assert sent == [None, "1", "1", "1", "2"]
    assert pauses_s == [0.5, 1, 2, 0.5]


def test_a_stream_ends_where_nothing_more_will_come(api, client):
    status = task()
    api.on(path(status), serve(b"", 204))
    assert [*client.events(status["task_uuid"], "9")] == []
    assert api.requests()[0].headers["last-event-id"] == "9"


def test_text_that_other_line_ends_are_in_is_one_event(api, client):
    status = task("failed", error_message="a\u2028b\x85c")
    api.add(status)
    assert client.wait(status["task_uuid"]).error_message == "a\u2028b\x85c"


@pytest.mark.parametrize(
    ("script", "kind"),
    [
        (problem(404, "There is no such task"), NotFound),
        (problem(429, "Too many failed sign-ins", [("Retry-After", "9")]), TooManyRequests),
        (serve(b"<html>", 200, "text/html"), ServerError),
        (stream(b'event: status\ndata: {"state": 1}\n\n'), ServerError),
        (problem(503, "maintenance", [("Retry-After", "3600")]), Unavailable),
    ],
)
def test_what_another_try_would_not_mend_ends_it(api, client, pauses_s, script, kind):
    status = task()
    api.on(path(status), script)
    with pytest.raises(kind):
        client.wait(status["task_uuid"])
    assert pauses_s == []


def test_an_api_that_stays_away_is_given_up_after_the_outage(api):
    status = task()
    api.on(path(status), in_turn(stream(event(status, "1")), reset()))
    now_s = 0.0

    def sleep(pause_s: float) -> None:
        nonlocal now_s
        now_s += pause_s

    patience = Patience(outage_s=60, sleep=sleep, clock=lambda: now_s)
    with (
        UvrClient(api.url, "admin", "password", patience=patience) as client,
        pytest.raises(Unreachable),
    ):
        client.wait(status["task_uuid"])
    assert 60 < now_s <= 60 + patience.longest_pause_s


@pytest.mark.parametrize("pings", [0, 1000])
def test_a_wait_has_an_end_whether_the_stream_is_silent_or_not(api, pings):
    status = task()
    api.on(path(status), stream(event(status, "1"), *[b": ping\n\n"] * pings, ends=False))
    # With pings the tests' clock advances 1 s each time it is read; without them real time passes.
    timeout_s, patience = (100, impatient()) if pings else (0.2, None)
    with (
        UvrClient(api.url, "admin", "password", patience=patience) as client,
        pytest.raises(WaitTimeout, match="it goes on"),
    ):
        client.wait(status["task_uuid"], timeout_s)


def test_unknown_events_are_passed_over(api, client):
    status = task("failed")
    other = b"event: news\ndata: " + json.dumps({"x": 1}).encode() + b"\n\n"
    api.on(path(status), stream(other, event(status, "1")))
    assert [e.id for e in client.events(status["task_uuid"])] == ["1"]

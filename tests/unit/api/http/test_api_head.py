"""A HEAD gets the head of GET's answer at once, and nothing runs on for the body that nobody gets."""

import asyncio
import base64
import gc
import http.client
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from api.http.middleware import EveryRequest
from api.metrics import ApiMetrics
from common.tasks.messages import PublishedStem, State, Status, SuccessCallback
from tests.support.api.api_server import ApiServer, api_server
from tests.support.waiting import wait_for

PATIENCE_S = 20
DONE, RUNNING = "7c9e6679-7425-40de-944b-e07fc1f90ae7", "7c9e6679-7425-40de-944b-e07fc1f90ae8"
STEM = PublishedStem(url="https://s.example/vocals.wav", sha256="a", bytes=64, duration_s=1)
RESULT = SuccessCallback(task_uuid=DONE, timestamp=1e9, stems={"vocals": STEM}, model="m", device="d")
ARCHIVE, EVENTS = f"/tasks/{DONE}/archive.zip", f"/tasks/{RUNNING}/events"
SIGNED_IN = {"Authorization": "Basic " + base64.b64encode(b"admin:password").decode()}


class StuckReader:
    """A bucket that never gives the stem's bytes."""

    def __init__(self) -> None:
        self.ended = threading.Event()

    def sizes(self, keys):
        return [STEM.bytes]

    def blocks(self, key, size_bytes):
        self.ended.wait(2 * PATIENCE_S)
        yield bytes(size_bytes)


@pytest.fixture(scope="module")
def api() -> Iterator[ApiServer]:
    reader = StuckReader()
    with api_server(s3_bucket_name="bucket") as server:
        about = {"user": "admin", "submitted_at": 1.0, "at": 9.0}
        server.view.tell(
            Status(task_uuid=DONE, state=State.SUCCEEDED, result=RESULT, **about),
            Status(task_uuid=RUNNING, state=State.SEPARATING, **about),
        )
        server.app.state.parts.archives._load = lambda settings: reader
        yield server
        reader.ended.set()


@contextmanager
def connection(api: ApiServer) -> Iterator[http.client.HTTPConnection]:
    client = http.client.HTTPConnection(api.url.removeprefix("http://"), timeout=PATIENCE_S)
    try:
        yield client
    finally:
        client.close()


def ask(client: http.client.HTTPConnection, method: str, path: str) -> http.client.HTTPResponse:
    client.request(method, path, headers=SIGNED_IN)
    answer = client.getresponse()
    if method == "HEAD":
        assert answer.read() == b""
    return answer


@pytest.fixture
def no_collections() -> Iterator[None]:
    """An idle API makes hardly any garbage, so what waits for a collection may wait for hours."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


# The client goes at another moment each time: often while an event is sent, at times while one is waited for.
@pytest.mark.network
@pytest.mark.usefixtures("no_collections")
@pytest.mark.parametrize(
    ("path", "kind", "times"),
    [(ARCHIVE, "application/zip", 3), (EVENTS, "text/event-stream; charset=utf-8", 100)],
)
def test_a_connection_is_free_after_the_head_of_a_stream(api, path, kind, times):
    with connection(api) as client:
        for _ in range(times):
            answer = ask(client, "HEAD", path)
            assert (answer.status, answer.headers["Content-Type"]) == (200, kind)
            socket_before = client.sock
            answer = ask(client, "GET", "/livez")
            assert (answer.status, answer.read() != b"") == (200, True)
            assert client.sock is socket_before is not None
            wait_for(lambda: not api.app.state.parts.archives._users, PATIENCE_S, "a free place")
            wait_for(lambda: not api.view._changes.are_watched, PATIENCE_S, "the end of the watch")


@pytest.mark.network
@pytest.mark.parametrize(
    "path",
    ["/openapi.json", "/docs", "/", "/tasks", f"/tasks/{DONE}", "/nothing", "/uploads/x"],
)
def test_the_head_is_that_of_get(api, path):
    with connection(api) as client:
        head = ask(client, "HEAD", path)
        whole = ask(client, "GET", path)
        body = whole.read()
        assert head.status == whole.status
        assert head.headers.keys() == whole.headers.keys()
        assert head.headers["Content-Length"] == whole.headers["Content-Length"] == str(len(body))


def sent_for(method: str, app) -> list[dict]:
    """What EveryRequest sends to the server for `app`."""
    sent = []

    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "http_version": "1.1", "method": method, "path": "/", "raw_path": b"/"}
    scope |= {"query_string": b"", "headers": [], "client": None}
    asyncio.run(EveryRequest(app, ApiMetrics.create())(scope, receive, send))
    return sent


async def streaming(scope, receive, send):
    assert scope["method"] == "GET"
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    for part in (b"a", b"b", b""):
        await send({"type": "http.response.body", "body": part, "more_body": bool(part)})


async def breaking_off(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    raise RuntimeError("the store has broken off")


def test_the_body_is_left_out_and_the_length_is_kept():
    start, *bodies = sent_for("HEAD", streaming)
    assert (b"content-length", b"2") in start["headers"]
    assert bodies == [{"type": "http.response.body", "body": b"", "more_body": False}]


def test_a_stream_that_breaks_off_after_its_head_leaves_the_connection_open():
    start, body = sent_for("HEAD", breaking_off)
    assert (start["status"], body["more_body"]) == (200, False)
    with pytest.raises(RuntimeError):
        sent_for("GET", breaking_off)


def test_a_stream_that_never_waits_leaves_others_their_turns():
    async def endless(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        async with asyncio.timeout(0.01):
            while True:
                await send({"type": "http.response.body", "body": b"x", "more_body": True})

    assert len(sent_for("HEAD", endless)) == 2

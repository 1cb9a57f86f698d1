"""Connections that come slowly, or go wrong in the middle: ended in time, and no other notices."""

import asyncio
import contextlib
import http.client
import logging
import socket
import threading
from collections.abc import Iterator

import pytest
import uvicorn

from api.app import create_app
from api.http.protocol import GuardedProtocol
from common.settings.schema import ApiSettings
from tests.support.api.api_client import SONG, MemoryPublisher, basic
from tests.support.api.hostile_requests import request
from tests.support.api.stored_view import StoredView
from tests.support.waiting import wait_for

PATIENCE_S = 20
HEAD = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
RIGHT = basic("admin", "password")["Authorization"].encode()


class Impatient(GuardedProtocol):
    head_deadline_s = 0.3


class SlowQueue(MemoryPublisher):
    """Confirms long after the deadline for heads."""

    async def publish(self, task) -> None:
        await super().publish(task)
        await asyncio.sleep(3 * Impatient.head_deadline_s)


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    app = create_app(ApiSettings(auth_failures_per_minute=10_000), SlowQueue(), StoredView())
    config = uvicorn.Config(
        app, http=Impatient, ws="none", log_config=None, access_log=False, server_header=False
    )
    server = uvicorn.Server(config)
    listener = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    wait_for(lambda: server.started, PATIENCE_S, "start of the server")
    yield listener.getsockname()[1]
    server.should_exit = True
    thread.join(PATIENCE_S)


@contextlib.contextmanager
def connected(port: int) -> Iterator[socket.socket]:
    with contextlib.closing(socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S)) as sock:
        yield sock


def answer(sock: socket.socket) -> http.client.HTTPResponse:
    response = http.client.HTTPResponse(sock)
    response.begin()
    response.text = response.read().decode()
    return response


def is_closed(sock: socket.socket) -> bool:
    """Whether the server has closed it: waits for that, and takes no answer for it."""
    with contextlib.suppress(ConnectionResetError):
        return sock.recv(1000) == b""
    return True


def drip(sock: socket.socket, data: bytes, done: threading.Event) -> None:
    with contextlib.suppress(OSError):
        for byte in data * 10_000:
            sock.send(bytes([byte]))
            if done.wait(0.02):
                return


def test_a_connection_that_says_nothing_is_closed(port):
    with connected(port) as sock:
        assert is_closed(sock)


def test_half_a_head_is_408(port):
    with connected(port) as sock:
        sock.sendall(HEAD[:-2])
        late = answer(sock)
        assert (late.status, late.headers["Content-Type"]) == (408, "application/problem+json")
        assert is_closed(sock)


@pytest.mark.parametrize("first", [b"", HEAD])
def test_a_head_that_is_dripped_is_408_also_after_an_answer(port, first):
    done = threading.Event()
    with connected(port) as sock:
        if first:
            sock.sendall(first)
            assert answer(sock).status == 200
        sock.sendall(b"GET /health HTTP/1.1\r\nX-Long: ")
        dripping = threading.Thread(target=drip, args=(sock, b"x", done))
        dripping.start()
        try:
            assert answer(sock).status == 408
        finally:
            done.set()
            dripping.join(PATIENCE_S)


def test_a_body_that_is_dripped_after_its_answer_holds_no_connection(port):
    done = threading.Event()
    with connected(port) as sock:
        sock.sendall(request(b"", auth=None, length=b"100000"))
        assert answer(sock).status == 401
        dripping = threading.Thread(target=drip, args=(sock, b" ", done))
        dripping.start()
        try:
            assert is_closed(sock)
        finally:
            done.set()
            dripping.join(PATIENCE_S)


def test_a_request_may_be_handled_for_longer_than_its_head_may_take(port):
    with connected(port) as sock:
        sock.sendall(request(auth=RIGHT))
        assert answer(sock).status == 200
        sock.sendall(HEAD)
        assert answer(sock).status == 200


def test_requests_in_one_piece_are_all_answered(port):
    with connected(port) as sock:
        sock.sendall(HEAD * 3)
        data = b""
        while data.count(b"healthy") < 3:
            data += sock.recv(10_000)
        assert data.count(b"HTTP/1.1 200 OK") == 3


def test_a_body_that_breaks_after_its_answer_is_closed_without_a_word(port, caplog):
    caplog.set_level(logging.DEBUG)
    with connected(port) as sock:
        sock.sendall(request(b"", b"Transfer-Encoding: chunked", auth=None, length=None))
        assert answer(sock).status == 401
        sock.sendall(b"no chunk\r\n")
        assert is_closed(sock)
    assert not [record for record in caplog.records if record.exc_info or record.levelno >= logging.ERROR]


def test_a_body_that_breaks_while_it_is_read_is_400_and_ends_its_request(port, caplog):
    caplog.set_level(logging.DEBUG)
    with connected(port) as sock:
        expect = (b"Transfer-Encoding: chunked", b"Expect: 100-continue")
        sock.sendall(request(b"", *expect, auth=RIGHT, length=None))
        assert sock.recv(1000).startswith(b"HTTP/1.1 100 ")
        sock.sendall(b"no chunk\r\n")
        assert answer(sock).status == 400
        assert is_closed(sock)
    wait_for(lambda: "POST /generate" in caplog.text, PATIENCE_S, "end of the request")
    assert not [record for record in caplog.records if record.exc_info or record.levelno >= logging.ERROR]


def test_what_it_answers_itself_is_as_safe_as_the_rest(port):
    with connected(port) as sock:
        sock.sendall(b"no HTTP\r\n\r\n")
        refused = answer(sock)
    assert refused.status == 400
    assert refused.headers["X-Content-Type-Options"] == "nosniff"
    assert refused.headers["X-Request-Id"]
    assert "no HTTP" not in refused.text
    assert SONG["audio"] not in refused.text

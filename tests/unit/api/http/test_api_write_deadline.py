"""Clients that do not take their answers: cut off, whatever the answer is, and slow ones are served."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator

import pytest
import uvicorn

from api.http.listener import listen
from api.http.protocol import GuardedProtocol
from common.settings.schema import ApiSettings
from tests.support.waiting import wait_for

PATIENCE_S = 30
LONG = b"x" * 400_000
STATUS_LINE = b"HTTP/1.1 200 OK"
HEAD = b"GET /long HTTP/1.1\r\nHost: localhost\r\n\r\n"


class Impatient(GuardedProtocol):
    head_deadline_s = 0.5
    write_deadline_s = 1.5


async def app(scope, receive, send) -> None:
    """A long answer; `/stream` goes on for long."""
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for _ in range(100 if scope["path"] == "/stream" else 0):
        await send({"type": "http.response.body", "body": LONG, "more_body": True})
    await send({"type": "http.response.body", "body": LONG})


@pytest.fixture(scope="module")
def server() -> Iterator[uvicorn.Server]:
    config = uvicorn.Config(app, http=Impatient, ws="none", lifespan="off", log_config=None, access_log=False)
    server = uvicorn.Server(config)
    server.listener = listen(ApiSettings(api_port=0))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [server.listener]})
    thread.start()
    wait_for(lambda: server.started, PATIENCE_S, "start of the server")
    server.port = server.listener.getsockname()[1]
    yield server
    server.should_exit = True
    thread.join(PATIENCE_S)


@contextlib.contextmanager
def connected(server: uvicorn.Server) -> Iterator[socket.socket]:
    with contextlib.closing(socket.socket()) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.settimeout(PATIENCE_S)
        client.connect(("127.0.0.1", server.port))
        yield client


def read_all(client: socket.socket) -> None:
    while client.recv(1 << 16):
        """What had come before."""


def open_connections(server: uvicorn.Server) -> int:
    return len(server.server_state.connections)


TAKES_NOTHING = [
    HEAD,
    HEAD * 300,
    HEAD.replace(b"long", b"stream"),
    HEAD + b"no HTTP\r\n\r\n",
    HEAD + b"GET /long HTTP/1.1\r\nHost: loc",
    HEAD.replace(b"Host", b"Connection: close\r\nHost"),
    HEAD.replace(b"GET", b"POST").replace(b"Host", b"Content-Length: 99\r\nHost"),
]


@pytest.fixture(scope="module")
def cut_off(server) -> Iterator[dict[bytes, socket.socket]]:
    """The clients that take nothing, cut off by the server: together, since each waits for the deadline."""
    with contextlib.ExitStack() as clients:
        opened = {sent: clients.enter_context(connected(server)) for sent in TAKES_NOTHING}
        for sent, client in opened.items():
            client.sendall(sent)
        wait_for(lambda: open_connections(server) == len(opened), PATIENCE_S, "connections")
        wait_for(lambda: not open_connections(server), PATIENCE_S, "end of the connections")
        yield opened


@pytest.mark.parametrize("sent", TAKES_NOTHING)
def test_whoever_takes_nothing_is_cut_off(cut_off, sent):
    with pytest.raises(ConnectionResetError):
        read_all(cut_off[sent])


def test_who_pipelines_and_does_not_read_gets_one_answer_into_memory(server):
    with connected(server) as client:
        client.sendall(HEAD * 300)
        (connection,) = wait_for(lambda: server.server_state.connections, PATIENCE_S, "connection")
        wait_for(lambda: connection.cycle and connection.cycle.response_complete, PATIENCE_S, "an answer")
        assert connection.transport.get_write_buffer_size() < 1.1 * len(LONG)
        assert not connection.flow.write_paused or connection.cycle.response_complete
    wait_for(lambda: not open_connections(server), PATIENCE_S, "end of the connection")


@pytest.mark.slow
def test_a_slow_reader_gets_the_whole_of_a_long_answer(server):
    """Over more than the deadline: 400 KB at 60 KB a second."""
    began_s, received = time.monotonic(), 0
    with connected(server) as client:
        client.sendall(HEAD.replace(b"Host", b"Connection: close\r\nHost"))
        while piece := client.recv(3000):
            received += len(piece)
            time.sleep(0.05)
    assert received > len(LONG)
    assert time.monotonic() - began_s > 2 * Impatient.write_deadline_s


def test_all_that_was_pipelined_is_answered_to_who_reads(server):
    with connected(server) as client:
        client.sendall(HEAD * 5)
        heads, taken, last = 0, 0, b""
        while heads < 5 or taken < 5 * len(LONG):
            piece = client.recv(1 << 16)
            assert piece
            taken += piece.count(b"x")
            # A head may come in two pieces; of the last piece only as much is kept as holds no whole one.
            heads += (last + piece).count(STATUS_LINE)
            last = (last + piece)[1 - len(STATUS_LINE) :]

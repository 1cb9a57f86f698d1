"""Limits of connections: idle ones make room, those that are served stay, and others hear why not."""

import contextlib
import http.client
import json
import time

from common.tasks.messages import State, Status
from tests.support.api.api_client import basic
from tests.support.api.api_process import PATIENCE_S, api_settings, metrics_of, submit
from tests.support.common.kafka.group import produce
from tests.support.waiting import wait_for

MOST = 5


def connected(port: int, stack: contextlib.ExitStack) -> http.client.HTTPConnection:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    connection.connect()
    return stack.enter_context(contextlib.closing(connection))


def status_of(port: int, stack: contextlib.ExitStack) -> int:
    connection = connected(port, stack)
    connection.request("GET", "/health")
    return connection.getresponse().status


def watch(port: int, task_uuid: str, stack: contextlib.ExitStack) -> http.client.HTTPResponse:
    """A stream of a task's events, of which the first has come."""
    connection = connected(port, stack)
    connection.request("GET", f"/tasks/{task_uuid}/events", headers=basic("admin", "password"))
    stream = connection.getresponse()
    assert stream.status == 200
    while b"queued" not in stream.readline():
        """Comments, and the event's name."""
    return stream


def test_idle_connections_make_room(kafka, stack):
    api = stack.start("api", api_settings(kafka.bootstrap, MAX_CONNECTIONS_PER_ADDRESS=str(MOST)))
    with contextlib.ExitStack() as ending:
        idle = [connected(api.port, ending) for _ in range(3 * MOST)]
        assert status_of(api.port, ending) == 200
        first = idle[0].sock
        with contextlib.suppress(ConnectionResetError):
            assert first.recv(1) == b""


def test_streams_stay_and_who_finds_no_room_hears_why(kafka, stack):
    settings = api_settings(kafka.bootstrap, MAX_CONNECTIONS_PER_ADDRESS=str(MOST))
    api = stack.start("api", settings)
    task_uuid = submit(api.url).json()["task_uuid"]
    with contextlib.ExitStack() as ending:
        streams = [watch(api.port, task_uuid, ending) for _ in range(MOST)]
        refused = connected(api.port, ending)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            refused.request("GET", "/health")
        answer = http.client.HTTPResponse(refused.sock)
        answer.begin()
        assert (answer.status, answer.headers["Content-Type"]) == (503, "application/problem+json")
        assert int(answer.headers["Retry-After"]) > 0
        assert "Too many connections" in json.load(answer)["error"]
        over = Status(task_uuid=task_uuid, user="admin", submitted_at=1.0, state=State.FAILED, at=time.time())
        produce(kafka.bootstrap, settings["KAFKA_STATUS_TOPIC"], over.to_bytes())
        for stream in streams:
            assert b'"state":"failed"' in stream.read()
        wait_for(lambda: api.get("/health"), PATIENCE_S, "room")
        assert 'uvr_connections_ended_total{how="refused",limit="address"}' in metrics_of(api.url)
    assert api.log().count("is refused") == 1

"""What nobody sends in good faith, over a real socket: refused with one status, and nothing told."""

import http.client
import json
import re
import socket
from collections.abc import Iterator
from contextlib import closing, suppress

import pytest

from tests.support.api import hostile_requests
from tests.support.api.api_client import basic
from tests.support.api.api_process import PATIENCE_S, api_settings, submit
from tests.support.api.hostile_requests import PASSWORD, Hostile
from tests.support.stack import Service

RIGHT = basic("admin", PASSWORD)


@pytest.fixture(scope="module")
def api(kafka, module_stack) -> Iterator[Service]:
    settings = api_settings(
        kafka.bootstrap,
        BASIC_AUTH_PASSWORD=PASSWORD,
        AUTH_FAILURES_PER_MINUTE="10000",
        LOG_LEVEL="DEBUG",
    )
    service = module_stack.start("api", settings)
    yield service
    # after all of it: a request of good faith is served, and neither log nor answer told anything
    assert submit(service.url, headers=RIGHT).status == 200
    told = service.log() + service.process.output()
    assert "Traceback" not in told
    assert "TOPSECRET" not in told
    lines = [line for line in told.splitlines() if " api.access " in line]
    assert len(lines) > len(hostile_requests.ALL)
    assert all(re.search(r" request_id=[\w.-]+$", line) for line in lines)
    assert max(map(len, told.splitlines())) < 500


def exchange(port: int, raw: bytes) -> http.client.HTTPResponse:
    """The answer to `raw`, read."""
    with closing(socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S)) as sock:
        with suppress(OSError):  # it may be answered, and closed, before all is sent
            sock.sendall(raw)
        response = http.client.HTTPResponse(sock, method=raw.partition(b" ")[0].decode("latin-1"))
        response.begin()
        response.body = response.read()
        return response


def test_there_are_enough_of_them():
    assert len(hostile_requests.ALL) >= 40


@pytest.mark.parametrize("case", hostile_requests.ALL, ids=lambda case: case.name)
def test_a_hostile_request_has_its_one_answer(api: Service, case: Hostile):
    answer = exchange(api.port, case.raw)
    assert answer.status == case.status, answer.body
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["X-Request-Id"]
    problem = json.loads(answer.body)
    assert problem["status"] == case.status
    assert problem["error"] == problem["detail"] != ""
    assert b"TOPSECRET" not in answer.body
    assert b"Traceback" not in answer.body

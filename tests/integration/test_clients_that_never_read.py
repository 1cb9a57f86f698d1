"""Clients that ask and never read: they cost little, take nobody's turn, and are cut off."""

import contextlib
import http.client
import os
import resource
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.api.api_process import api_settings
from tests.support.paths import REPOSITORY
from tests.support.stack import Service, Stack
from tests.support.waiting import wait_for

PATIENCE_S = 60
CLIENTS = 4000
MAX_MEMORY_MB = 250
# On a machine with nothing else to do it is less than 1 s; without limits it was 26 s.
MAX_ANSWER_S = 10.0
GONE_WITHIN_S = 45


class NeverReaders:
    """A process of clients."""

    def __init__(self, port: int, count: int, path: str):
        arguments = [str(port), str(count), path]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.api.never_reader", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=REPOSITORY,
        )
        self._connected = False

    @property
    def have_connected(self) -> bool:
        if not self._connected and select.select([self._process.stdout], [], [], 0)[0]:
            self._connected = self._process.stdout.readline() == "connected\n"
        return self._connected

    def count_open(self) -> int:
        self._process.stdin.write("?\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def end(self) -> None:
        self._process.kill()
        self._process.communicate()


@contextlib.contextmanager
def never_readers(api: Service, count: int, path: str) -> Iterator[NeverReaders]:
    clients = NeverReaders(api.port, count, path)
    try:
        yield clients
    finally:
        clients.end()


def start(kafka, stack: Stack, most_descriptors: int | None = None, **settings: str) -> Service:
    environment = api_settings(kafka.bootstrap, **settings)
    api = stack.start("api", environment, wait=False)
    if most_descriptors is not None:
        api.kill()
        limited = f'ulimit -n {most_descriptors} && exec "$@"'
        api.process.argv = ["bash", "-c", limited, "-", *api.process.argv]
        api.start()
    api.wait_ready()
    # Only then are the view's file and connections open, which count as well.
    wait_for(lambda: has_caught_up(api), PATIENCE_S, "view that has caught up")
    return api


def has_caught_up(api: Service) -> bool:
    answered = api.get("/readyz")
    return answered is not None and answered[1]["checks"]["view"]["detail"] == "caught up"


def peak_memory_mb(api: Service) -> float:
    lines = Path(f"/proc/{api.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


def answer_s(api: Service) -> float:
    """How long a client of good faith waits."""
    began_s = time.monotonic()
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", api.port, timeout=PATIENCE_S)) as client:
        client.request("GET", "/health")
        assert client.getresponse().status == 200
    return time.monotonic() - began_s


def descriptors(api: Service) -> list[int]:
    return [int(name) for name in os.listdir(f"/proc/{api.pid}/fd")]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("path", "most_descriptors"), [("/openapi.json", None), ("/docs/swagger-ui-bundle.js", 1024)]
)
def test_thousands_cost_little_and_keep_nobody_out(kafka, stack, path, most_descriptors):
    api = start(kafka, stack, most_descriptors)
    before, worst_s = len(descriptors(api)), 0.0
    with never_readers(api, CLIENTS, path) as clients:
        while not clients.have_connected:
            worst_s = max(worst_s, answer_s(api))
        wait_for(lambda: not clients.count_open(), GONE_WITHIN_S, "end of all of them")
        wait_for(lambda: len(descriptors(api)) <= before + 3, PATIENCE_S, "end of their connections here")
    worst_s = max(worst_s, answer_s(api))
    print(f"{path}: {peak_memory_mb(api):.0f} MB, /health within {worst_s:.2f} s")
    assert peak_memory_mb(api) < MAX_MEMORY_MB
    assert worst_s < MAX_ANSWER_S
    log = api.log()
    assert "Traceback" not in log
    warned = [line for line in log.splitlines() if " WARNING " in line and "connection" in line.lower()]
    assert 1 <= len(warned) <= 6
    assert any("ulimit -n" in line for line in warned) is (most_descriptors is not None)


def test_without_descriptors_connections_are_dropped_and_told_of_once(kafka, stack):
    api = start(kafka, stack)
    most = max(descriptors(api)) + 12  # more than its threads may open meanwhile, to read the view
    _, hard = resource.prlimit(api.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(api.pid, resource.RLIMIT_NOFILE, (most, hard))
    with never_readers(api, 40, "/health") as clients:
        wait_for(lambda: clients.have_connected, PATIENCE_S, "connections")
        answered = wait_for(lambda: api.get("/health"), PATIENCE_S, "answer in spite of them")
    assert answered[0] == 200
    lines = [line for line in api.log().splitlines() if "cannot be accepted" in line]
    assert len(lines) == 1
    assert "Traceback" not in api.log() + api.process.output()

"""A pytest plugin: one broker and one store for all tests, started when the first of them asks.

It also gives the processes of a run a directory to share, for models.
"""

import os
import tempfile
import threading
from collections.abc import Callable, Iterator
from multiprocessing.connection import Client, Listener
from pathlib import Path
from typing import Protocol, cast

import pytest

from tests.support import run_directory
from tests.support.common.kafka import own_topics
from tests.support.servers import KafkaAddress, KafkaServer, S3Store, SeaweedServer, given_store

_INPUT = "shared_servers"
_DIRECTORY = "shared_directory"


class Node(Protocol):
    """A process of xdist, as the process that distributes the tests sees it."""

    workerinput: dict[str, object]


class SharedServers:
    """Lives in the process that distributes the tests. A server ends with the thread that started it."""

    def __init__(self) -> None:
        self._directory = tempfile.TemporaryDirectory(prefix="uvr-shared-")
        self._listener = Listener(family="AF_UNIX")
        self._thread = threading.Thread(target=self._serve, name="shared servers", daemon=True)
        self._thread.start()

    def pytest_configure_node(self, node: Node) -> None:
        node.workerinput[_INPUT] = self._listener.address
        node.workerinput[_DIRECTORY] = self._directory.name

    def pytest_unconfigure(self) -> None:
        _ask(cast(str, self._listener.address), None)
        self._thread.join()
        self._directory.cleanup()

    def _serve(self) -> None:
        servers: dict[str, KafkaServer | SeaweedServer] = {}
        with tempfile.TemporaryDirectory(prefix="uvr-shared-servers-") as directory, self._listener:
            while True:
                with self._listener.accept() as connection:
                    wanted = connection.recv()
                    try:
                        answer = _start(wanted, Path(directory), servers) if wanted else None
                    except Exception as error:  # noqa: BLE001 - the loop's edge: whoever asked raises it
                        answer = error
                    connection.send(answer)
                if wanted is None:
                    break
            for server in servers.values():
                server.kill()


def _start(
    wanted: str, directory: Path, servers: dict[str, KafkaServer | SeaweedServer]
) -> KafkaAddress | S3Store:
    if wanted not in servers:
        (directory / wanted).mkdir(exist_ok=True)
        server = _MAKERS[wanted](directory / wanted)
        server.start()
        servers[wanted] = server  # last: whoever asks after a failed start gets another one
    return servers[wanted].address


_MAKERS: dict[str, Callable[[Path], KafkaServer | SeaweedServer]] = {
    "kafka": KafkaServer,
    "store": SeaweedServer,
}


@pytest.fixture(scope="session")
def kafka(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaAddress]:
    """A broker for the whole session (`.bootstrap`): use topics and groups of your own, never kill it."""
    if given := os.environ.get("TEST_KAFKA_BOOTSTRAP"):
        own_topics.share(given)
        yield KafkaAddress(given)
    elif shared := cast(KafkaAddress | None, _shared(request.config, "kafka")):
        own_topics.share(shared.bootstrap)
        yield shared
    else:
        server = KafkaServer(tmp_path_factory.mktemp("kafka"))
        own_topics.share(server.bootstrap)
        yield from _own(server)


@pytest.fixture(scope="session")
def s3_store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Store]:
    """A store for the whole session: `.endpoint_url`, keys, `.bucket`, `.client()`, `.environment()`."""
    if given := os.environ.get("TEST_S3_ENDPOINT_URL"):
        yield given_store(given)
    elif shared := _shared(request.config, "store"):
        yield cast(S3Store, shared)
    else:
        yield from _own(SeaweedServer(tmp_path_factory.mktemp("store")))


def _own(server: KafkaServer | SeaweedServer) -> Iterator[KafkaAddress | S3Store]:
    """For one process of tests alone."""
    try:
        server.start()
        yield server.address
    finally:
        server.kill()


def _shared(config: pytest.Config, wanted: str) -> object:
    workerinput = getattr(config, "workerinput", None)
    return _ask(workerinput[_INPUT], wanted) if workerinput else None


def _ask(address: str, wanted: str | None) -> object:
    with Client(address, family="AF_UNIX") as connection:
        connection.send(wanted)
        answer = connection.recv()
    if isinstance(answer, Exception):
        raise answer
    return answer


def pytest_configure(config: pytest.Config) -> None:
    if hasattr(config, "workerinput"):
        run_directory.share(Path(config.workerinput[_DIRECTORY]))
    elif config.getoption("numprocesses", None):
        config.pluginmanager.register(SharedServers())

"""The servers that tests share. One that does not start fails the tests: none skips."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.processor.centre_model import write_centre_model
from tests.support.servers import KafkaAddress, KafkaServer, S3Store, SeaweedServer, given_store
from tests.support.stack import Stack

# Some tests import onnxruntime by the library alone; the processor's package sets this for its own imports.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"


pytest_plugins = ["tests.support.complete_run"]


def pytest_sessionfinish(session: pytest.Session) -> None:
    """In CI a skipped test is a failure: it would hide that something was not tested."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CI") and reporter is not None and reporter.stats.get("skipped"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaAddress]:
    """A broker for the whole session (`.bootstrap`): use topics and groups of your own, never kill it."""
    given = os.environ.get("TEST_KAFKA_BOOTSTRAP")
    if given:
        yield KafkaAddress(given)
        return
    server = KafkaServer(tmp_path_factory.mktemp("kafka"))
    try:
        server.start()
        yield KafkaAddress(server.bootstrap)
    finally:
        server.kill()


@pytest.fixture
def own_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], KafkaServer]]:
    """Makes started brokers of a test's own: `.bootstrap`, `.kill()`, `.start()`, `.freeze()`, `.thaw()`."""
    servers: list[KafkaServer] = []

    def make() -> KafkaServer:
        server = KafkaServer(tmp_path_factory.mktemp("own-kafka"))
        servers.append(server)
        server.start()
        return server

    yield make
    for server in servers:
        server.kill()


@pytest.fixture(scope="session")
def s3_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Store]:
    """A store for the whole session: `.endpoint_url`, keys, `.bucket`, `.client()`, `.environment()`."""
    given = os.environ.get("TEST_S3_ENDPOINT_URL")
    if given:
        yield given_store(given)
        return
    server = SeaweedServer(tmp_path_factory.mktemp("store"))
    try:
        server.start()
        yield server.address
    finally:
        server.kill()


@pytest.fixture
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Starts the services' real processes; whatever still runs at the end is killed."""
    services = Stack(tmp_path_factory.mktemp("stack"))
    yield services
    services.kill_all()


@pytest.fixture(scope="module")
def module_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """`stack` for a whole module."""
    services = Stack(tmp_path_factory.mktemp("module-stack"))
    yield services
    services.kill_all()


@pytest.fixture(scope="session")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model directory with `centre` in it; `spleeter-2stems` is made there by whoever needs it first."""
    directory = tmp_path_factory.mktemp("models")
    write_centre_model(directory)
    return directory

"""The servers that tests share. One that does not start fails the tests: none skips."""

import gc
import os
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from processor import child_process
from tests.support import one_loader
from tests.support.processor import forked_children, plain_librosa
from tests.support.processor.models import centre_directory
from tests.support.servers import KafkaServer
from tests.support.stack import Stack

# Some tests import onnxruntime by the library alone; the processor's package sets this for its own imports.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

_UNIT_TESTS = Path(__file__).parent / "unit"

pytest_plugins = [
    "tests.support.class_archive",
    "tests.support.common.kafka.own_topics",
    "tests.support.complete_run",
    "tests.support.shared_servers",
]


def pytest_configure() -> None:
    forked_children.install({})
    one_loader.install()
    plain_librosa.install()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection() -> Iterator[None]:
    """Keeps modules and tests, which live to the end, out of garbage collections.

    The collector would look at them again and again, which takes a fifth of the CPU time.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.collect()
        gc.freeze()
        # Little is left, so the collector would look at all of it after every few apps that tests make.
        gc.set_threshold(20_000, 10, 10)
        gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks with `kafka` whatever uses a broker, so that `-m "not kafka"` runs where none can be had.

    Puts files with slow tests first: when several processes share out the files, none is left to run alone.
    The soak's two tests take longer than any other file, so it is the first. Unit tests compute and others
    wait, so their files alternate.
    """
    slow = Counter(item.path for item in items if item.get_closest_marker("slow"))
    items.sort(key=lambda item: (item.path.name != "test_soak.py", -slow[item.path]))
    files = list(dict.fromkeys(item.path for item in items))
    units = [file for file in files if _UNIT_TESTS in file.parents]
    others = [file for file in files if _UNIT_TESTS not in file.parents]
    place = {
        file: (at / len(group), group is units) for group in (others, units) for at, file in enumerate(group)
    }
    items.sort(key=lambda item: place[item.path])
    for item in items:
        if {"kafka", "own_kafka"} & {*getattr(item, "fixturenames", ())}:
            item.add_marker(pytest.mark.kafka)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """In CI a skipped test is a failure: it would hide that something was not tested."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CI") and reporter is not None and reporter.stats.get("skipped"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture
def no_forks(monkeypatch: pytest.MonkeyPatch) -> None:
    """This process starts the processor's children as the product does, without the fork server."""
    monkeypatch.setattr(child_process, "spawn", forked_children.own_spawn)


@pytest.fixture(scope="module")
def module_brokers() -> Iterator[list[KafkaServer]]:
    """The brokers that `own_kafka` has made for the tests of a module."""
    servers: list[KafkaServer] = []
    yield servers
    for server in servers:
        server.kill()


@pytest.fixture
def own_kafka(
    module_brokers: list[KafkaServer], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[], KafkaServer]:
    """Makes started brokers of a test's own: `.bootstrap`, `.kill()`, `.start()`, `.freeze()`, `.thaw()`.

    The next test of the module gets the same ones, up again, with what is in them.
    """
    waiting = module_brokers.copy()

    def make() -> KafkaServer:
        if waiting:
            server = waiting.pop(0)
            if server.process.returncode is not None:
                server.start()
            server.thaw()
            return server
        server = KafkaServer(tmp_path_factory.mktemp("own-kafka"))
        module_brokers.append(server)
        server.start()
        return server

    return make


@pytest.fixture
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Starts the services' real processes; whatever still runs at the end is killed."""
    services = Stack(tmp_path_factory.mktemp("stack"), forked=True)
    yield services
    services.kill_all()


@pytest.fixture(scope="module")
def module_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """`stack` for a whole module."""
    services = Stack(tmp_path_factory.mktemp("module-stack"), forked=True)
    yield services
    services.kill_all()


@pytest.fixture(scope="session")
def model_dir() -> Path:
    """A model directory with `centre` in it; `spleeter-2stems` is made there by whoever needs it first."""
    return centre_directory()

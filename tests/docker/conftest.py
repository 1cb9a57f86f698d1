"""Provides one Docker engine with images for all tests of this folder."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from local import broker
from tests.docker import stand_ins
from tests.docker.debian_root import unpacked_root, why_not
from tests.docker.engine import Engine
from tests.docker.project import Project
from tests.support.paths import REPOSITORY
from tests.support.processor.models import copy_prepared_centre


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    reason = why_not()
    for item in items:
        if "tests/docker/" in item.nodeid:
            item.add_marker(pytest.mark.docker)
            # The first test that needs the engine also makes a Debian root and the images.
            item.add_marker(pytest.mark.timeout(900))
            if reason:
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    """Yields a started engine with stand-ins for the images. The tests run in the engine's network.

    The engine ends with its module, because tests of other modules need this machine's network.
    """
    cache = broker.default_cache().resolve()
    made = Engine(unpacked_root(cache), [REPOSITORY, *_outside_of(REPOSITORY, Path(sys.prefix), cache)])
    try:
        made.start()
        stand_ins.make(made)
        # Before the network: the process that forks others is made here, and serves later modules too.
        copy_prepared_centre(made.models)
        with made.network():
            yield made
    finally:
        made.stop()


def _outside_of(directory: Path, *others: Path) -> list[Path]:
    return [other for other in others if not other.is_relative_to(directory)]


@pytest.fixture(scope="module")
def project(engine: Engine) -> Project:
    """Returns a checkout for Compose, with nothing started."""
    return Project(engine)

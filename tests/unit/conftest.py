"""What several of the unit tests' modules share."""

import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tests.support.api.stored_view import StoredView
from tests.support.api.users import write_users
from tests.support.client.fake_api import FakeApi
from tests.support.client.impatient import impatient
from tests.support.common.worker.committer_harness import Harness
from uvr_client.command import app

NOISY = ("kafka", "urllib3", "botocore", "boto3", "s3transfer")


@pytest.fixture
def log_dir(tmp_path):
    """A directory to configure logs into; the logging of the tests themselves is put back."""
    loggers = [logging.getLogger(), *map(logging.getLogger, NOISY)]
    before = [(logger, logger.handlers[:], logger.level, logger.propagate) for logger in loggers]
    yield tmp_path / "logs"
    for handler in logging.getLogger().handlers:
        if handler not in before[0][1]:
            handler.close()
    for logger, handlers, level, propagate in before:
        logger.handlers[:], logger.propagate = handlers, propagate
        logger.setLevel(level)


@pytest.fixture(autouse=True)
def views_are_released():
    """Those that the test has made; a module's own stay."""
    before = set(StoredView.made)
    yield
    for view in set(StoredView.made) - before:
        view.release()


@pytest.fixture
def harness():
    made: list[Harness] = []

    def make(*args, **kwargs) -> Harness:
        made.append(Harness(*args, **kwargs))
        made[-1].committer.start()
        return made[-1]

    yield make
    for one in made:
        one.committer.stop(1)


@pytest.fixture
def fake_api() -> Iterator[FakeApi]:
    with FakeApi() as api:
        yield api


@pytest.fixture
def uvr_environment(fake_api, tmp_path) -> dict[str, str]:
    return {
        "UVR_URL": fake_api.url,
        "UVR_USERNAME": "admin",
        "UVR_PASSWORD": "password",
        "XDG_CONFIG_HOME": str(tmp_path),
    }


@pytest.fixture
def uvr(uvr_environment) -> Callable[..., Result]:
    """Runs the command with `fake_api`; what is given by name goes into its environment."""

    def run(*arguments: str, **environment: str) -> Result:
        return CliRunner().invoke(app, arguments, obj=impatient(), env=uvr_environment | environment)

    return run


@pytest.fixture(scope="session")
def three_users(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BASIC_AUTH_USERS_FILE with alice, bob and root, whose passwords are `password`."""
    path = tmp_path_factory.mktemp("users") / "users"
    return write_users(path, alice="password", bob="password", root="password")

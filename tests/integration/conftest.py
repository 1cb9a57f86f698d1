"""Topics and clients of a test's own on the session's broker, and what most tests of the console need."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.api.api_server import ApiServer, api_server
from tests.support.browser import Browser, browser
from tests.support.common.kafka.group import Lab, Register, closing_all
from tests.support.console import need_console, settings
from tests.support.servers import KafkaAddress, S3Store


@pytest.fixture
def lab(kafka: KafkaAddress) -> Lab:
    return Lab(kafka.bootstrap)


@pytest.fixture
def closing() -> Iterator[Register]:
    """Takes clients that are closed at the test's end, last first."""
    with closing_all() as register:
        yield register


@pytest.fixture(scope="module")
def module_chrome(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """For tests of the console. Others have one of their own."""
    need_console()
    with browser(tmp_path_factory.mktemp("profile"), "--window-size=1200,900", "--lang=en") as started:
        yield started


@pytest.fixture
def chrome(module_chrome: Browser) -> Iterator[Browser]:
    """The module's browser. A tab that stayed open would play, draw and ask on during the next tests."""
    yield module_chrome
    module_chrome.close_tabs()


@pytest.fixture
def api(s3_store: S3Store, tmp_path: Path) -> Iterator[ApiServer]:
    """One with a store, in this process. No worker, and no broker, is behind it."""
    with api_server(**settings(s3_store, tmp_path)) as server:
        yield server

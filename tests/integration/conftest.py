"""Topics and clients of a test's own, on the session's broker."""

from collections.abc import Iterator

import pytest

from tests.support.common.kafka.group import Lab, Register, closing_all
from tests.support.servers import KafkaAddress


@pytest.fixture
def lab(kafka: KafkaAddress) -> Lab:
    return Lab(kafka.bootstrap)


@pytest.fixture
def closing() -> Iterator[Register]:
    """Takes clients that are closed at the test's end, last first."""
    with closing_all() as register:
        yield register

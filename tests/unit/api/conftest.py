"""What several tests of the api share."""

from collections.abc import Iterator

import pytest

from tests.support.api.api_client import ApiClient


@pytest.fixture(scope="module")
def refusing() -> Iterator[ApiClient]:
    """An api that refuses all that a module's tests send it, so that it stays as it was."""
    client = ApiClient()
    yield client
    client.view.release()

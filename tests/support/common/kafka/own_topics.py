"""A pytest plugin: when the tests of a file have ended, it deletes their topics from the shared broker.

Each service that starts, and many a reader, asks for all topics of the broker. Without this plugin each of
these answers would grow with each test that has run before.
"""

import contextlib
import re
from uuid import uuid4

import pytest
from kafka import KafkaAdminClient
from kafka.errors import KafkaError

_TAG = re.compile("-([0-9a-f]{8})(_|$)")
_tags: dict[str, set[str]] = {}
_shared: set[str] = set()


def new_tag(bootstrap: str) -> str:
    """Return what the names of a test's topics at this broker end with, after a dash; a lane may follow."""
    tag = uuid4().hex[:8]
    _tags.setdefault(bootstrap, set()).add(tag)
    return tag


def share(bootstrap: str) -> None:
    """Says that this broker outlives the tests of a file."""
    _shared.add(bootstrap)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    yield
    # Whatever a file has started is gone now. After the last test the broker may be, too.
    if nextitem is not None and nextitem.path != item.path:
        for bootstrap in _shared & _tags.keys():
            _delete(bootstrap, _tags.pop(bootstrap))


def _admin(bootstrap: str) -> contextlib.closing[KafkaAdminClient]:
    return contextlib.closing(KafkaAdminClient(bootstrap_servers=bootstrap))


def _delete(bootstrap: str, tags: set[str]) -> None:
    # What stays only costs time.
    with contextlib.suppress(KafkaError), _admin(bootstrap) as admin:
        ours = [name for name in admin.list_topics() if (m := _TAG.search(name)) and m[1] in tags]
        if ours:
            admin.delete_topics(ours, raise_errors=False)

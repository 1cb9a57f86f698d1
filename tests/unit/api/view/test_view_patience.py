"""Who asks for a task that the view cannot tell in time hears what it waits for."""

import asyncio
from uuid import UUID

import pytest
from kafka import TopicPartition

from api.view.task_view import ViewUnavailable
from tests.support.api.stored_view import StoredView

# So long the file is read even on a busy machine.
_LONG_S = 1.0


def why(view: StoredView, patience_s: float = 0.05) -> str:
    with pytest.raises(ViewUnavailable) as caught:
        asyncio.run(view.find(UUID(int=1), patience_s))
    return str(caught.value)


def test_kafka_that_does_not_tell_where_its_topics_end():
    view = StoredView()
    view.ends.now = lambda: asyncio.sleep(60)
    assert why(view, _LONG_S) == "Kafka has not answered in time"


def test_records_that_came_meanwhile():
    view = StoredView()

    async def one_more():
        return {TopicPartition("tasks", 0): 1}

    view.ends.now = one_more
    assert why(view, _LONG_S) == "the latest records are still to be read"


def test_records_that_are_known_to_be_left():
    assert why(StoredView(caught_up=False)).endswith("records are still to be read")


def test_a_feed_that_is_away():
    view = StoredView()
    view.ends.now = lambda: asyncio.sleep(60)
    view.feed.reason = "Kafka is away"
    assert why(view) == "Kafka is away"

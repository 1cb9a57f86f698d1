import asyncio
import gc
import threading
from typing import Any

import pytest
from kafka.errors import KafkaConnectionError

from api.view.topic_ends import TopicEnds


def test_an_error_that_comes_after_its_request_is_over_is_no_error_of_the_loop():
    go_on, logged = threading.Event(), []

    def connect() -> Any:
        go_on.wait()
        raise KafkaConnectionError("away")

    async def ask() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: logged.append(context))
        ends = TopicEnds(connect, ["uvr_tasks"])
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(ends.now(), 0.01)
        later = asyncio.ensure_future(ends.now())
        await asyncio.sleep(0)
        go_on.set()
        with pytest.raises(KafkaConnectionError):
            await later
        ends.close()

    asyncio.run(ask())
    gc.collect()
    assert logged == []

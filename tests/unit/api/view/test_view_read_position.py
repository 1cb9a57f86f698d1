"""The read position: the feed rests only while nobody waits for the view."""

import asyncio
import threading

from kafka import TopicPartition

from api.view.read_position import ReadPosition

PARTITION = TopicPartition("uvr_tasks", 0)
LONG_S = 600
PATIENCE_S = 20


def caught_up() -> ReadPosition:
    position = ReadPosition()
    position.begin({PARTITION: 0}, is_new=True)
    position.reach({PARTITION: 0})
    return position


def test_a_rest_ends_as_soon_as_somebody_waits():
    position = caught_up()
    resting = threading.Thread(target=position.rest, args=(LONG_S,), daemon=True)
    resting.start()

    async def wait() -> None:
        async with asyncio.timeout(PATIENCE_S):
            waiting = asyncio.create_task(position.wait_for({PARTITION: 1}))
            await asyncio.to_thread(resting.join, PATIENCE_S)
            position.reach({PARTITION: 1})
            await waiting

    asyncio.run(wait())
    assert not resting.is_alive()


def test_there_is_no_rest_while_somebody_waits():
    position = caught_up()

    async def wait() -> None:
        async with asyncio.timeout(PATIENCE_S):
            waiting = asyncio.create_task(position.wait_for({PARTITION: 1}))
            while not position.is_awaited:
                await asyncio.sleep(0)
            await asyncio.to_thread(position.rest, LONG_S)
            position.reach({PARTITION: 1})
            await waiting

    asyncio.run(wait())


def test_there_is_no_rest_before_the_view_has_caught_up():
    position = ReadPosition()
    position.begin({PARTITION: 1}, is_new=True)
    resting = threading.Thread(target=position.rest, args=(LONG_S,), daemon=True)
    resting.start()
    resting.join(PATIENCE_S)
    assert not resting.is_alive()

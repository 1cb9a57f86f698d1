"""When the reading of a long body ends because of its client."""

import asyncio
from typing import Any

import pytest
from fastapi import Request

from api.http.pace import PacedBody
from api.http.straight_body import READ_INTO
from api.problems import ProblemError

SPAN_S = 0.05


def read(messages: list[Any], min_bytes_per_s: int = 0, slow_taker: bool = False) -> bytes:
    """Returns the body. A number among the messages is a pause in spans; after the last one nothing comes."""

    async def receive() -> Any:
        while messages and isinstance(messages[0], int | float):
            await asyncio.sleep(messages.pop(0) * SPAN_S)
        if not messages:
            await asyncio.Event().wait()
        return messages.pop(0)

    async def body() -> bytes:
        found = b""
        async for piece in PacedBody(Request({"type": "http"}, receive), min_bytes_per_s, SPAN_S).pieces():
            found += piece
            if slow_taker:
                await asyncio.sleep(2 * SPAN_S)
        return found

    return asyncio.run(body())


def piece(body: bytes, more: bool = True) -> dict[str, Any]:
    return {"type": "http.request", "body": body, "more_body": more}


def test_the_whole_body_comes_however_long_its_taker_needs():
    assert read([piece(b"a"), piece(b"b", more=False)], 1_000_000, slow_taker=True) == b"ab"


@pytest.mark.parametrize(
    ("messages", "min_bytes_per_s", "status"),
    [
        ([piece(b"a")], 0, 408),  # nothing more comes
        ([piece(b"a" * 10)], 1_000_000, 408),
        ([piece(b"a"), {"type": "http.disconnect"}], 0, 400),
    ],
)
def test_a_client_that_stalls_is_slow_or_goes_is_told(messages, min_bytes_per_s, status):
    with pytest.raises(ProblemError) as caught:
        read(messages, min_bytes_per_s)
    assert caught.value.status == status


def test_a_pause_that_is_shorter_than_the_span_is_none():
    assert read([piece(b"a"), 0.5, piece(b"b", more=False)], 1) == b"ab"


def straight(counts: list[int], min_bytes_per_s: int) -> int:
    """Returns how many bytes came straight: each count after half a span, and nothing after the last one."""

    async def read_into(room: memoryview, timeout_s: float) -> int:
        await asyncio.sleep(min(timeout_s, SPAN_S / 2 if counts else timeout_s))
        return counts.pop(0) if counts else 0

    async def body() -> int:
        paced = PacedBody(Request({"type": "http", READ_INTO: read_into}), min_bytes_per_s, SPAN_S)
        found = await paced.read_into(memoryview(bytearray(100)))
        while counts:
            found += await paced.read_into(memoryview(bytearray(100)))
        return found

    return asyncio.run(body())


def test_bytes_that_come_straight_count_for_the_pace():
    assert straight([50] * 8, min_bytes_per_s=100) == 400


@pytest.mark.parametrize(("counts", "min_bytes_per_s"), [([], 0), ([0] * 8, 0), ([50] * 8, 3000)])
def test_a_client_that_stalls_or_is_slow_while_its_bytes_come_straight_is_told(counts, min_bytes_per_s):
    with pytest.raises(ProblemError) as caught:
        straight(counts, min_bytes_per_s)
    assert caught.value.status == 408


def test_without_a_straight_way_nothing_comes_by_it():
    paced = PacedBody(Request({"type": "http"}), 0)
    assert asyncio.run(paced.read_into(memoryview(bytearray(1)))) == 0

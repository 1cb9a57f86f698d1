"""Measures an api with many open event streams: how soon they show a task's end, and how fast it takes tasks.

All tasks end at once, which is the worst case for an api. Submissions come by several connections at a time,
with and without open streams, in random order.
"""

import asyncio
import contextlib
import itertools
import json
import resource
import statistics
import time
from collections.abc import Sequence
from uuid import UUID

from kafka import KafkaProducer

from bench.report import Row, Target, compare
from bench.setup import Bench, Sizes, kafka
from bench.submissions import SUBMISSION
from common.tasks.messages import State, Status
from tests.support.api.api_client import basic
from tests.support.api.api_process import api_settings
from tests.support.stack import Stack

_CONNECTIONS = 8
_PATIENCE_S = 120
_HEADERS = "".join(f"{name}: {value}\r\n" for name, value in basic("admin", "password").items())


def run(bench: Bench) -> None:
    _allow_descriptors(2 * bench.sizes.streams + 500)
    stack = Stack(bench.scratch("streams"))
    alone, beside, worst_s = [], [], []
    with kafka(bench) as bootstrap, contextlib.ExitStack() as ending:
        ending.callback(stack.kill_all)
        settings = api_settings(bootstrap)
        port = stack.start("api", settings).port
        measured = _Streams(bootstrap, settings["KAFKA_STATUS_TOPIC"], port, bench.sizes)
        asyncio.run(measured.alone())  # to warm the api up
        for _ in range(bench.sizes.repeats):
            for side in bench.shuffle.sample(("alone", "beside"), 2):
                if side == "alone":
                    alone.append(asyncio.run(measured.alone()))
                else:
                    rate, delay_s = asyncio.run(measured.beside())
                    beside.append(rate)
                    worst_s.append(delay_s)
    count, worst = bench.sizes.streams, max(worst_s)
    what = f"{count} streams, all tasks end at once: the last stream shows it after"
    bench.add(Row("streams", what, "s", worst, worst, target=Target("at most", 1)))
    ours, other = statistics.median(beside), statistics.median(alone)
    what, rival = f"submissions beside {count} open streams", "without a stream"
    bench.add(compare("streams", what, "/s", ours, other, rival, Target("at least", 0.8)))


class _Streams:
    """The clients of one api."""

    def __init__(self, bootstrap: str, status_topic: str, port: int, sizes: Sizes):
        self._port, self._sizes, self._topic = port, sizes, status_topic
        self._producer = KafkaProducer(bootstrap_servers=bootstrap, acks="all")

    async def alone(self) -> float:
        """Return submissions per second without streams."""
        async with asyncio.timeout(_PATIENCE_S):
            rate, _ = await self._submit(self._sizes.submissions)
        return rate

    async def beside(self) -> tuple[float, float]:
        """Return submissions per second beside open streams, and the slowest stream's delay.

        The delay is the seconds from the sending of a task's end until its stream shows it.
        """
        async with asyncio.timeout(_PATIENCE_S):
            _, tasks = await self._submit(self._sizes.streams)
            streams = [await self._open(task_uuid) for task_uuid in tasks]
            rate, _ = await self._submit(self._sizes.submissions)
            ends = asyncio.gather(*(_end(reader) for reader, _ in streams))
            sent_s = await asyncio.to_thread(self._send_ends, tasks)
            seen_s = await ends
            for _, writer in streams:
                writer.close()
        return rate, max(seen - sent for seen, sent in zip(seen_s, sent_s, strict=True))

    async def _submit(self, count: int) -> tuple[float, Sequence[UUID]]:
        shares = [count // _CONNECTIONS + (n < count % _CONNECTIONS) for n in range(_CONNECTIONS)]
        began_s = time.monotonic()
        tasks = await asyncio.gather(*(self._submit_one_by_one(share) for share in shares))
        return count / (time.monotonic() - began_s), list(itertools.chain(*tasks))

    async def _submit_one_by_one(self, count: int) -> list[UUID]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        tasks = []
        for _ in range(count):
            writer.write(SUBMISSION)
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            body = await reader.readexactly(int(head.split("content-length: ")[1].split("\r\n")[0]))
            tasks.append(UUID(json.loads(body)["task_uuid"]))
        writer.close()
        return tasks

    async def _open(self, task_uuid: UUID) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Open a stream and wait for its first event."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        writer.write(f"GET /tasks/{task_uuid}/events HTTP/1.1\r\nHost: 127.0.0.1\r\n{_HEADERS}\r\n".encode())
        assert await _next_state(reader) == State.QUEUED
        return reader, writer

    def _send_ends(self, tasks: Sequence[UUID]) -> list[float]:
        """Publish the end of each task; return when each was sent."""
        sent_s = []
        for task_uuid in tasks:
            now_s = time.time()
            over = Status(task_uuid=task_uuid, user="admin", submitted_at=now_s, state=State.FAILED, at=now_s)
            sent_s.append(time.monotonic())
            self._producer.send(self._topic, over.to_bytes(), key=str(task_uuid).encode())
        self._producer.flush()
        return sent_s


async def _end(reader: asyncio.StreamReader) -> float:
    while not State(await _next_state(reader)).is_final:
        pass
    return time.monotonic()


async def _next_state(reader: asyncio.StreamReader) -> str:
    while not (line := await reader.readline()).startswith(b"data: "):
        assert line, "the stream has ended too early"
    return json.loads(line.removeprefix(b"data: "))["state"]


def _allow_descriptors(count: int) -> None:
    """Raise the limit of open files for this process and for the api, which inherits it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < count:
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, max(hard, count)))

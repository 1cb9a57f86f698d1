"""Measures how fast a new api reads the records of many tasks, its memory, and how soon it answers then.

Half of the tasks have ended, and their records hold a result.
"""

import contextlib
import http.client
import random
import re
import time
from collections.abc import Iterator
from uuid import UUID

from kafka import KafkaProducer

from api.view.merge import of_task
from bench.report import Row, Target
from bench.setup import Bench, kafka
from common.tasks.messages import PublishedStem, State, Status, SuccessCallback, Task
from tests.support.api.api_client import basic
from tests.support.api.api_process import api_settings
from tests.support.stack import Service, Stack
from tests.support.waiting import wait_for

_ASKED = 2000
_PATIENCE_S = 1200
_LINK = "https://store.example.com/stems/{}/1/{}.wav?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Signature={}"


def run(bench: Bench) -> None:
    count = bench.sizes.view_tasks
    stack = Stack(bench.scratch("view"))
    with kafka(bench) as bootstrap, contextlib.closing(_Api(stack, api_settings(bootstrap))) as api:
        api.make_topics()
        records = api.fill(count)
        read, took_s = api.read_all(records)
        rate, target = read / took_s, Target("at least", 5000)
        bench.add(Row("view", f"{read} of {records} records read", "/s", rate, rate, target=target))
        for what, paths in (("a task", api.tasks()), ("a page of 50", api.pages(count))):
            p99_ms = api.ask(paths)
            bench.add(Row("view", f"{what}, p99", "ms", p99_ms, p99_ms, target=Target("at most", 10)))
        mib = api.peak_mib()
        bench.add(Row("view", f"api with {count} tasks", "MiB", mib, mib, target=Target("at most", 300)))


def left_to_read(detail: str) -> int:
    """Return how many records the api says that its view is behind; 0 if it says something else."""
    found = re.fullmatch(r"catching up: (\d+) records behind", detail)
    return int(found[1]) if found else 0


class _Api:
    """An api and its topics."""

    def __init__(self, stack: Stack, settings: dict[str, str]):
        self._stack, self._settings = stack, settings
        self._random = random.Random(1)
        self._uuids: list[UUID] = []
        self._service: Service | None = None

    def make_topics(self) -> None:
        self._stack.start("api", self._settings).stop()

    def fill(self, count: int) -> int:
        """Publish the records of `count` tasks; return how many records that makes."""
        producer = KafkaProducer(
            bootstrap_servers=self._settings["KAFKA_BOOTSTRAP_SERVERS"], linger_ms=20, batch_size=1 << 18
        )
        records = 0
        for number in range(count):
            task_uuid = UUID(int=self._random.getrandbits(128))
            self._uuids.append(task_uuid)
            task = Task(
                task_uuid=task_uuid,
                audio="https://example.com/song.mp3",
                hook_url="https://example.com/hook",
                submitted_at=float(number),
                user="admin",
            )
            key = str(task_uuid).encode()
            producer.send(self._settings["KAFKA_TASK_TOPIC"], task.to_bytes(), key=key)
            records += 1
            if number % 2:
                over = self._over(task).to_bytes()
                producer.send(self._settings["KAFKA_STATUS_TOPIC"], over, key=key)
                records += 1
        producer.close()
        return records

    def read_all(self, records: int) -> tuple[int, float]:
        """Start an api; return how many of the records its view still had to read, and in how many seconds.

        The view begins to read before the api answers. So only what is left at the first answer counts, or
        everything since the process's start where nothing is left by then.
        """
        started_s = time.monotonic()
        self._service = self._stack.start("api", self._settings)
        detail, began_s = self._view_detail(), time.monotonic()
        wait_for(self._is_read, _PATIENCE_S, "end of the topics")
        ended_s = time.monotonic()
        if left := left_to_read(detail):
            return left, ended_s - began_s
        return records, ended_s - started_s

    def tasks(self) -> Iterator[str]:
        return (f"/tasks/{self._random.choice(self._uuids)}" for _ in range(_ASKED))

    def pages(self, count: int) -> Iterator[str]:
        """Yield pages at any depth of the list."""
        for _ in range(_ASKED):
            state = self._random.choice(("", "&state=queued", "&state=succeeded"))
            yield f"/tasks?limit=50&submitted_before={self._random.randrange(count)}{state}"

    def ask(self, paths: Iterator[str]) -> float:
        """Ask for one path after the other; return the 99th percentile of the answers' times in ms."""
        connection = http.client.HTTPConnection("127.0.0.1", self._service.port, timeout=60)
        took_s = []
        for path in paths:
            began_s = time.perf_counter()
            connection.request("GET", path, headers=basic("admin", "password"))
            answer = connection.getresponse()
            answer.read()
            took_s.append(time.perf_counter() - began_s)
            assert answer.status == 200, (path, answer.status)
        connection.close()
        return 1000 * sorted(took_s)[len(took_s) * 99 // 100]

    def peak_mib(self) -> float:
        with open(f"/proc/{self._service.pid}/status") as status:
            return next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmHWM"))

    def close(self) -> None:
        self._stack.kill_all()

    def _is_read(self) -> bool:
        time.sleep(0.5)  # each question slows the reading
        return self._view_detail() == "caught up"

    def _view_detail(self) -> str:
        answer = self._service.get("/readyz")
        return answer[1]["checks"]["view"]["detail"] if answer else ""

    def _over(self, task: Task) -> Status:
        links = {
            name: _LINK.format(task.task_uuid, name, f"{self._random.getrandbits(256):064x}")
            for name in ("vocals", "instrumental")
        }
        stems = {n: PublishedStem(url=u, sha256="0" * 64, bytes=1, duration_s=1.0) for n, u in links.items()}
        result = SuccessCallback(
            task_uuid=task.task_uuid, timestamp=1.0, **links, stems=stems, model="m", device="cpu"
        )
        states = list(State)[:7]
        changes = {"state": State.SUCCEEDED, "result": result, "times": dict.fromkeys(states, 1.5)}
        return of_task(task).model_copy(update=changes)

"""Sleepers of one lab and the journal that they share, and a watch over what their group commits."""

import contextlib
import json
import threading
import time
from collections.abc import Iterable
from types import TracebackType

from kafka import KafkaConsumer
from kafka.errors import KafkaError

from common.kafka import clients
from common.worker import committed_state
from common.worker.committed_state import CommittedState
from tests.support.common.kafka.group import Lab
from tests.support.stack import Service, Stack
from tests.support.waiting import wait_for

SLEEPER = "tests.support.common.worker.sleeper"


class Sleepers:
    """Starts sleepers of one lab; all write to one journal."""

    def __init__(self, stack: Stack, lab: Lab, **settings: str):
        """`settings` are those of every sleeper that is started."""
        self.stack, self.lab, self.settings = stack, lab, settings
        self.journal = stack.directory / f"journal-{lab.settings.kafka_group_id}"

    def start(self, worker_id: str = "w0", wait: bool = True, **settings: str) -> Service:
        environment = {**self.lab.environment, "SLEEPER_LOG": str(self.journal), "WORKER_ID": worker_id}
        return self.stack.start(SLEEPER, {**environment, **self.settings, **settings}, wait=wait)

    def events(self) -> list[dict]:
        """Starts and ends of jobs, in the order in which they were written."""
        lines = self.journal.read_text().splitlines() if self.journal.exists() else []
        return [json.loads(line) for line in lines]

    def ends(self) -> list[dict]:
        return [e for e in self.events() if e["event"] == "end"]

    def starts(self, worker_id: str | None = None) -> list[dict]:
        return [e for e in self.events() if e["event"] == "start" and worker_id in (None, e["worker"])]

    def wait_for_starts(self, count: int, worker_id: str | None = None, timeout_s: float = 60) -> list[dict]:
        """Waits for `count` started jobs, of all or of one worker."""
        what = f"{count} started jobs of {worker_id or 'all'}"
        return wait_for(lambda: s if len(s := self.starts(worker_id)) >= count else None, timeout_s, what)

    def attempts(self, number: int) -> list[tuple[str, int]]:
        """Worker and attempt of each start of one job."""
        return [(e["worker"], e["attempt"]) for e in self.starts() if e["i"] == number]

    def most_at_once(self, number: int) -> int:
        """In how many places one job has run at the same time."""
        return self._most(event for event in self.events() if event["i"] == number)

    def most_at_once_of(self, worker_id: str) -> int:
        """How many jobs one worker has run at the same time."""
        return self._most(event for event in self.events() if event["worker"] == worker_id)

    @staticmethod
    def _most(events: Iterable[dict]) -> int:
        running = most = 0
        for event in events:
            running += 1 if event["event"] == "start" else -1
            most = max(most, running)
        return most


class OffsetWatch:
    """Reads a lab's committed offsets over and over; at its end fails if any has ever gone back.

    Nor may a record be undone that was done: the metadata is read with the offset.
    """

    def __init__(self, lab: Lab):
        self._lab = lab
        self.samples = 0
        self.faults: list[str] = []
        self._last = {lab.partition(n): CommittedState() for n in range(lab.partition_count)}
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="offset watch", daemon=True)

    def __enter__(self) -> "OffsetWatch":
        settings = self._lab.settings
        self._consumer = KafkaConsumer(
            bootstrap_servers=settings.kafka_bootstrap_servers,
            group_id=settings.kafka_group_id,
            isolation_level="read_committed",
            enable_auto_commit=False,
            reconnect_backoff_max_ms=1000,
        )
        self._thread.start()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stopped.set()
        self._thread.join()
        clients.close_consumer(self._consumer)
        if error is None:
            assert self.samples > 0
            assert self.faults == []

    def _watch(self) -> None:
        while not self._stopped.wait(0.2):
            for partition in self._last:
                # A broker that is away, or an open transaction that it waits for, delays a sample.
                with contextlib.suppress(KafkaError):
                    found = self._consumer.committed(partition, metadata=True, timeout_ms=2000)
                    self._compare(partition, committed_state.decode(found))

    def _compare(self, partition, found: CommittedState) -> None:
        last, self._last[partition] = self._last[partition], found
        self.samples += 1
        undone = [o for o in range(last.next_offset) if last.is_done(o) and not found.is_done(o)]
        if found.offset < last.offset or undone:
            self.faults.append(f"{time.time():.3f} {partition}: {last} became {found}")


def job(number: int, seconds: float, **more: object) -> dict:
    return {"i": number, "s": seconds, **more}


def wait_for_freeze(worker: Service) -> None:
    """Waits until a failpoint has stopped the process."""
    wait_for(worker.process.stands_still, 60, "freeze at the failpoint")

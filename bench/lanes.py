"""Measures lanes on a real broker: the wait of an urgent song, and each lane's share of a full backlog.

The jobs take no time. While all workers are held up by a job at a gate, the backlog becomes ready.
"""

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench.report import Row, Target
from bench.setup import Bench
from common.kafka import lanes
from common.kafka.lanes import HIGHEST, LOWEST, PRIORITIES, WEIGHTS
from tests.support.api.api_process import metrics_of
from tests.support.common.kafka.group import Lab
from tests.support.common.observability.exposition import Exposition
from tests.support.common.worker.sleepers import Sleepers, job
from tests.support.stack import Service, Stack
from tests.support.waiting import wait_for

WORKERS = (1, 2, 3, 4)
# As many as the most workers, so that each has one of every lane.
PARTITIONS = 4
WAITING, STARTS = 1000, 1000
# Each lane has about twice its share of all starts, so that none runs empty.
BACKLOG = {priority: 2 * STARTS * weight // 31 for priority, weight in WEIGHTS.items()}
URGENT = 10_000
AT_ONCE = Target("at most", 0)
SHARES = Target("at most", 0.1)
LOWEST_WAIT = Target("at most", 31)


def measure(bench: Bench, bootstrap: str) -> None:
    for count in WORKERS[:1] if bench.sizes.is_quick else WORKERS:
        workers = f"{count} workers" if count > 1 else "1 worker"
        before = _before_urgent(bench, bootstrap, count)
        what = f"an urgent song behind {WAITING}, {workers}: its worker's starts before it"
        bench.add(Row("worker", what, "starts", before, before, target=AT_ONCE))
        share, wait = _shares(bench, bootstrap, count)
        what = f"five full lanes, {workers}: the share that differs most from its weight's"
        bench.add(Row("worker", what, "", share, share, target=SHARES))
        what = f"five full lanes, {workers}: the longest wait of lane {LOWEST}"
        bench.add(Row("worker", what, "starts", wait, wait, target=LOWEST_WAIT))


def _before_urgent(bench: Bench, bootstrap: str, count: int) -> int:
    """Return how many jobs a worker begins, at most, before its urgent one that came last."""
    with held_up(bench, bootstrap, count) as held:
        held.feed(3, range(WAITING))
        held.feed(HIGHEST, range(URGENT, URGENT + PARTITIONS))
        held.wait_until_ready({HIGHEST: PARTITIONS})
        held.open_gate()
        return max(_position_of_urgent(held, worker) for worker in held.names)


def _position_of_urgent(held: "HeldUp", worker: str) -> int:
    def position() -> int | None:
        numbers = [start["i"] for start in held.starts_of(worker)]
        return next((at + 1 for at, number in enumerate(numbers) if number >= URGENT), None)

    return wait_for(position, 60, f"the urgent job of {worker}") - 1


def _shares(bench: Bench, bootstrap: str, count: int) -> tuple[float, int]:
    """Return the largest deviation of a lane's share, and the longest wait of the lowest lane in starts."""
    with held_up(bench, bootstrap, count) as held:
        for priority, waiting in BACKLOG.items():
            held.feed(priority, range(waiting))
        held.wait_until_ready({priority: PARTITIONS for priority in PRIORITIES})
        held.open_gate()
        wait_for(lambda: len(held.starts()) >= STARTS, 300, f"{STARTS} starts")
        begun = held.starts()[:STARTS]
        counts = Counter(held.priority_of[start["topic"]] for start in begun)
        whole = sum(WEIGHTS.values())
        share = max(abs(counts[p] * whole / (STARTS * weight) - 1) for p, weight in WEIGHTS.items())
        lowest = lanes.topic(held.lab.settings.kafka_task_topic, LOWEST)
        waits = [longest_wait([s["topic"] for s in begun if s["worker"] == w], lowest) for w in held.names]
        return share, max(waits)


def longest_wait(begun: Sequence[str], lowest: str) -> int:
    """Return after how many starts, at most, the lane `lowest` had its next one."""
    at = [0, *(number for number, topic in enumerate(begun, 1) if topic == lowest), len(begun)]
    return max(later - earlier for earlier, later in itertools.pairwise(at))


@contextmanager
def held_up(bench: Bench, bootstrap: str, count: int) -> Iterator["HeldUp"]:
    """Start workers, and end them also where their start fails or is interrupted."""
    stack = Stack(bench.scratch("lanes"))
    try:
        held = HeldUp(stack, bootstrap, count)
        held.start()
        yield held
    finally:
        stack.kill_all()


class HeldUp:
    """Workers with one slot each, in which a job waits at a gate."""

    def __init__(self, stack: Stack, bootstrap: str, count: int):
        self.lab = Lab(bootstrap, PARTITIONS)
        self._gate: Path = stack.directory / "gate"
        self._sleepers = Sleepers(stack, self.lab, PROCESSOR_SLOTS="1")
        self.names = [f"w{number}" for number in range(count)]
        topic = self.lab.settings.kafka_task_topic
        self.priority_of = {lanes.topic(topic, priority): priority for priority in PRIORITIES}
        self._services: list[Service] = []

    def start(self) -> None:
        self.lab.feed(job(-1, 0, gate=str(self._gate)) for _ in range(PARTITIONS))
        self._services = [self._sleepers.start(name, wait=False) for name in self.names]
        for service in self._services:
            service.wait_ready()
        wait_for(
            lambda: {s["worker"] for s in self._sleepers.starts()} == set(self.names), 60, "busy workers"
        )

    def feed(self, priority: int, numbers: Iterable[int]) -> None:
        self.lab.feed((job(number, 0, p=priority) for number in numbers), priority=priority)

    def wait_until_ready(self, least: dict[int, int]) -> None:
        """Wait until at least so many records of each lane are ready, and some of each at every worker."""

        def is_ready() -> bool:
            found = [Exposition(metrics_of(service.url)) for service in self._services]
            by_lane = {p: [one.value("uvr_jobs_ready", priority=str(p)) for one in found] for p in least}
            return all(min(counts) and sum(counts) >= least[p] for p, counts in by_lane.items())

        wait_for(is_ready, 60, f"ready records: {least}")

    def open_gate(self) -> None:
        self._gate.touch()

    def starts(self) -> list[dict]:
        """Return the jobs that were begun, in order, without each worker's first one, at the gate."""
        met: set[str] = set()
        found = []
        for start in self._sleepers.starts():
            if start["worker"] in met:
                found.append(start)
            met.add(start["worker"])
        return found

    def starts_of(self, worker: str) -> list[dict]:
        return [start for start in self.starts() if start["worker"] == worker]

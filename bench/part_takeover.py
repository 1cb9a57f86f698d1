"""Measures how long 108 partitions lack a worker when one of two workers stops, is killed or restarts."""

import signal
import statistics
from collections.abc import Callable

from bench.report import Row, Target
from bench.setup import Bench, kafka
from tests.support.common.worker.takeover import SESSION_S, Takeover
from tests.support.stack import Service, Stack


def run(bench: Bench) -> None:
    ways: dict[str, tuple[Callable[[Service], None], float]] = {
        "stopped, taken over": (lambda worker: worker.process.signal(signal.SIGTERM), 3),
        "killed, taken over": (Service.kill, SESSION_S + 8),
        "killed and started again": (_restart, 3),
    }
    with kafka(bench) as bootstrap:
        for what, (event, limit_s) in ways.items():
            took_s = [_measure(bench, bootstrap, event) for _ in range(bench.sizes.repeats)]
            target = Target("at most", limit_s)
            bench.add(Row("takeover", what, "s", statistics.median(took_s), max(took_s), target=target))
    bench.note(f"takeover: median, and as the figure the worst; session time-out {SESSION_S:g} s")


def _measure(bench: Bench, bootstrap: str, event: Callable[[Service], None]) -> float:
    stack = Stack(bench.scratch("takeover"))
    try:
        takeover = Takeover(bootstrap, stack)
        first, _ = takeover.pair()
        return takeover.measure(lambda: event(first))
    finally:
        stack.kill_all()


def _restart(worker: Service) -> None:
    worker.kill()
    worker.start()

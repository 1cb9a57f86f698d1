"""Measures the share of a core that each idle service takes, including its children."""

import contextlib
import statistics
import time

import psutil

from bench.report import Row, Target
from bench.setup import MODEL, Bench, kafka, store
from tests.support.stack import Stack
from tests.support.trio import Trio


def run(bench: Bench) -> None:
    stack = Stack(bench.scratch("idle"))
    with kafka(bench) as bootstrap, store(bench) as s3, contextlib.ExitStack() as ending:
        ending.callback(stack.kill_all)
        trio = Trio(stack, bootstrap, s3, bench.model_dir, MODEL_NAME=MODEL, DEVICE="cpu")
        ending.callback(trio.close)
        trio.start()
        shares: dict[str, list[float]] = {name: [] for name in trio.services}
        for _ in range(bench.sizes.repeats):
            before = {name: _cpu_s(service.pid) for name, service in trio.services.items()}
            began_s = time.monotonic()
            time.sleep(bench.sizes.idle_s)
            took_s = time.monotonic() - began_s
            for name, service in trio.services.items():
                shares[name].append((_cpu_s(service.pid) - before[name]) / took_s)
    for name, found in shares.items():
        percent = 100 * statistics.median(found)
        what = f"{name}, of a core in {bench.sizes.idle_s:g} s"
        bench.add(Row("idle", what, "%", percent, percent, target=Target("at most", 2)))


def _cpu_s(pid: int) -> float:
    process = psutil.Process(pid)
    times = [each.cpu_times() for each in (process, *process.children(recursive=True))]
    return sum(each.user + each.system for each in times)

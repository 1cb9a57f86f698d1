"""Counts rebalances of the group during jobs of ten times the poll interval."""

from bench.report import Row, Target
from bench.setup import Bench, kafka
from tests.support.common.kafka.group import Lab
from tests.support.common.worker.sleepers import Sleepers, job
from tests.support.stack import Stack

_TIMES = 10
_SPARE_S = 60
_SLOTS = 2


def run(bench: Bench) -> None:
    interval_ms = bench.sizes.poll_interval_ms
    job_s = _TIMES * interval_ms / 1000
    stack = Stack(bench.scratch("long-jobs"))
    with kafka(bench) as bootstrap:
        try:
            sleepers = Sleepers(stack, Lab(bootstrap, _SLOTS))
            interval = {"KAFKA_PROCESSOR_MAX_POLL_INTERVAL_MS": str(interval_ms)}
            worker = sleepers.start(PROCESSOR_SLOTS=str(_SLOTS), **interval)
            sleepers.lab.feed(job(number, job_s) for number in range(_SLOTS))
            results = sleepers.lab.wait_for_results(_SLOTS, job_s + _SPARE_S)
            log = worker.log()
        finally:
            stack.kill_all()
    if begun_again := [result for result in results if result["attempt"] > 1]:
        raise RuntimeError(f"jobs that took more than one attempt: {begun_again}")
    # The words that KAFKA_CONSUMER.md tells operators to search for.
    rebalances = log.count("rebalance") + log.count("max.poll.interval.ms exceeded")
    what = f"rebalances in jobs of {job_s:g} s, poll interval {interval_ms} ms"
    bench.add(Row("long_jobs", what, "", rebalances, rebalances, target=Target("at most", 0)))

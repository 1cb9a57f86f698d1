"""Measures jobs per second of 1 to 8 processors on one topic, with a stand-in engine that sleeps."""

import time
from collections.abc import Sequence
from pathlib import Path
from uuid import uuid4

from bench.engine_spans import MEASURED_PROCESSOR, Span, spans
from bench.report import Target, compare
from bench.setup import Bench, kafka
from bench.songs import song
from common.tasks.messages import Task, decode_result
from tests.support.common.kafka.group import Lab
from tests.support.http_server import ScriptedServer, serve
from tests.support.stack import Stack
from tests.support.waiting import wait_for

# Each processor gets the same number, however the group assigns them.
_PARTITIONS_EACH = 2
_SONG_S = 1
_SPARE_S = 240


def run(bench: Bench) -> None:
    rates: dict[int, float] = {}
    with kafka(bench) as bootstrap, ScriptedServer() as host:
        url = host.on("/song.flac", serve(song(bench.directory, _SONG_S).read_bytes()))
        for count in bench.sizes.processors:
            rates[count] = _rate(bench, bootstrap, host.origin, url, count)
            bench.add(
                compare(
                    "scaling",
                    f"{count} at work, engine sleeps {bench.sizes.engine_sleep_s:g} s",
                    "jobs/s",
                    rates[count],
                    rates[min(rates)],
                    f"{min(rates)} processor",
                    Target("at least", 7.0) if count == 8 else None,
                )
            )


def _rate(bench: Bench, bootstrap: str, origin: str, url: str, count: int) -> float:
    lab = Lab(bootstrap, _PARTITIONS_EACH * count)
    stack = Stack(bench.scratch("scaling"))
    noted = [stack.directory / f"spans-{number}" for number in range(count)]
    settings = {
        **lab.environment,
        "ENGINE_SLEEP_S": str(bench.sizes.engine_sleep_s),
        "TRUSTED_URL_PREFIXES": origin,
    }
    jobs = count * bench.sizes.jobs_per_processor
    tasks = [
        Task(task_uuid=uuid4(), audio=url, hook_url=url, submitted_at=time.time()).to_bytes()
        for _ in range(jobs)
    ]
    try:
        for path in noted:
            stack.start(MEASURED_PROCESSOR, {**settings, "ENGINE_SPANS": str(path)}, wait=False)
        for service in stack.services:
            service.wait_ready(_SPARE_S)
        lab.feed(tasks)
        _await_results(lab, noted, jobs, _SPARE_S + jobs * bench.sizes.engine_sleep_s)
    finally:
        stack.kill_all()
    return steady_rate([spans(path) for path in noted])


def _await_results(lab: Lab, noted: Sequence[Path], jobs: int, timeout_s: float) -> None:
    wait_for(lambda: sum(len(spans(path)) for path in noted) >= jobs, timeout_s, f"{jobs} separated songs")
    topic = lab.settings.kafka_result_topic
    results = wait_for(
        lambda: found if len(found := lab.records(topic)) >= jobs else None, 60, f"{jobs} results"
    )
    failed = [record.value for record in results if decode_result(record.value).status != "success"]
    if failed or len(results) != jobs:
        raise RuntimeError(f"{len(results)} results for {jobs} jobs, failed: {failed[:1]}")


def steady_rate(workers: Sequence[Sequence[Span]]) -> float:
    """Return the jobs per second while all workers are busy.

    That time begins when the last worker begins its first job, and ends when the first worker ends its last.
    A job that is partly in that time counts for that part. Raises ValueError where the time is empty.
    """
    begin = max(min(job[0] for job in jobs) for jobs in workers)
    end = min(max(job[1] for job in jobs) for jobs in workers)
    if end <= begin:
        raise ValueError("the workers were never all busy: give each more jobs")
    done = sum(
        max(0.0, min(end, until) - max(begin, since)) / (until - since)
        for jobs in workers
        for since, until in jobs
    )
    return done / (end - begin)

"""A process that owns a processor's handler and runs bad jobs through it, two at a time.

    python -m tests.support.processor.bad_jobs DIRECTORY KINDS_FILE COUNT

KINDS_FILE holds a JSON list of [origin, path, expected code]; jobs take them in turn. DIRECTORY gets `temp`
and `stage`. Decoders are forks, as in a processor. One of `FRESH` is a fresh interpreter instead, which a
processor starts while it has no process that forks.

Prints a JSON line for each job, {"job", "code", "expected"}, and after every hundredth, once nothing runs,
{"jobs", "descriptors", "rss_bytes", "children"}. The process that forks is not among the children; its own
are.
"""

import ctypes
import gc
import itertools
import json
import logging
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

from common.errors import JobError
from common.kafka.records import Record
from common.outbound.addresses import AddressPolicy, parse_origin
from common.outbound.guarded_session import OutboundNetwork
from common.storage.stage import LocalStage
from common.tasks.messages import Task
from processor.audio.prepare import AudioLimits
from processor.audio.transfer import DownloadLimits
from processor.child_process import Channel, Child, spawn_for_song
from processor.fork_server import ForkServer
from processor.handler import ProcessorConfig, ProcessorHandler
from tests.support.common.worker.fakes import FakeContext, given_up, run, statuses
from tests.support.waiting import wait_for

FRESH = 10
_SLOTS = 2
_LIMITS = DownloadLimits(max_bytes=1 << 20, deadline_s=120)


class NoEngine:
    """No bad job gets as far."""

    def separate(self, source, target_dir, check, on_progress):
        raise AssertionError(f"{source} came through")


def main(directory: Path, kinds: list[list[str]], count: int) -> None:
    logging.disable()
    origins = frozenset(parse_origin(origin) for origin, path, code in kinds if origin)
    network = OutboundNetwork(AddressPolicy(frozenset({80, 443}), origins), _resolve)
    config = ProcessorConfig("results", directory / "temp", 3, _LIMITS, AudioLimits(60, 8))
    forks = ForkServer()
    forks.start()
    wait_for(lambda: forks.pid, 60, "a process that forks")
    numbers = itertools.count()

    def spawn(module: str, arguments: list[str]) -> tuple[Child, Channel]:
        return (forks.spawn if next(numbers) % FRESH else spawn_for_song)(module, arguments)

    stage = LocalStage(directory / "stage")
    handler = ProcessorHandler(config, network, NoEngine(), stage, statuses(), spawn=spawn)
    with ThreadPoolExecutor(_SLOTS) as slots:
        for start in range(0, count, 100):
            jobs = range(start, min(start + 100, count))
            for line in slots.map(lambda job: _run(handler, job, *kinds[job % len(kinds)]), jobs):
                print(json.dumps(line), flush=True)
            _tell_usage(jobs.stop, forks)
    forks.stop()


def _resolve(host: str, port: int) -> list[str]:
    return ["10.0.0.1"] if host == "inside.test" else [host]


def _run(handler: ProcessorHandler, job: int, origin: str, path: str, expected: str) -> dict:
    task = Task(task_uuid=uuid4(), audio=origin + path, hook_url="http://hook.test/", submitted_at=0.0)
    record, context = Record("tasks", 0, job, b"key", task.to_bytes()), FakeContext()
    try:
        run(handler, record, context)
        code = "none"
    except JobError as error:
        code = error.code
        given_up(handler, record, error, context)
    return {"job": job, "code": code, "expected": expected}


def _tell_usage(jobs: int, forks: ForkServer) -> None:
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)  # what the allocator merely keeps for later says nothing
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    usage = {
        "jobs": jobs,
        "descriptors": len(os.listdir("/proc/self/fd")),
        "rss_bytes": pages * os.sysconf("SC_PAGE_SIZE"),
        "children": _children("self") - 1 + _children(forks.pid),
    }
    print(json.dumps(usage), flush=True)


def _children(pid: int | str | None) -> int:
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return sum(len(children.read_text().split()) for children in tasks)


if __name__ == "__main__":
    main(Path(sys.argv[1]), json.loads(Path(sys.argv[2]).read_text()), int(sys.argv[3]))

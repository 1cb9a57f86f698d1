"""Compares a song's whole way with a stage in the bucket (STAGE=s3) and with one in a directory."""

import contextlib
import statistics
import time
from pathlib import Path

from bench.report import Target, compare
from bench.setup import MODEL, Bench, kafka, store
from bench.songs import song
from tests.support.servers import S3Store
from tests.support.stack import Stack
from tests.support.trio import Trio

_STAGES = ("s3", "path")
_TIMEOUT_S = 600


def run(bench: Bench) -> None:
    with kafka(bench) as bootstrap, store(bench) as s3, contextlib.ExitStack() as ending:
        trios = {stage: _trio(bench, bootstrap, s3, stage, ending) for stage in _STAGES}
        for seconds in bench.sizes.service_songs:
            _compare(bench, trios, seconds)


def _trio(bench: Bench, bootstrap: str, s3: S3Store, stage: str, ending: contextlib.ExitStack) -> Trio:
    stack = Stack(bench.scratch(f"stage-{stage}"))
    ending.callback(stack.kill_all)
    trio = Trio(stack, bootstrap, s3, bench.model_dir, MODEL_NAME=MODEL, DEVICE=bench.device, STAGE=stage)
    ending.callback(trio.close)
    return trio.start()


def _compare(bench: Bench, trios: dict[str, Trio], seconds: float) -> None:
    """Let both take turns for `repeats` rounds, after a short song to warm them."""
    for trio in trios.values():
        _took_s(trio, song(bench.directory, 3))
    took_s: dict[str, list[float]] = {stage: [] for stage in _STAGES}
    for _ in range(bench.sizes.repeats):
        for stage in bench.shuffle.sample(_STAGES, len(_STAGES)):
            took_s[stage].append(_took_s(trios[stage], song(bench.directory, seconds)))
    ours, other = (statistics.median(took_s[stage]) for stage in _STAGES)
    target = Target("at most", 1.1) if seconds >= 240 else None
    bench.add(compare("stage", f"a {seconds:g} s song with STAGE=s3", "s", ours, other, "STAGE=path", target))


def _took_s(trio: Trio, source: Path) -> float:
    """Return the seconds from a song's submission to its callback."""
    url = trio.song(source.read_bytes(), source.name)
    began_s = time.monotonic()
    body = trio.wait_for_callback(trio.submit(url), _TIMEOUT_S).json
    if body["status"] != "success":
        raise RuntimeError(f"a job of the bench failed: {body}")
    return time.monotonic() - began_s

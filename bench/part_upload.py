"""Compares a song's upload by a form with `curl -T` straight into the store, and measures the api's RSS.

Both take turns, with the same store. RSS is that of the api's process, above what it has after a small song.
"""

import contextlib
import shutil
import statistics
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from bench.report import Row, Target, compare
from bench.setup import Bench, kafka, store
from tests.support.api.api_process import api_settings
from tests.support.servers import S3Store
from tests.support.stack import Service, Stack

_MB = 1e6
_STRAIGHT = "curl -T into the store"


def run(bench: Bench) -> None:
    if not shutil.which("curl"):
        bench.note("upload: no curl here")
        return
    directory, size = bench.scratch("upload"), bench.sizes.transfer_bytes
    small, large = directory / "small.wav", directory / "large.wav"
    for path, length in ((small, 100_000), (large, size)):
        with open("/dev/urandom", "rb") as source:
            path.write_bytes(source.read(length))
    stack = Stack(bench.scratch("upload-api"))
    with kafka(bench) as bootstrap, store(bench) as s3, contextlib.ExitStack() as ending:
        ending.callback(stack.kill_all)
        api = stack.start("api", api_settings(bootstrap, **s3.environment()))
        _by_form(api, small)
        idle_bytes = psutil.Process(api.pid).memory_info().rss
        rates: dict[str, list[float]] = {"ours": [], _STRAIGHT: []}
        with _peak_rss(api.pid) as peak:
            for round_number in range(bench.sizes.repeats):
                for name in bench.shuffle.sample(list(rates), len(rates)):
                    began_s = time.monotonic()
                    _by_form(api, large) if name == "ours" else _straight(s3, large, f"turn-{round_number}")
                    rates[name].append(size / _MB / (time.monotonic() - began_s))
    ours, other = (statistics.median(rates[name]) for name in ("ours", _STRAIGHT))
    what = f"form, {size >> 20} MiB"
    bench.add(compare("upload", what, "MB/s", ours, other, _STRAIGHT, Target("at least", 0.8)))
    above = (peak[0] - idle_bytes) / _MB
    bench.add(Row("upload", "the api's RSS above idle", "MB", above, above, target=Target("at most", 30)))


def _by_form(api: Service, song: Path) -> None:
    _curl("-u", "admin:password", "-F", f"audio=@{song}", f"{api.url}/generate")


def _straight(s3: S3Store, song: Path, key: str) -> None:
    target = {"Bucket": s3.bucket, "Key": key}
    _curl("-T", str(song), s3.client().generate_presigned_url("put_object", Params=target))


def _curl(*arguments: str) -> None:
    subprocess.run(["curl", "-sS", "--fail", "-o", "/dev/null", *arguments], check=True, timeout=600)


@contextlib.contextmanager
def _peak_rss(pid: int) -> Iterator[list[int]]:
    """Yields a list whose one number is the most that the process had, in bytes."""
    peak, process, done = [0], psutil.Process(pid), threading.Event()

    def watch() -> None:
        while not done.wait(0.02):
            peak[0] = max(peak[0], process.memory_info().rss)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield peak
    finally:
        done.set()
        watcher.join()

"""Compares our download with curl and `requests`, and our upload with the store's client, over loopback."""

import contextlib
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import requests

from bench.report import compare
from bench.setup import Bench, store
from common.outbound.addresses import AddressPolicy, parse_origin
from common.outbound.guarded_session import OutboundNetwork
from common.settings.schema import UploaderSettings
from processor.audio.download import download
from processor.audio.transfer import DownloadLimits
from tests.support.servers import S3Store
from tests.support.uploader.staged import announced
from uploader.storage import Storage

_MB = 1e6
_LIMITS = DownloadLimits(max_bytes=1 << 40, deadline_s=600)


def run(bench: Bench) -> None:
    _download(bench)
    with store(bench) as s3:
        for size in bench.sizes.upload_bytes:
            _upload(bench, s3, size)


def _download(bench: Bench) -> None:
    directory = bench.scratch("served")
    size = bench.sizes.transfer_bytes
    _random_file(directory / "song.wav", size)
    with _file_server(directory) as origin:
        url = f"{origin}/song.wav"
        network = OutboundNetwork(AddressPolicy(frozenset(), frozenset({parse_origin(origin)})))
        ways: dict[str, Callable[[Path], object]] = {
            "ours": lambda target: download(url, target, _LIMITS, network, lambda: None),
            "requests": lambda target: _with_requests(url, target),
        }
        if shutil.which("curl"):
            ways["curl"] = lambda target: _with_curl(url, target)
        else:
            bench.note("transfer: no curl here")
        rates = _rates(bench, ways, size)
    for other in [name for name in ways if name != "ours"]:
        bench.add(
            compare("transfer", f"download, {size >> 20} MiB", "MB/s", rates["ours"], rates[other], other)
        )


def _upload(bench: Bench, s3: S3Store, size: int) -> None:
    source = bench.scratch("stem") / "stem.wav"
    _random_file(source, size)
    with _environment(s3.environment()):
        storage = Storage(UploaderSettings())
    client = s3.client()
    ways: dict[str, Callable[[Path], object]] = {
        "ours": lambda target: storage.put_file(announced(source), f"bench/{target.name}", lambda: None),
        "boto3 upload_file": lambda target: client.upload_file(
            str(source), s3.bucket, f"bench/{target.name}"
        ),
    }
    rates = _rates(bench, ways, size)
    (ours, other) = rates.values()
    bench.add(compare("transfer", f"upload, {size >> 20} MiB", "MB/s", ours, other, "boto3 upload_file"))


def _rates(bench: Bench, ways: Mapping[str, Callable[[Path], object]], size: int) -> dict[str, float]:
    """Return the median MB/s of each way, taken in random order after a first round that does not count."""
    took_s: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(2 * bench.sizes.repeats):
        for name in bench.shuffle.sample(list(ways), len(ways)):
            target = bench.scratch("transfer")
            began_s = time.monotonic()
            ways[name](target)
            if number:
                took_s[name].append(time.monotonic() - began_s)
            for path in target.iterdir():
                path.unlink()
    return {name: size / _MB / statistics.median(values) for name, values in took_s.items()}


def _with_requests(url: str, target: Path) -> None:
    with requests.get(url, stream=True, timeout=30) as answer, (target / "song").open("wb") as file:
        answer.raise_for_status()
        for piece in answer.iter_content(1 << 20):
            file.write(piece)


def _with_curl(url: str, target: Path) -> None:
    argv = ["curl", "--silent", "--show-error", "--fail", "--noproxy", "*", "-o", str(target / "song"), url]
    subprocess.run(argv, check=True, timeout=600)


@contextlib.contextmanager
def _file_server(directory: Path) -> Iterator[str]:
    argv = [sys.executable, "-m", "bench.file_server", str(directory)]
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
    try:
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
    finally:
        process.kill()
        process.communicate()


@contextlib.contextmanager
def _environment(settings: Mapping[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(settings)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _random_file(path: Path, size: int) -> None:
    block = os.urandom(1 << 20)
    with path.open("wb") as file:
        for _ in range(size >> 20):
            file.write(block)

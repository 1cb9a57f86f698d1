"""Collects the evidence after a soak: from Kafka, the receiver, the store, the disks and the logs."""

import hashlib
import re
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import requests

from soak.batch_sender import TakenBatch
from soak.house import Happened, House
from soak.ledger import Ledger
from soak.outside import Callback
from soak.plan import Plan
from tests.support.waiting import below

_ATTEMPT = re.compile(r"^(\S+ \S+) .*\[([0-9a-f-]{36})\] task taken, attempt (\d+)(?: request_id=\S+)?$")
_GRACE_IS_OVER = re.compile(r"^(\S+ \S+) .*grace is over: \d+ jobs cancelled")
_GETTERS = 8


@dataclass(frozen=True)
class Attempt:
    """An attempt at a task by a processor's log; `at_s` is in seconds since the epoch."""

    task_uuid: str
    number: int
    worker: str
    at_s: float


@dataclass(frozen=True)
class Overstay:
    """A worker's log line that its jobs took longer than the grace of its stop."""

    worker: str
    at_s: float


@dataclass(frozen=True)
class Evidence:
    """All evidence of one run. Jobs and batches are known by their numbers.

    `objects` has the sha256 of each announced link's answer, or why there is none. `states` has the api's
    state of each task, by task_uuid, and `deleted` the tasks that it shows as deleted. `incidents` are
    unplanned ends of processes. `stage`, `temporary`, `bucket` and `unfinished` are the files, objects and
    uploads that were left. `batches`, `refusals` and `mismatches` are those of a BatchSender, `shown_batches`
    and `intrusions` those of reading.Shown. `refused_requests` are for songs of batches that were refused.
    `repeated` are the repeats of an Asking.
    """

    plan: Plan
    task_uuids: dict[int, str]
    callbacks: dict[int, list[Callback]]
    ledger: Ledger
    states: dict[str, str]
    deleted: set[str]
    objects: dict[str, str]
    unfinished: list[str]
    stage: list[str]
    bucket: list[str]
    temporary: list[str]
    attempts: list[Attempt]
    overstays: list[Overstay]
    happened: list[Happened]
    incidents: list[str]
    drained: bool
    batches: dict[int, TakenBatch] = field(default_factory=dict)
    batch_callbacks: dict[int, list[Callback]] = field(default_factory=dict)
    shown_batches: dict[int, dict[str, Any]] = field(default_factory=dict)
    refusals: dict[int, tuple[int, dict[str, Any]]] = field(default_factory=dict)
    mismatches: list[str] = field(default_factory=list)
    refused_requests: list[str] = field(default_factory=list)
    intrusions: list[str] = field(default_factory=list)
    repeated: Counter[str] = field(default_factory=Counter)


def fetch_all(urls: list[str]) -> dict[str, str]:
    """Return the sha256 of each URL's answer, or why there is none."""
    with ThreadPoolExecutor(_GETTERS) as pool:
        return dict(zip(urls, pool.map(_digest, urls), strict=True))


def _digest(url: str) -> str:
    try:
        with requests.get(url, timeout=30, stream=True) as answer:
            if answer.status_code != 200:
                return f"HTTP status {answer.status_code}"
            digest = hashlib.sha256()
            for piece in answer.iter_content(1024 * 1024):
                digest.update(piece)
            return digest.hexdigest()
    except requests.RequestException as error:
        return f"{type(error).__name__}: {error}"


def unfinished_uploads(house: House) -> list[str]:
    address = house.store.address
    answer = address.client().list_multipart_uploads(Bucket=address.bucket)
    return [upload["Key"] for upload in answer.get("Uploads", [])]


def files_below(directory: Path) -> list[str]:
    """Return all files below `directory`, relative to it and sorted."""
    return sorted(str(Path(path).relative_to(directory)) for path in below(directory, files_only=True))


def temporary_files(house: House) -> list[str]:
    return [
        f"{name}: {path}"
        for name, service in house.services.items()
        for path in files_below(service.directory / "temp")
    ]


def read_logs(house: House) -> tuple[list[Attempt], list[Overstay], Counter[str]]:
    """Return all attempts and overstays, and how often each worker was assigned partitions again."""
    attempts, overstays, rebalances = [], [], Counter()
    for name, line in house.logs():
        if " rebalance: assigned" in line:
            rebalances[name] += 1
        elif found := _ATTEMPT.match(line):
            attempts.append(Attempt(found[2], int(found[3]), name, _at_s(found[1])))
        elif found := _GRACE_IS_OVER.match(line):
            overstays.append(Overstay(name, _at_s(found[1])))
    return sorted(attempts, key=lambda a: a.at_s), overstays, rebalances


def _at_s(text: str) -> float:
    return datetime.strptime(text, "%Y-%m-%d %H:%M:%S,%f").timestamp()


def announced_urls(bodies: list[dict[str, Any]]) -> list[str]:
    return sorted({stem["url"] for body in bodies for stem in body.get("stems", {}).values()})

"""Looks through the bucket once an hour: counts what it holds, and lets old results be deleted."""

import logging
import math
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from urllib.parse import unquote
from uuid import UUID

from common.errors import ErrorCode
from common.kafka.records import Message
from common.kafka.topics import STATUS_RETENTION_S
from common.observability.prometheus import Numbers
from common.storage.bucket import Bucket, ObjectSeen
from common.tasks.messages import Deletion, State
from common.tasks.messages.manifest import MAX_TOMBSTONE_BYTES
from common.tasks.status_outbox import KafkaOutbox
from uploader import callback
from uploader.storage import SUBMITTED_AT, USER

log = logging.getLogger(__name__)

_FIRST_AFTER_S = 60.0
_EVERY_S = 3600.0
# The results of users who wait are behind them in the topic. The next sweep finds the rest, and comes once
# these may be deleted: an uploader takes a minute or two.
_MOST_AT_ONCE = 1000
_GO_ON_AFTER_S = 300.0
_FLUSH_S = 30.0
# Where results are kept for ever, so are cache entries of deleted tasks: a year is longer than any cache.
_CACHE_FOR_S = 365 * 24 * 3600
_KINDS = ("results", "stage", "uploads", "cache", "batches")
_RESULT = re.compile(
    r"(?P<task>[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})/(?P<run>\d{1,4})/(?P<name>.+)", re.ASCII
)

Expire = Callable[[Sequence[Deletion]], None]


@dataclass
class _Found:
    """Collects what a sweep finds. `manifests`, by run, and `others` with their runs are those of `task`."""

    now_s: float
    objects: Counter[str] = field(default_factory=Counter)
    sizes_bytes: Counter[str] = field(default_factory=Counter)
    task: str = ""
    manifests: dict[int, ObjectSeen] = field(default_factory=dict)
    others: list[tuple[int, ObjectSeen]] = field(default_factory=list)
    expired: list[Deletion] = field(default_factory=list)
    useless: list[str] = field(default_factory=list)

    def tasks(self) -> set[UUID]:
        return {deletion.task_uuid for deletion in self.expired}


class BucketSweep:
    """Sweeps in a thread of its own. Several uploaders may sweep at once: a deletion can be repeated."""

    def __init__(
        self,
        bucket: Bucket,
        s3_prefix: str,
        kept_for_s: float,
        expire: Expire,
        wall_clock: Callable[[], float] = time.time,
        status_retention_s: float = STATUS_RETENTION_S,
    ):
        """Results older than `kept_for_s` seconds are given to `expire`; 0: they never are.

        `wall_clock` gives seconds since the epoch. Nothing is known of a task after `status_retention_s`.
        """
        self._bucket, self._prefix, self._kept_for_s = bucket, s3_prefix, kept_for_s
        # A run may still be under way, or its dead letter be replayed, as long as its status is known.
        self._strays_kept_for_s = max(kept_for_s, status_retention_s) if kept_for_s else math.inf
        self._expire, self._wall_clock, self._status_retention_s = expire, wall_clock, status_retention_s
        self._last = _Found(0.0)

    def run(self, stopping: threading.Event) -> None:
        """Sweeps a minute after the start, then once an hour, until `stopping` is set.

        While a sweep leaves expired results to the next one, that comes after 5 minutes. It comes after an
        hour where nothing was deleted meanwhile: to order the same again would only add records.
        """
        wait_s = _FIRST_AFTER_S
        while not stopping.wait(wait_s):
            wait_s = _EVERY_S
            try:
                if self.sweep(stopping):
                    wait_s = _GO_ON_AFTER_S
            except Exception:  # the loop's edge: the next sweep makes up for this one
                log.exception("the bucket could not be looked through")

    def sweep(self, stopping: threading.Event) -> bool:
        """Sweeps once. Returns whether to go on soon: results may be left, and deletions get on.

        Raises BotoCoreError and ClientError.
        """
        found = _Found(self._wall_clock())
        for seen in self._bucket.objects(self._prefix):
            if stopping.is_set():
                return False
            self._add(found, seen)
        self._end_task(found)
        gets_on = found.tasks() != self._last.tasks()
        self._last = found
        self._bucket.remove(found.useless)
        if found.expired:
            self._expire(found.expired)
        if found.expired or found.useless:
            counts = len(found.expired), len(found.useless)
            log.info("%d results have expired, and %d traces of deleted ones are removed", *counts)
        return gets_on and len(found.expired) >= _MOST_AT_ONCE

    def bytes_by_kind(self) -> Numbers:
        """Returns how many bytes the last sweep has found, by kind; nothing before the first one."""
        return _numbers(self._last, self._last.sizes_bytes)

    def objects_by_kind(self) -> Numbers:
        """Returns how many objects the last sweep has found, by kind; nothing before the first one."""
        return _numbers(self._last, self._last.objects)

    def _add(self, found: _Found, seen: ObjectSeen) -> None:
        name = seen.key.removeprefix(self._prefix)
        kind = name.partition("/")[0]
        if result := _RESULT.fullmatch(name):
            kind = "results"
            # The keys come in their order: those of one task follow one another.
            if result["task"] != found.task:
                self._end_task(found)
                found.task = result["task"]
            if result["name"] == "manifest.json":
                found.manifests[int(result["run"])] = seen
            else:
                found.others.append((int(result["run"]), seen))
        if kind not in _KINDS:
            return  # of somebody else
        found.objects[kind] += 1
        found.sizes_bytes[kind] += seen.size_bytes
        if kind == "cache" and found.now_s - seen.modified_s > (self._kept_for_s or _CACHE_FOR_S):
            _take(found.useless, seen.key)
        # By then nothing of the batch is known any more, and no order to call can come.
        if kind == "batches" and found.now_s - seen.modified_s > self._status_retention_s:
            _take(found.useless, seen.key)

    def _end_task(self, found: _Found) -> None:
        """Judges the task whose objects are all found."""
        task, manifests, found.manifests = found.task, found.manifests, {}
        others, found.others = found.others, []
        for run, seen in others:
            # Of a run that failed while the store was away: its failure was told without a manifest.
            if run not in manifests and found.now_s - seen.modified_s > self._strays_kept_for_s:
                _take(found.useless, seen.key)
        kept = {run: seen for run, seen in manifests.items() if seen.size_bytes > MAX_TOMBSTONE_BYTES}
        for run in manifests.keys() - kept.keys():
            # The task's status is forgotten by now, and no result can come as late as this.
            if found.now_s - manifests[run].modified_s > self._status_retention_s:
                _take(found.useless, manifests[run].key)
        # All runs go together: the status of an earlier run must not replace that of a later one.
        is_old = all(found.now_s - seen.modified_s > self._kept_for_s for seen in kept.values())
        if not self._kept_for_s or not kept or not is_old or len(found.expired) >= _MOST_AT_ONCE:
            return
        run = max(kept)
        if deletion := self._deletion(UUID(task), run, kept[run].key, found.now_s):
            found.expired.append(deletion)

    def _deletion(self, task_uuid: UUID, run: int, key: str, now_s: float) -> Deletion | None:
        """Returns what deletes a task's results; None where somebody else has deleted them meanwhile."""
        body = self._bucket.get(key)
        ended = callback.as_success(body) or callback.as_failure(body or b"")
        if ended is None:
            return None
        state = State.SUCCEEDED
        if ended.status == "failed":
            state = State.CANCELLED if ended.error_code == ErrorCode.CANCELLED else State.FAILED
        stems = ended.stems.values() if ended.status == "success" else ()
        about = self._bucket.metadata(key)
        submitted_at = _moment(about.get(SUBMITTED_AT), ended.timestamp)
        return Deletion(
            task_uuid=task_uuid,
            run=run,
            requested_at=now_s,
            owner=unquote(about.get(USER, "")),
            submitted_at=submitted_at,
            state=state,
            times={State.QUEUED: submitted_at, state: ended.timestamp},
            audio_s=max((stem.duration_s for stem in stems), default=None),
            model=ended.model if ended.status == "success" else None,
        )


def expire_by(outbox: KafkaOutbox, topic: str) -> Expire:
    """Returns what puts deletions into the result topic. A lost one comes again with the next sweep."""

    def expire(deletions: Sequence[Deletion]) -> None:
        jobs = [("expired", deletion.task_uuid) for deletion in deletions]
        for job, deletion in zip(jobs, deletions, strict=True):
            outbox.put(job, Message(topic, str(deletion.task_uuid).encode(), deletion.to_bytes()))
        outbox.flush(_FLUSH_S)
        for job in jobs:
            outbox.drop(job)

    return expire


def _take(keys: list[str], key: str) -> None:
    if len(keys) < _MOST_AT_ONCE:
        keys.append(key)


def _numbers(found: _Found, counts: Counter[str]) -> Numbers:
    return {(kind,): float(counts[kind]) for kind in _KINDS} if found.now_s else {}


def _moment(text: str | None, otherwise: float) -> float:
    """Returns seconds since the epoch. Anybody who may write to the bucket can write the text."""
    try:
        return min(max(0.0, float(text or "")), otherwise)
    except ValueError:
        return otherwise

"""Gives a task the stems of an earlier one, by copies in the store, and notes which stems may serve so."""

import logging
import re
from pathlib import PurePosixPath
from urllib.parse import quote, unquote, urlsplit

from common.errors import JobError
from common.failpoint import Failpoint
from common.storage import bucket_keys
from common.storage.bucket_keys import RunKeys
from common.storage.links import ResultLink
from common.storage.stage_keys import STEM_FILE, STEM_NAME
from common.storage.storage_errors import job_errors
from common.storage.verified import mismatch
from common.tasks.messages import Separated, SuccessCallback, Task
from common.tasks.messages.manifest import CacheEntry
from common.waiting import StopCheck
from uploader import callback
from uploader.file_names import content_disposition
from uploader.storage import USER, Storage

log = logging.getLogger(__name__)

# More than any peaks have: the size only decides in how many requests an object is copied.
_PEAKS_BYTES = 1024 * 1024
_MADE = {*CacheEntry.model_fields} & {*SuccessCallback.model_fields} - {"task_uuid", "stems"}


class StemsGone(Exception):
    """The stems of the earlier task are no longer in the store: `task` has to be separated itself."""

    def __init__(self, result: Separated, task: Task):
        super().__init__(str(task.task_uuid))
        # A replay of the result has another run, and no deadline any more.
        self.task = task.model_copy(
            update={"cache": "refresh", "run": result.run, "cancel_at": result.cancel_at}
        )


def copy_stems(result: Separated, keys: RunKeys, storage: Storage, check: StopCheck) -> dict[str, ResultLink]:
    """Copies the stems of the run that `result` names to `keys`, and returns their links by name.

    Raises StemsGone where a stem is gone or is another user's, JobError (storage_error; stage_mismatch for a
    result that no processor writes), and what `check` raises.
    """
    if result.task is None or result.cached_from is None:
        raise mismatch("The result names the stems of another task, and has no task of its own")
    _check_names(result)
    source = RunKeys(keys.prefix, result.cached_from, result.cached_run or 1)
    with job_errors("cache"):
        # A tombstone has no owner. And whatever went wrong before, no user gets another user's stems.
        owner = storage.bucket.metadata(source.manifest).get(USER)
    if owner != quote(result.user):
        raise StemsGone(result, result.task)
    links = {}
    for name, stem in result.stems.items():
        check()
        extension = PurePosixPath(stem.key).suffix.removeprefix(".")
        key, disposition = keys.stem(name, extension), content_disposition(result, name, extension)
        with job_errors("cache"):
            seen = storage.bucket.seen(source.stem(name, extension))
        is_there = seen is not None and seen.size_bytes == stem.bytes
        if not is_there or not storage.copy(source.stem(name, extension), key, stem.bytes, disposition):
            raise StemsGone(result, result.task)
        log.info("copied %s to %s", source.stem(name, extension), key)
        links[name] = storage.url(key)
        Failpoint.BETWEEN_STEMS.reach()
    storage.copy(source.peaks, keys.peaks, _PEAKS_BYTES)
    return links


def remember(result: Separated, body: bytes, keys: RunKeys, storage: Storage) -> None:
    """Writes the entry by which a processor finds these stems again, if its processor asked for one.

    `body` is the run's manifest. Without the entry the song is separated again: no error fails the job.
    """
    published = callback.as_success(body)
    if result.cache_digest is None or result.cached_from is not None or published is None:
        return
    # Another result of the run may have been first, with other bytes of a song that its host has changed.
    if {n: s.sha256 for n, s in result.stems.items()} != {n: s.sha256 for n, s in published.stems.items()}:
        return
    found = {
        name: stem.model_copy(update={"url": keys.stem(name, _extension(stem.url))})
        for name, stem in published.stems.items()
    }
    entry = CacheEntry(
        task_uuid=result.task_uuid,
        run=result.run,
        created_at=published.timestamp,
        stems=found,
        **published.model_dump(include=_MADE),
    )
    key = bucket_keys.cached(keys.prefix, result.user, result.cache_digest)
    try:
        with job_errors("cache"):
            storage.bucket.put(key, entry.to_bytes(), {"ContentType": "application/json"})
    except JobError as error:
        log.warning("these stems will not serve for later tasks: %s", error.message)


def _check_names(result: Separated) -> None:
    """Raises PermanentError (stage_mismatch) for names that must not become keys of the store."""
    for name, stem in result.stems.items():
        if not re.fullmatch(STEM_NAME, name) or not re.fullmatch(STEM_FILE, stem.key, re.ASCII):
            raise mismatch(f"The result names a stem that no separator makes: {name[:100]!r}")


def _extension(url: str) -> str:
    return PurePosixPath(unquote(urlsplit(url).path)).suffix.removeprefix(".")

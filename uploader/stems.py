"""Brings a result's stems into the store: from the stage, or from an earlier run of the task."""

import logging
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

from common.errors import ErrorCode, PermanentError, TransientError
from common.failpoint import Failpoint
from common.storage.bucket_keys import RunKeys
from common.storage.links import ResultLink
from common.storage.stage_interface import Stage, StagedFile
from common.storage.stage_keys import STEM_NAME, is_key, is_peaks_key
from common.storage.verified import VerifiedFile, mismatch
from common.tasks.messages import Separated, SeparationFailed, StagedStem, SuccessCallback
from common.waiting import StopCheck
from uploader import callback
from uploader.file_names import content_disposition
from uploader.storage import Storage

log = logging.getLogger(__name__)

_NAME = re.compile(STEM_NAME)
# After these errors an earlier run's stem with the same checksum will do.
_COPIED_FOR = (ErrorCode.STAGE_MISSING, ErrorCode.STAGE_MISMATCH)


@dataclass(frozen=True)
class _Target:
    """The object that a stem becomes."""

    storage: Storage
    key: str
    disposition: str | None
    check: StopCheck
    sent: Callable[[int], None]

    def upload(self, file: VerifiedFile) -> None:
        self.storage.put_file(file, self.key, self.check, self.sent, self.disposition)
        log.info("uploaded %s (%d bytes)", self.key, file.size_bytes)

    def copy(self, source: str, size_bytes: int, etag: str | None = None) -> bool:
        copied = self.storage.copy(
            source, self.key, size_bytes, self.disposition, self.check, self.sent, etag
        )
        if copied:
            log.info("copied %s to %s", source, self.key)
        return copied


def publish(
    result: Separated,
    keys: RunKeys,
    stage: Stage,
    storage: Storage,
    check: StopCheck,
    on_progress: Callable[[float], None] = lambda fraction: None,
) -> dict[str, ResultLink]:
    """Stores all stems under this run's keys, and returns their links by name.

    Calls `on_progress` with the stored share of the bytes, 0 to 1.

    A replay may come after its stems have left the stage. Then the manifest of an earlier run tells where
    the same bytes are. Raises JobError (`stage_missing` if they are nowhere, `stage_mismatch` if the staged
    bytes are not the announced ones), and what `check` raises.
    """
    _check_names(result)
    links = {}
    total_bytes = max(1, sum(stem.bytes for stem in result.stems.values()))
    sent_bytes = 0

    def sent(size_bytes: int) -> None:
        nonlocal sent_bytes
        sent_bytes += size_bytes
        on_progress(sent_bytes / total_bytes)

    for name, stem in result.stems.items():
        extension = PurePosixPath(stem.key).suffix.removeprefix(".")
        key, disposition = keys.stem(name, extension), content_disposition(result, name, extension)
        target = _Target(storage, key, disposition, check, sent)
        try:
            stage.publish(StagedFile(stem.key, stem.sha256, stem.bytes, stem.etag), target)
        except PermanentError as error:
            if error.code not in _COPIED_FOR:
                raise
            if not _copy(name, stem, keys, target):
                raise _staged_elsewhere(result, stage) or error from None
        links[name] = storage.url(key)
        Failpoint.BETWEEN_STEMS.reach()
    return links


def publish_peaks(result: Separated, keys: RunKeys, stage: Stage, storage: Storage, check: StopCheck) -> None:
    """Stores the stems' peaks beside them: from the stage, or from an earlier run with the same stems.

    Only a page needs them. So peaks that are gone are no error. Raises JobError (storage_error), and what
    `check` raises.
    """
    peaks = result.peaks
    if peaks is None or not is_peaks_key(peaks.key, result.task_uuid):
        return
    target = _Target(storage, keys.peaks, None, check, lambda size_bytes: None)
    try:
        stage.publish(StagedFile(peaks.key, peaks.sha256, peaks.bytes, peaks.etag), target)
    except PermanentError as error:
        if error.code not in _COPIED_FOR:
            raise
        earlier = _earlier_successes(keys, storage, check)
        if not any(target.copy(run.peaks, peaks.bytes) for run, _ in earlier):
            log.warning("the stems have no peaks: %s", error.message)


def retire(stage: Stage, result: Separated | SeparationFailed) -> None:
    """Hides a result's staged stems from other attempts: the store has them, or nobody wants them."""
    for key in _staged_keys(result):
        stage.retire(key)


def remove_retired(stage: Stage, result: Separated | SeparationFailed) -> None:
    """Removes the staged stems that `retire` has hidden."""
    for key in _staged_keys(result):
        stage.remove_retired(key)


def _staged_keys(result: Separated | SeparationFailed) -> list[str]:
    """Returns a key for each attempt that staged stems of a result: one, unless somebody made the result.

    Leaves out keys that its processor cannot have made.
    """
    if isinstance(result, SeparationFailed):
        return []
    keys = [stem.key for stem in result.stems.values() if is_key(stem.key, result.task_uuid)]
    return [*{PurePosixPath(key).parent: key for key in keys}.values()]


def _check_names(result: Separated) -> None:
    """Raises PermanentError (stage_mismatch) for names that must not become keys of store or stage."""
    for name, stem in result.stems.items():
        if not _NAME.fullmatch(name):
            raise mismatch(f"The result names a stem that no separator makes: {name[:100]!r}")
        if not is_key(stem.key, result.task_uuid):
            raise mismatch(f"The result names no staged file of its task: {stem.key[:300]!r}")


def _staged_elsewhere(result: Separated, stage: Stage) -> TransientError | None:
    """Returns the error for a result whose processor has another STAGE than this uploader, else None.

    The error is transient: an uploader with the right STAGE can still publish the stems.
    """
    if result.stage == stage.mode:
        return None
    message = f"The stems were staged with STAGE={result.stage}, and the uploader has STAGE={stage.mode}"
    log.error("%s: give all workers one STAGE", message)
    return TransientError(ErrorCode.STAGE_MISSING, message)


def _copy(name: str, stem: StagedStem, keys: RunKeys, target: _Target) -> bool:
    """Copies the same bytes from an earlier run to `target`. Returns False if no run has them."""
    for earlier, published in _earlier_successes(keys, target.storage, target.check):
        if name in published.stems and published.stems[name].sha256 == stem.sha256:
            source = earlier.stem(name, PurePosixPath(target.key).suffix.removeprefix("."))
            if target.copy(source, stem.bytes):
                return True
    return False


def _earlier_successes(
    keys: RunKeys, storage: Storage, check: StopCheck
) -> Iterator[tuple[RunKeys, SuccessCallback]]:
    """Yields the successful runs before this one, the newest first."""
    for run in reversed(range(1, keys.run)):
        check()
        earlier = RunKeys(keys.prefix, keys.task_uuid, run)
        published = callback.as_success(storage.get_manifest(earlier.manifest))
        if published is not None:
            yield earlier, published

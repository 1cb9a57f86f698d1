"""Brings a result's stems into the store: from the stage, or from an earlier run of the task."""

import logging
import re
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import PurePosixPath
from typing import BinaryIO

from common.errors import ErrorCode, PermanentError
from common.failpoint import Failpoint
from common.storage.beneath import ForeignEntry
from common.storage.bucket_keys import RunKeys
from common.storage.links import ResultLink
from common.storage.stage import LocalStage
from common.storage.stage_keys import STEM_NAME, is_key
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


def publish(
    result: Separated,
    keys: RunKeys,
    stage: LocalStage,
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
        stage.keep(stem.key)
        try:
            with closing(_open(stage, stem)) as file:
                storage.put_file(VerifiedFile(file, stem.bytes, stem.sha256), key, check, sent, disposition)
            log.info("uploaded %s (%d bytes)", key, stem.bytes)
        except PermanentError as error:
            copied = error.code in _COPIED_FOR and _copy(name, stem, key, keys, storage, check, disposition)
            if not copied:
                raise
        links[name] = storage.url(key)
        Failpoint.BETWEEN_STEMS.reach()
    return links


def retire(stage: LocalStage, result: Separated | SeparationFailed) -> None:
    """Hides a result's staged stems from other attempts: the store has them, or nobody wants them."""
    for key in _staged_keys(result):
        stage.retire(key)


def remove_retired(stage: LocalStage, result: Separated | SeparationFailed) -> None:
    """Removes the staged stems that `retire` has hidden."""
    for key in _staged_keys(result):
        stage.remove_retired(key)


def _staged_keys(result: Separated | SeparationFailed) -> list[str]:
    """Returns the keys of a result's staged stems, without keys that its processor cannot have made."""
    if isinstance(result, SeparationFailed):
        return []
    return [stem.key for stem in result.stems.values() if is_key(stem.key, result.task_uuid)]


def _check_names(result: Separated) -> None:
    """Raises PermanentError (stage_mismatch) for names that must not become keys of store or stage."""
    for name, stem in result.stems.items():
        if not _NAME.fullmatch(name):
            raise mismatch(f"The result names a stem that no separator makes: {name[:100]!r}")
        if not is_key(stem.key, result.task_uuid):
            raise mismatch(f"The result names no staged file of its task: {stem.key[:300]!r}")


def _open(stage: LocalStage, stem: StagedStem) -> BinaryIO:
    name = PurePosixPath(stem.key).name
    try:
        return stage.open_file(stem.key)
    except FileNotFoundError:
        raise PermanentError(ErrorCode.STAGE_MISSING, f"The staged file {name} is gone") from None
    except ForeignEntry as error:
        log.error("%s in the stage: %s", stem.key, error)
        raise mismatch(f"The staged file {name} is a link, or no file") from None


def _copy(
    name: str,
    stem: StagedStem,
    key: str,
    keys: RunKeys,
    storage: Storage,
    check: StopCheck,
    disposition: str,
) -> bool:
    """Copies the same bytes from an earlier run to `key`. Returns False if no run has them."""
    for earlier, published in _earlier_successes(keys, storage, check):
        if name in published.stems and published.stems[name].sha256 == stem.sha256:
            source = earlier.stem(name, PurePosixPath(key).suffix.removeprefix("."))
            if storage.copy(source, key, stem.bytes, disposition):
                log.info("copied %s to %s", source, key)
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

"""A result's stems on their way to the store: from the stage, or from an earlier run of the task."""

import logging
import re
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import PurePosixPath
from typing import BinaryIO

from common.errors import ErrorCode, PermanentError
from common.failpoint import Failpoint
from common.storage.beneath import ForeignEntry
from common.storage.links import ResultLink
from common.storage.stage import STEM_NAME, LocalStage, is_key
from common.tasks.messages import Separated, StagedStem, SuccessCallback
from common.waiting import StopCheck
from uploader import callback
from uploader.storage import RunKeys, Storage
from uploader.verified import VerifiedFile, mismatch

log = logging.getLogger(__name__)

_NAME = re.compile(STEM_NAME)
# An earlier run's stem of the same digest is as good.
_COPIED_FOR = (ErrorCode.STAGE_MISSING, ErrorCode.STAGE_MISMATCH)


def publish(
    result: Separated,
    keys: RunKeys,
    stage: LocalStage,
    storage: Storage,
    check: StopCheck,
    on_progress: Callable[[float], None] = lambda fraction: None,
) -> dict[str, ResultLink]:
    """The links of all stems, by name, once they are in the store under this run's own keys.

    `on_progress` gets 0 to 1, by bytes.

    A replay comes when what it names may have left the stage, with its first delivery's success: then an
    earlier run's manifest tells where the same bytes are. Raises JobError (`stage_missing` when they are
    nowhere, `stage_mismatch` when others are there), and what `check` raises.
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
        key = keys.stem(name, PurePosixPath(stem.key).suffix.removeprefix("."))
        stage.keep(stem.key)
        try:
            with closing(_open(stage, stem)) as file:
                storage.put_file(VerifiedFile(file, stem), key, check, sent)
            log.info("uploaded %s (%d bytes)", key, stem.bytes)
        except PermanentError as error:
            if error.code not in _COPIED_FOR or not _copy(name, stem, key, keys, storage, check):
                raise
        links[name] = storage.url(key)
        Failpoint.BETWEEN_STEMS.reach()
    return links


def staged_keys(result: Separated) -> list[str]:
    """The keys of its stems in the stage, without what no processor of ours can have staged for the task."""
    return [stem.key for stem in result.stems.values() if is_key(stem.key, result.task_uuid)]


def _check_names(result: Separated) -> None:
    """Raises PermanentError (stage_mismatch): names of the store and of the stage are made of these."""
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


def _copy(name: str, stem: StagedStem, key: str, keys: RunKeys, storage: Storage, check: StopCheck) -> bool:
    """Whether an earlier run had the same bytes, which are now under `key` too."""
    for earlier, published in _successes_before(keys, storage, check):
        if name in published.stems and published.stems[name].sha256 == stem.sha256:
            source = earlier.stem(name, PurePosixPath(key).suffix.removeprefix("."))
            if storage.copy(source, key, stem.bytes):
                log.info("copied %s to %s", source, key)
                return True
    return False


def _successes_before(
    keys: RunKeys, storage: Storage, check: StopCheck
) -> Iterator[tuple[RunKeys, SuccessCallback]]:
    """The newest first."""
    for run in reversed(range(1, keys.run)):
        check()
        earlier = RunKeys(keys.prefix, keys.task_uuid, run)
        published = callback.as_success(storage.get_manifest(earlier.manifest))
        if published is not None:
            yield earlier, published

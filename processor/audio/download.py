"""Downloads a task's audio within limits of size and time, and keeps no partial file."""

import logging
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from common.errors import ErrorCode, JobError, PermanentError, TransientError, UnlikelyError, is_disk_full
from common.outbound.addresses import validate_text
from common.outbound.failures import (
    NETWORK_ERRORS,
    is_bad_certificate,
    is_timeout,
    reason,
)
from common.outbound.guarded_session import OutboundNetwork
from common.waiting import DeadlineExceeded, StopCheck
from processor.audio.partial_file import PartialFile
from processor.audio.transfer import MB, Clocks, DownloadLimits, Transfer

log = logging.getLogger(__name__)

_CLOCKS = Clocks()


@dataclass(frozen=True)
class DownloadedFile:
    """A complete download. `content_type` is the server's, in lower case, or empty."""

    path: Path
    size_bytes: int
    content_type: str
    elapsed_s: float


def _free_bytes(directory: Path) -> int:
    return shutil.disk_usage(directory).free


def download(
    url: str,
    directory: Path,
    limits: DownloadLimits,
    network: OutboundNetwork,
    check: StopCheck,
    on_progress: Callable[[float], None] = lambda fraction: None,
    clocks: Clocks = _CLOCKS,
    free_bytes: Callable[[Path], int] = _free_bytes,
    partial: PartialFile | None = None,
) -> DownloadedFile:
    """Download `url` to `directory/input.<extension>`.

    Calls `check` several times a second, which may raise to stop, and `on_progress` with 0 to 1 where the
    size is known. A connection that breaks goes on where it broke, if the host can tell that its file is
    still the same. `partial` is what an earlier attempt has left, and takes what this one leaves.

    Raises PermanentError (address_invalid, address_blocked, http_error, too_large, empty_file),
    TransientError (download_timeout, http_error, network_error, disk_full), UnlikelyError (address_blocked of
    a name, network_error of a certificate), and what `check` raises. After any error no file is left.
    """
    path = directory / f"input{extension(url)}"
    file = PartialFile(path) if partial is None else partial
    transfer = Transfer(limits, file, check, on_progress, clocks, free_bytes)
    try:
        validate_text(url, network.policy)
        log.info("Downloading audio from URL: %s", without_secrets(url))
        content_type = transfer.run(url, network)
        file.move_to(path)
    except BaseException as error:
        failure = _as_job_error(error, limits)
        if isinstance(failure, JobError):
            log.error("%s", failure)
        _tidy(file, failure)
        if failure is error:
            raise
        raise failure from error
    log.info("Audio downloaded to: %s", path)
    rate = transfer.fetched_bytes / MB / transfer.elapsed_s
    log.info("Download completed in %.1fs (avg %.2f MB/s)", transfer.elapsed_s, rate)
    return DownloadedFile(path, file.size_bytes, content_type, transfer.elapsed_s)


def _tidy(file: PartialFile, failure: BaseException) -> None:
    """Keep what a later attempt can go on with; remove the rest."""
    if file.is_kept and not isinstance(failure, PermanentError):
        log.info("Kept %.2f MB of the download for the next attempt", file.size_bytes / MB)
    elif file.discard():
        log.info("Cleaned up partial download")


def extension(url: str) -> str:
    """Return the extension of the URL's path, in lower case with its dot; `.wav` where none is usual."""
    try:
        suffix = PurePosixPath(unquote(urlsplit(url).path)).suffix.lower()
    except ValueError:
        return ".wav"
    return suffix if re.fullmatch(r"\.[a-z0-9]{1,8}", suffix) else ".wav"


def without_secrets(url: str) -> str:
    """Return the URL for a log, without its query, which holds the signature of a presigned URL."""
    base, mark, _ = url.partition("?")
    return base.partition("#")[0] + ("?…" if mark else "")


def _as_job_error(error: BaseException, limits: DownloadLimits) -> BaseException:
    if isinstance(error, DeadlineExceeded):
        message = f"Download took longer than {limits.deadline_s:g} seconds in all (DOWNLOAD_DEADLINE_S)"
        return TransientError(ErrorCode.DOWNLOAD_TIMEOUT, message)
    if isinstance(error, NETWORK_ERRORS) and is_timeout(error):
        return TransientError(
            ErrorCode.DOWNLOAD_TIMEOUT, f"Download timeout after {limits.timeout_s:g} seconds"
        )
    if isinstance(error, NETWORK_ERRORS) and is_bad_certificate(error):
        return UnlikelyError(ErrorCode.NETWORK_ERROR, f"Network error: {reason(error)}")
    if isinstance(error, NETWORK_ERRORS):
        return TransientError(ErrorCode.NETWORK_ERROR, f"Network error: {reason(error)}")
    if is_disk_full(error):
        return TransientError(ErrorCode.DISK_FULL, "The disk became full during the download")
    return error

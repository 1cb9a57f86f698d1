"""Downloads a task's audio within limits of size and time, and keeps no partial file."""

import logging
import re
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

import requests

from common.errors import ErrorCode, JobError, PermanentError, TransientError, UnlikelyError, is_disk_full
from common.failpoint import Failpoint
from common.outbound.addresses import validate_text
from common.outbound.failures import (
    NETWORK_ERRORS,
    is_bad_certificate,
    is_timeout,
    reason,
)
from common.outbound.guarded_session import GuardedSession, OutboundNetwork
from common.waiting import DeadlineExceeded, StopCheck, deadline_check
from processor.audio import http_answer
from processor.audio.minimum_rate import MinimumRate

log = logging.getLogger(__name__)

_MB = 1024 * 1024
_WRITE_BYTES = _MB
_PROGRESS_EVERY_S = 2.0


@dataclass(frozen=True)
class DownloadLimits:
    """The limits of one download.

    `timeout_s` limits the connecting and each wait for bytes, `deadline_s` the whole download.
    `min_bytes_per_s` is the least rate in each minute; 0 allows any rate.
    """

    max_bytes: int
    deadline_s: float
    timeout_s: float = 30.0
    min_bytes_per_s: float = 0


@dataclass(frozen=True)
class DownloadedFile:
    """A complete download. `content_type` is the server's, in lower case, or empty."""

    path: Path
    size_bytes: int
    content_type: str
    elapsed_s: float


@dataclass(frozen=True)
class Clocks:
    """The clocks: `monotonic` for durations, `wall` (seconds since the epoch) for dates in `Retry-After`."""

    monotonic: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time


def _free_bytes(directory: Path) -> int:
    return shutil.disk_usage(directory).free


def download(
    url: str,
    directory: Path,
    limits: DownloadLimits,
    network: OutboundNetwork,
    check: StopCheck,
    on_progress: Callable[[float], None] = lambda fraction: None,
    clocks: Clocks = Clocks(),
    free_bytes: Callable[[Path], int] = _free_bytes,
) -> DownloadedFile:
    """Download `url` to `directory/input.<extension>`.

    Calls `check` several times a second, which may raise to stop, and `on_progress` with 0 to 1 where the
    size is known.

    Raises PermanentError (address_invalid, address_blocked, http_error, too_large, empty_file),
    TransientError (download_timeout, http_error, network_error, disk_full), UnlikelyError (address_blocked of
    a name, network_error of a certificate), and what `check` raises. After any error no file is left.
    """
    path = directory / f"input{extension(url)}"
    try:
        validate_text(url, network.policy)
        log.info("Downloading audio from URL: %s", without_secrets(url))
        return _Download(limits, path, check, on_progress, clocks, free_bytes).run(url, network)
    except BaseException as error:
        failure = _as_job_error(error, limits)
        if isinstance(failure, JobError):
            log.error("%s", failure)
        if path.exists() or path.is_symlink():
            path.unlink()
            log.info("Cleaned up partial download")
        if failure is error:
            raise
        raise failure from error


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


class _Download:
    """One download under way. `_pulse` runs while it waits for the network and between reads."""

    def __init__(
        self,
        limits: DownloadLimits,
        path: Path,
        check: StopCheck,
        on_progress: Callable[[float], None],
        clocks: Clocks,
        free_bytes: Callable[[Path], int],
    ):
        self._limits, self._path, self._clocks, self._free_bytes = limits, path, clocks, free_bytes
        self._on_progress = on_progress
        self._until_deadline = deadline_check(limits.deadline_s, check, clocks.monotonic)
        self._rate = MinimumRate(limits.min_bytes_per_s, clocks.monotonic)
        self._began_s = self._reported_s = clocks.monotonic()
        self._expected_bytes: int | None = None
        self._received_bytes = self._reported_bytes = 0

    def run(self, url: str, network: OutboundNetwork) -> DownloadedFile:
        with GuardedSession(network, self._pulse) as session:
            response = session.get_following(url, self._limits.timeout_s)
            with response:
                http_answer.check_status(response, self._clocks.wall())
                content_type = http_answer.content_type(response)
                self._check_size(response)
                self._check_disk()
                self._save(response)
        self._check_complete()
        elapsed_s = max(self._clocks.monotonic() - self._began_s, 1e-3)
        rate = self._received_bytes / _MB / elapsed_s
        log.info("Audio downloaded to: %s", self._path)
        log.info("Download completed in %.1fs (avg %.2f MB/s)", elapsed_s, rate)
        return DownloadedFile(self._path, self._received_bytes, content_type, elapsed_s)

    def _pulse(self) -> None:
        self._until_deadline()
        self._rate.check(self._received_bytes)
        now_s = self._clocks.monotonic()
        waited_s = now_s - self._reported_s
        if waited_s < _PROGRESS_EVERY_S or not self._received_bytes:
            return
        rate = (self._received_bytes - self._reported_bytes) / _MB / waited_s
        if self._expected_bytes:
            done = f"{100 * self._received_bytes / self._expected_bytes:.1f}%"
        else:
            done = f"{self._received_bytes / _MB:.2f} MB"
        log.info("Download progress: %s (%.2f MB/s)", done, rate)
        self._reported_s, self._reported_bytes = now_s, self._received_bytes

    def _check_size(self, response: requests.Response) -> None:
        self._expected_bytes = http_answer.content_length(response)
        if self._expected_bytes is None:
            return
        log.info("File size: %.2f MB", self._expected_bytes / _MB)
        if self._expected_bytes > self._limits.max_bytes:
            raise self._too_large()

    def _check_disk(self) -> None:
        needed = self._limits.max_bytes if self._expected_bytes is None else self._expected_bytes
        free = self._free_bytes(self._path.parent)
        if free < needed:
            sizes = f"{needed / _MB:.0f} MB needed, {free / _MB:.0f} MB free"
            raise TransientError(ErrorCode.DISK_FULL, f"Not enough disk space for the download: {sizes}")

    def _save(self, response: requests.Response) -> None:
        with self._path.open("wb", buffering=_WRITE_BYTES) as file:
            # `read1` returns the bytes that are there, so that a slow body is checked as it comes.
            while piece := response.raw.read1(_WRITE_BYTES, decode_content=False):
                self._received_bytes += len(piece)
                if self._received_bytes > self._limits.max_bytes:
                    raise self._too_large()
                file.write(piece)
                self._pulse()
                if self._expected_bytes:
                    self._on_progress(self._received_bytes / self._expected_bytes)
                Failpoint.DOWNLOADING.reach()

    def _check_complete(self) -> None:
        if self._expected_bytes is not None and self._received_bytes < self._expected_bytes:
            raise TransientError(
                ErrorCode.NETWORK_ERROR,
                f"Network error: {self._received_bytes} bytes received of {self._expected_bytes}",
            )
        if not self._received_bytes:
            raise PermanentError(ErrorCode.EMPTY_FILE, "The downloaded file is empty")

    def _too_large(self) -> PermanentError:
        limit = f"{self._limits.max_bytes / _MB:.0f} MB"
        return PermanentError(ErrorCode.TOO_LARGE, f"The file is larger than {limit} (MAX_AUDIO_BYTES)")


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

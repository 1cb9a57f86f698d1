"""Brings the bytes of a download into a file, over as many connections as that takes."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import requests

from common.errors import ErrorCode, PermanentError, TransientError
from common.failpoint import Failpoint
from common.outbound.failures import NETWORK_ERRORS, reason
from common.outbound.guarded_session import GuardedSession, OutboundNetwork
from common.waiting import DeadlineExceeded, StopCheck, deadline_check
from processor.audio import http_answer
from processor.audio.file_version import Answer, FileVersion, version_of
from processor.audio.minimum_rate import MinimumRate
from processor.audio.partial_file import PartialFile

log = logging.getLogger(__name__)

MB = 1024 * 1024
_WRITE_BYTES = MB
_PROGRESS_EVERY_S = 2.0
# The waits before a broken connection is tried again. They begin anew when one has brought a MB.
_PAUSES_S = (0.2, 1.0, 2.0, 4.0)
_PAUSE_STEP_S = 0.2


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
class Clocks:
    """The clocks: `monotonic` for durations, `wall` (seconds since the epoch) for dates in `Retry-After`.

    `sleep` waits so many seconds.
    """

    monotonic: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time
    sleep: Callable[[float], None] = time.sleep


class Transfer:
    """One download under way. `_pulse` runs while it waits for the network and between reads."""

    def __init__(
        self,
        limits: DownloadLimits,
        file: PartialFile,
        check: StopCheck,
        on_progress: Callable[[float], None],
        clocks: Clocks,
        free_bytes: Callable[[Path], int],
    ):
        self._limits, self._file, self._clocks, self._free_bytes = limits, file, clocks, free_bytes
        self._on_progress = on_progress
        self._until_deadline = deadline_check(limits.deadline_s, check, clocks.monotonic)
        self._rate = MinimumRate(limits.min_bytes_per_s, clocks.monotonic)
        self._began_s = self._reported_s = clocks.monotonic()
        self._expected_bytes: int | None = None
        self._reported_bytes = 0
        self.fetched_bytes = 0

    @property
    def elapsed_s(self) -> float:
        """The seconds since the beginning, never 0."""
        return max(self._clocks.monotonic() - self._began_s, 1e-3)

    def run(self, url: str, network: OutboundNetwork) -> str:
        """Complete the file; return the content type. Raises the errors of `download`, and NETWORK_ERRORS."""
        with GuardedSession(network, self._pulse) as session:
            content_type = self._complete(session, url)
        if self._expected_bytes is not None and self._file.size_bytes < self._expected_bytes:
            raise TransientError(
                ErrorCode.NETWORK_ERROR,
                f"Network error: {self._file.size_bytes} bytes received of {self._expected_bytes}",
            )
        if not self._file.size_bytes:
            raise PermanentError(ErrorCode.EMPTY_FILE, "The downloaded file is empty")
        return content_type

    def _complete(self, session: GuardedSession, url: str) -> str:
        pauses_s = iter(_PAUSES_S)
        while True:
            fetched_before = self.fetched_bytes
            try:
                return self._fetch(session, url)
            except NETWORK_ERRORS as error:
                if self.fetched_bytes - fetched_before >= MB:
                    pauses_s = iter(_PAUSES_S)
                pause_s = next(pauses_s, None)
                if isinstance(error, DeadlineExceeded) or not self._can_go_on or pause_s is None:
                    raise
                log.warning("Download broke off at %s: %s", self._position(), reason(error))
                self._pause(pause_s)

    @property
    def _can_go_on(self) -> bool:
        return self._file.version is not None and self._file.size_bytes > 0

    def _fetch(self, session: GuardedSession, url: str) -> str:
        """Receive what is missing over one connection, and return the content type."""
        version, received_bytes = self._file.version, self._file.size_bytes
        if version is None or not received_bytes:
            with session.get_following(url, self._limits.timeout_s) as response:
                return self._receive_whole(response)
        if received_bytes == version.size_bytes:
            return self._go_on(version)
        headers = version.request_headers(received_bytes)
        with session.get_following(url, self._limits.timeout_s, headers) as response:
            match version.answer(response, received_bytes):
                case Answer.REST:
                    return self._receive_rest(response, version)
                case Answer.WHOLE:
                    return self._receive_whole(response)
        log.info("The host does not send the rest of the file: it is asked for the whole")
        self._file.begin(None)
        return self._fetch(session, url)

    def _receive_whole(self, response: requests.Response) -> str:
        http_answer.check_status(response, self._clocks.wall())
        content_type = http_answer.content_type(response)
        self._check_size(response)
        self._check_disk()
        self._file.begin(version_of(response, content_type))
        self._save(response)
        return content_type

    def _receive_rest(self, response: requests.Response, version: FileVersion) -> str:
        http_answer.check_codings(response)
        content_type = self._go_on(version)
        self._check_disk()
        self._save(response)
        return content_type

    def _go_on(self, version: FileVersion) -> str:
        self._expected_bytes = version.size_bytes
        log.info("Download goes on at %s", self._position())
        return version.content_type

    def _position(self) -> str:
        done = f"{self._file.size_bytes / MB:.2f} MB"
        return f"{done} of {self._expected_bytes / MB:.2f} MB" if self._expected_bytes else done

    def _pause(self, pause_s: float) -> None:
        end_s = self._clocks.monotonic() + pause_s
        while (left_s := end_s - self._clocks.monotonic()) > 0:
            self._pulse()
            self._clocks.sleep(min(_PAUSE_STEP_S, left_s))

    def _pulse(self) -> None:
        self._until_deadline()
        self._rate.check(self.fetched_bytes)
        now_s = self._clocks.monotonic()
        waited_s = now_s - self._reported_s
        if waited_s < _PROGRESS_EVERY_S or not self.fetched_bytes:
            return
        rate = (self.fetched_bytes - self._reported_bytes) / MB / waited_s
        if self._expected_bytes:
            done = f"{100 * self._file.size_bytes / self._expected_bytes:.1f}%"
        else:
            done = f"{self._file.size_bytes / MB:.2f} MB"
        log.info("Download progress: %s (%.2f MB/s)", done, rate)
        self._reported_s, self._reported_bytes = now_s, self.fetched_bytes

    def _check_size(self, response: requests.Response) -> None:
        self._expected_bytes = http_answer.content_length(response)
        if self._expected_bytes is None:
            return
        log.info("File size: %.2f MB", self._expected_bytes / MB)
        if self._expected_bytes > self._limits.max_bytes:
            raise self._too_large()

    def _check_disk(self) -> None:
        if self._expected_bytes is None:
            needed = self._limits.max_bytes
        else:
            needed = self._expected_bytes - self._file.size_bytes
        directory = self._file.path.parent
        free = self._free_bytes(directory)
        if free < needed and self._file.make_room(needed):
            free = self._free_bytes(directory)
        if free < needed:
            sizes = f"{needed / MB:.0f} MB needed, {free / MB:.0f} MB free"
            raise TransientError(ErrorCode.DISK_FULL, f"Not enough disk space for the download: {sizes}")

    def _save(self, response: requests.Response) -> None:
        with self._file.appending() as append:
            # `read1` returns the bytes that are there, so that a slow body is checked as it comes.
            while piece := response.raw.read1(_WRITE_BYTES, decode_content=False):
                if self._file.size_bytes + len(piece) > self._limits.max_bytes:
                    raise self._too_large()
                append(piece)
                self.fetched_bytes += len(piece)
                self._pulse()
                if self._expected_bytes:
                    self._on_progress(self._file.size_bytes / self._expected_bytes)
                Failpoint.DOWNLOADING.reach()

    def _too_large(self) -> PermanentError:
        limit = f"{self._limits.max_bytes / MB:.0f} MB"
        return PermanentError(ErrorCode.TOO_LARGE, f"The file is larger than {limit} (MAX_AUDIO_BYTES)")

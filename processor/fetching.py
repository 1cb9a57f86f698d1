"""Brings a task's song into the attempt's work directory."""

import threading
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from common.errors import ErrorCode, PermanentError
from common.jobs.handler import JobContext
from common.outbound.guarded_session import OutboundNetwork
from common.tasks.job_status import JobStatus
from common.tasks.messages import Task
from common.tasks.messages.task import upload_id_of
from processor.audio.download import DownloadedFile, download
from processor.audio.partial_file import PartialDownloads
from processor.audio.transfer import DownloadLimits

if TYPE_CHECKING:
    from processor.upload_reader import UploadReader

# 0.5 s: most downloads end sooner, so a processor seldom begins more songs than it has slots.
_SLOT_KEPT_S = 0.5


def _no_reader() -> "UploadReader":
    raise PermanentError(ErrorCode.STORAGE_ERROR, "This processor reads no uploaded songs")


class Fetcher:
    """Fetches songs. Thread-safe."""

    def __init__(
        self,
        limits: DownloadLimits,
        network: OutboundNetwork,
        make_reader: "Callable[[], UploadReader]" = _no_reader,
        partials: PartialDownloads | None = None,
    ):
        """`make_reader` is called for the first uploaded song, and may raise JobError.

        `partials` keeps what came of downloads that broke off; None: nothing is kept.
        """
        self._limits, self._network, self._make_reader = limits, network, make_reader
        self._partials = partials
        self._lock = threading.Lock()
        self._reader: UploadReader | None = None

    def fetch(self, task: Task, directory: Path, context: JobContext, status: JobStatus) -> DownloadedFile:
        """Fetch the song into `directory`; give the slot away when that takes over `_SLOT_KEPT_S`.

        Raises what `download` and `UploadReader.read` raise.
        """
        slot_until_s = time.monotonic() + _SLOT_KEPT_S

        def check() -> None:
            context.check()
            if time.monotonic() > slot_until_s:
                context.leave_slot()

        try:
            upload_id = upload_id_of(task.audio)
        except ValueError as error:
            raise PermanentError(ErrorCode.ADDRESS_INVALID, f"The address is not valid: {error}") from None
        if upload_id is not None:
            return self._upload_reader().read(task, upload_id, directory, check, status.advance)
        with self._partials.of(task) if self._partials else nullcontext() as partial:
            return download(
                task.audio, directory, self._limits, self._network, check, status.advance, partial=partial
            )

    def _upload_reader(self) -> "UploadReader":
        with self._lock:
            if self._reader is None:
                self._reader = self._make_reader()
            return self._reader

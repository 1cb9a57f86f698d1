"""Brings a task's song into the attempt's work directory."""

import time
from contextlib import nullcontext
from pathlib import Path

from common.jobs.handler import JobContext
from common.outbound.guarded_session import OutboundNetwork
from common.tasks.job_status import JobStatus
from common.tasks.messages import Task
from processor.audio.download import DownloadedFile, download
from processor.audio.partial_file import PartialDownloads
from processor.audio.transfer import DownloadLimits

# 0.5 s: most downloads end sooner, so a processor seldom begins more songs than it has slots.
_SLOT_KEPT_S = 0.5


class Fetcher:
    """Fetches songs. Thread-safe."""

    def __init__(
        self, limits: DownloadLimits, network: OutboundNetwork, partials: PartialDownloads | None = None
    ):
        """`partials` keeps what came of downloads that broke off; None: nothing is kept."""
        self._limits, self._network, self._partials = limits, network, partials

    def fetch(self, task: Task, directory: Path, context: JobContext, status: JobStatus) -> DownloadedFile:
        """Fetch the song into `directory`; give the slot away when that takes over `_SLOT_KEPT_S`.

        Raises what `download` raises.
        """
        slot_until_s = time.monotonic() + _SLOT_KEPT_S

        def check() -> None:
            context.check()
            if time.monotonic() > slot_until_s:
                context.leave_slot()

        with self._partials.of(task) if self._partials else nullcontext() as partial:
            return download(
                task.audio, directory, self._limits, self._network, check, status.advance, partial=partial
            )

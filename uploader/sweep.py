"""Removes expired songs, and what killed services have left in the stage and in the store."""

import logging
import re
import threading
import time
from collections.abc import Callable

from common.observability.prometheus import Numbers
from common.storage.bucket_keys import stage_prefix
from common.storage.multipart import MultipartUploads
from common.storage.stage_interface import Stage
from common.storage.stage_keys import STEM_FILE, is_any_key
from uploader.songs import SongKeeper

log = logging.getLogger(__name__)

_EVERY_S = 600.0
# An uploader removes the attempts that it has retired within seconds, unless it is killed.
RETIRED_FOR_S = 300.0
# No upload of ours takes as long as a day.
_UPLOAD_FOR_S = 24 * 3600.0
_STEM_KEY = re.compile(rf"[0-9a-f]{{8}}(-[0-9a-f]{{4}}){{3}}-[0-9a-f]{{12}}/\d+/{STEM_FILE}", re.ASCII)


class Sweeper:
    """Sweeps the stage, unfinished multipart uploads and songs. Several services may sweep at once."""

    def __init__(
        self,
        stage: Stage,
        uploads: MultipartUploads,
        s3_prefix: str,
        kept_for_s: float,
        wall_clock: Callable[[], float] = time.time,
        songs: SongKeeper | None = None,
    ):
        """Staged stems that no uploader takes are removed after `kept_for_s` seconds.

        `wall_clock` gives seconds since the epoch. `songs` sweeps uploaded songs.
        """
        self._songs = songs
        self._stage, self._uploads, self._prefix = stage, uploads, s3_prefix
        self._kept_for_s, self._wall_clock = kept_for_s, wall_clock
        self._size_bytes: int | None = None

    def run(self, stopping: threading.Event) -> None:
        """Sweeps at once, then every ten minutes, until `stopping` is set."""
        while not stopping.is_set():
            # Apart: a stage that cannot be read must not keep songs for ever.
            for sweep in (self.sweep_stage, self.sweep_songs):
                try:
                    sweep()
                except Exception:  # the loop's edge: the next sweep makes up for this one
                    log.exception("the sweep failed")
            stopping.wait(_EVERY_S)

    def sweep_stage(self) -> None:
        """Sweeps the stage and the unfinished multipart uploads of stems once."""
        now_s = self._wall_clock()
        uploads = self._uploads.abort_older(self._prefix, self._is_ours, now_s - _UPLOAD_FOR_S)
        attempts = self._stage.sweep(now_s, RETIRED_FOR_S, self._kept_for_s)
        if attempts or uploads:
            log.info("swept %d staged attempts and %d unfinished uploads", attempts, uploads)
        self._size_bytes = self._stage.size_bytes()

    def sweep_songs(self) -> None:
        """Sweeps the uploaded songs once. Raises BotoCoreError and ClientError."""
        if self._songs is not None and (songs := self._songs.sweep()):
            log.info("swept %d uploaded songs", songs)

    def size_bytes(self) -> Numbers:
        """Returns how many bytes waited in the stage after the last sweep; nothing before the first one."""
        return {} if self._size_bytes is None else {(): float(self._size_bytes)}

    def _is_ours(self, key: str) -> bool:
        staged = stage_prefix(self._prefix)
        if key.startswith(staged):
            return is_any_key(key.removeprefix(staged))
        return key.startswith(self._prefix) and bool(_STEM_KEY.fullmatch(key.removeprefix(self._prefix)))

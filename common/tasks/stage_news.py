"""Tells a processor whether an uploader has the same stage. Stems in any other stage are lost.

Uploaders mark their stage with an id. They announce the id in `uvr_control` at their start, when it changes,
and each minute. Processors read the announcements, without a group, and compare them with the id in their own
stage. Uploaders of earlier versions announce nothing. While nothing is announced, no job is held up.
"""

import logging
import threading
import time
from collections.abc import Callable

from common.errors import ErrorCode, TransientError
from common.kafka.records import Message
from common.observability.health import Check
from common.observability.repeats import Repeats
from common.storage.stage_interface import Stage
from common.tasks.job_status import Outbox
from common.tasks.messages import StageSeen
from common.waiting import StopCheck

log = logging.getLogger(__name__)

_ANNOUNCED_EVERY_S = 60.0
# The first announcements follow sooner: at a cluster's first start the topic may not be there yet.
_FIRST_AGAIN_S = 5.0
# Long enough to bridge a lost announcement and a restart of the uploader.
_GOOD_FOR_S = 3 * _ANNOUNCED_EVERY_S
_LOOK_EVERY_S = 1.0
_PATIENCE_S = 10.0
_TICK_S = 0.2


class StageAnnouncer:
    """Marks an uploader's stage, and announces it from a thread of its own."""

    def __init__(
        self,
        stage: Stage,
        worker_id: str,
        topic: str,
        outbox: Outbox,
        stopping: threading.Event,
        wall_clock: Callable[[], float] = time.time,
        look_every_s: float = _LOOK_EVERY_S,
    ):
        self._stage, self._worker_id, self._topic = stage, worker_id, topic
        self._outbox, self._stopping, self._wall_clock = outbox, stopping, wall_clock
        self._look_every_s = look_every_s
        self._repeats = Repeats()

    def start(self) -> None:
        """Announces until `stopping` is set."""
        threading.Thread(target=self._run, name="stage-announcer", daemon=True).start()

    def _run(self) -> None:
        announced, due_s, again_s = None, 0.0, _FIRST_AGAIN_S
        while not self._stopping.is_set():
            seen, now_s = self._seen(), time.monotonic()
            if seen != announced:
                announced, due_s, again_s = seen, now_s, _FIRST_AGAIN_S
            if now_s >= due_s:
                due_s, again_s = now_s + again_s, min(2 * again_s, _ANNOUNCED_EVERY_S)
                self._outbox.put(self, self._message(seen))
            self._stopping.wait(self._look_every_s)

    def _seen(self) -> str:
        try:
            return self._stage.marked()
        except OSError as error:
            if self._repeats.is_news(error):
                log.warning("%s cannot be marked for the processors: %s", self._stage.where, error)
            return ""

    def _message(self, seen: str) -> Message:
        message = StageSeen(
            kind="stage_seen",
            worker_id=self._worker_id,
            stage=seen,
            at=self._wall_clock(),
            mode=self._stage.mode,
        )
        return Message(self._topic, f"stage/{self._worker_id}".encode(), message.to_bytes())


class StageWatch:
    """Compares a processor's stage with the stages that uploaders announce. Thread-safe."""

    def __init__(
        self,
        stage: Stage,
        wall_clock: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
        tick_s: float = _TICK_S,
    ):
        """`tick_s`: how often whoever waits for the stage looks again."""
        self._stage, self._wall_clock, self._clock, self._tick_s = stage, wall_clock, clock, tick_s
        self._lock = threading.Lock()
        self._known = threading.Event()
        self._seen: dict[str, StageSeen] = {}
        self._last = Check(True)

    def start(self, stopping: threading.Event) -> None:
        """Keeps `ok` up to date, from a thread of its own, until `stopping` is set."""

        def watch() -> None:
            while not stopping.wait(_LOOK_EVERY_S):
                self.check()

        threading.Thread(target=watch, name="stage-watch", daemon=True).start()

    @property
    def ok(self) -> bool:
        """True if the last check was good. Never blocks, unlike a directory of another host."""
        return self._last.ok

    def add(self, seen: StageSeen) -> None:
        """Takes an announcement, in the order in which the topic has them."""
        with self._lock:
            self._seen[seen.worker_id] = seen

    def catch_up(self) -> None:
        """Notes that every announcement from before the start was added, or that there can be none."""
        self._known.set()

    def check(self) -> Check:
        """Checks, for `/readyz`, that the stage can be used, and that one of the announced stages is it."""
        found = self._stage.check()
        if found.ok:
            found = self._compare(self._announced())
        if not found.ok and found != self._last:
            log.error("no job begins: %s", found.detail)
        self._last = found
        return found

    def wait(self, stopping: threading.Event) -> None:
        """Waits until the check is good, or `stopping` is set."""
        end_s = self._clock() + _PATIENCE_S
        while not stopping.is_set() and not self._known.wait(self._tick_s) and self._clock() < end_s:
            pass
        while not stopping.is_set() and not self.check().ok:
            stopping.wait(self._tick_s)

    def wait_to_stage(self, check: StopCheck) -> None:
        """Waits for up to 10 s, before stems are staged, until the check is good.

        Raises TransientError if it stays bad (storage_error if the bucket's store does not answer, else
        stage_missing), and the errors of `check`.
        """
        end_s = self._clock() + _PATIENCE_S
        while not self.check().ok:
            check()
            if self._clock() >= end_s:
                raise self._not_ready()
            time.sleep(self._tick_s)

    def _not_ready(self) -> TransientError:
        if self._stage.mode == "s3" and not self._stage.check().ok:
            return TransientError(ErrorCode.STORAGE_ERROR, "The stems cannot be staged: the store is away")
        what = "OUTPUT_DIR" if self._stage.mode == "path" else "stage in the bucket"
        reason = f"The stems would be lost: no uploader sees this processor's {what}"
        return TransientError(ErrorCode.STAGE_MISSING, reason)

    def _announced(self) -> dict[str, StageSeen]:
        """Returns what each uploader has announced lately."""
        now_s = self._wall_clock()
        with self._lock:
            self._seen = {n: seen for n, seen in self._seen.items() if abs(now_s - seen.at) <= _GOOD_FOR_S}
            return dict(self._seen)

    def _compare(self, announced: dict[str, StageSeen]) -> Check:
        if not announced:
            return Check(True)
        where, mode = self._stage.where, self._stage.mode
        try:
            mine = self._stage.marker()
        except OSError as error:
            return Check(False, f"{where}: its marker cannot be read: {error.strerror}")
        others = ", ".join(sorted(name for name, seen in announced.items() if seen.stage != mine))
        if any(mine is not None and seen.stage == mine for seen in announced.values()):
            return Check(True, f"not the stage of uploader {others}" if others else "")
        if all(seen.mode != mode for seen in announced.values()):
            reason = f"STAGE={mode} ({where}), but {others} have another: give all workers one STAGE"
            return Check(False, reason)
        return Check(False, f"{where} is not the stage of any uploader ({others}): stems would be lost")

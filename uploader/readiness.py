"""Checks now and then that the bucket can be used, so that a probe need not ask the store each time."""

import logging
import threading
from collections.abc import Callable

from common.observability.health import Check
from common.storage.storage_errors import StorageError

log = logging.getLogger(__name__)

_GOOD_FOR_S = 30.0
_BAD_FOR_S = 2.0
_WAIT_STEP_S = 1.0


class BucketWatch:
    """Keeps the result of the last check for 30 s if the bucket was usable, else for 2 s. Thread-safe."""

    def __init__(self, ask: Callable[[], None], clock: Callable[[], float]):
        """`ask` raises StorageError when the bucket cannot be used. `clock` gives seconds."""
        self._ask, self._clock = ask, clock
        self._lock = threading.Lock()
        self._last = Check(False, "not asked yet")
        self._valid_until_s = clock()

    def wait(self, stopping: threading.Event) -> None:
        """Returns once the bucket can be used, or when `stopping` is set."""
        while not stopping.is_set() and not self.check().ok:
            stopping.wait(_WAIT_STEP_S)

    def check(self) -> Check:
        """For `/readyz`: tells whether the bucket can be used, and if not, why. May block for 15 s."""
        with self._lock:
            if self._clock() >= self._valid_until_s:
                answer = self._answer()
                if answer != self._last and not answer.ok:
                    log.error("the bucket cannot be used: %s", answer.detail)
                self._last = answer
                self._valid_until_s = self._clock() + (_GOOD_FOR_S if answer.ok else _BAD_FOR_S)
            return self._last

    def _answer(self) -> Check:
        try:
            self._ask()
        except StorageError as error:
            return Check(False, str(error))
        return Check(True)

"""Whether the bucket can be used, asked of the store now and then rather than at each probe."""

import logging
import threading
from collections.abc import Callable

from common.observability.health import Check
from uploader.storage_errors import StorageError

log = logging.getLogger(__name__)

_GOOD_FOR_S = 30.0
_BAD_FOR_S = 2.0


class BucketWatch:
    """Keeps the last answer of `ask`, which raises StorageError when the bucket cannot be used."""

    def __init__(self, ask: Callable[[], None], clock: Callable[[], float]):
        self._ask, self._clock = ask, clock
        self._lock = threading.Lock()
        self._last = Check(False, "not asked yet")
        self._valid_until_s = clock()

    def check(self) -> Check:
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

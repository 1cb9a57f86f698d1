"""The marker of the stage in the bucket: an object with an id, by which workers see that they share one."""

import errno
import threading
import time
from collections.abc import Callable
from uuid import uuid4

from botocore.exceptions import BotoCoreError, ClientError

from common.storage.bucket import Bucket
from common.storage.stage_keys import TASK_NAME
from common.storage.storage_errors import reason_of

_NAME = ".uvr-stage"
_GOOD_FOR_S = 10.0
_BAD_FOR_S = 2.0


class BucketMarker:
    """Keeps what a look at the marker has shown for 10 s, a failed look for 2 s. Thread-safe.

    So probes and threads that ask each second do not ask the store each time. A look may block for 15 s.
    """

    def __init__(
        self,
        bucket: Bucket,
        root: str,
        on_answer: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ):
        """`root` is the prefix of the stage's keys. `on_answer` is called after each look that succeeded."""
        self._bucket, self._key = bucket, f"{root}{_NAME}"
        self._on_answer, self._clock = on_answer, clock
        self._lock = threading.Lock()
        self._seen: str | OSError | None = None
        self._look_again_s = clock()
        self._last_id: str | None = None

    def read(self) -> str | None:
        """Returns the id, or None if there is no marker. Raises OSError if the store cannot be used."""
        with self._lock:
            if is_due := self._clock() >= self._look_again_s:
                self._seen = self._look()
                lasts_s = _BAD_FOR_S if isinstance(self._seen, OSError) else _GOOD_FOR_S
                self._look_again_s = self._clock() + lasts_s
            seen = self._seen
        if isinstance(seen, OSError):
            raise seen
        if is_due:
            self._on_answer()
        return seen

    def make(self) -> str:
        """Returns the id, and puts a marker with a new id where there is none.

        If several uploaders do so at once, the first one's id stays. While the store is away the id that was
        read last stands: an outage does not make it another bucket. Raises OSError if no id is known yet.
        """
        try:
            found = self.read()
        except OSError:
            if self._last_id is None:
                raise
            return self._last_id
        self._last_id = found or self._mark()
        return self._last_id

    def _mark(self) -> str:
        body = f"{uuid4()}\n".encode()
        try:
            if not self._bucket.create(self._key, body) and self._look() is None:
                self._bucket.put(self._key, body)  # there is an object, but it is no marker
        except (BotoCoreError, ClientError) as error:
            raise _unusable(error) from error
        with self._lock:
            self._look_again_s = self._clock()
        return self.read() or ""

    def _look(self) -> str | OSError | None:
        """Returns the id, None if there is no marker, or why nobody can tell."""
        try:
            # To keys that may list only a part of the bucket, S3 refuses to tell that an object is missing.
            is_there = any(found.key == self._key for found in self._bucket.objects(self._key))
            body = (self._bucket.get(self._key) if is_there else None) or b""
        except (BotoCoreError, ClientError) as error:
            return _unusable(error)
        found = body[:100].decode("ascii", "replace").strip()
        return found if TASK_NAME.fullmatch(found) else None


def _unusable(error: BotoCoreError | ClientError) -> OSError:
    return OSError(errno.EIO, f"the store cannot be used: {reason_of(error)}")

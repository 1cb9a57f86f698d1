"""Removes staged files and unfinished uploads from the bucket, later where the store does not answer now."""

import logging
import threading
from dataclasses import dataclass

from botocore.exceptions import BotoCoreError, ClientError

from common.storage import stage_keys
from common.storage.bucket import Bucket
from common.storage.storage_errors import is_outage

log = logging.getLogger(__name__)

_MAX_OWED = 10_000


@dataclass(frozen=True)
class Removal:
    """The attempts `first` to `last` at one record, which are to be removed."""

    task: str
    place: str
    first: int
    last: int

    def takes(self, attempt: str) -> bool:
        """Returns whether the attempt of that name is to go."""
        found = stage_keys.ATTEMPT_NAME.fullmatch(attempt)
        if not found or found["place"] != self.place:
            return False
        return self.first <= int(found["number"]) <= self.last


class StagedRemovals:
    """Removes attempts. Thread-safe."""

    def __init__(self, bucket: Bucket, root: str):
        """`root` is the prefix of the stage's keys."""
        self._bucket, self._root = bucket, root
        self._lock = threading.Lock()
        self._owed: dict[Removal, None] = {}

    def remove(self, removal: Removal) -> None:
        """Removes the files and unfinished uploads; notes the removal for `pay` if the store is away."""
        try:
            self._remove(removal)
        except (BotoCoreError, ClientError) as error:
            log.warning("staged files of %s stay for now: %s", removal.task, error)
            with self._lock:
                if is_outage(error) and len(self._owed) < _MAX_OWED:
                    self._owed[removal] = None

    def pay(self) -> None:
        """Makes up for the removals that have failed."""
        with self._lock:
            owed, self._owed = self._owed, {}
        for removal in owed:
            self.remove(removal)

    def _remove(self, removal: Removal) -> None:
        prefix = f"{self._root}{removal.task}/{removal.place}."

        def is_taken(key: str) -> bool:
            return removal.takes(key.removeprefix(self._root).split("/")[1])

        self._bucket.remove([found.key for found in self._bucket.objects(prefix) if is_taken(found.key)])
        self._bucket.multipart.abort_all(prefix, is_taken)

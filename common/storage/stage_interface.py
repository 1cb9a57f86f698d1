"""Describes what a stage does, be it a directory (STAGE=path) or a part of the bucket (STAGE=s3)."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol
from uuid import UUID

from common.observability.health import Check
from common.storage.verified import VerifiedFile
from common.waiting import StopCheck, go_on

StageMode = Literal["path", "s3"]


@dataclass(frozen=True)
class StagedFile:
    """A complete file in the stage. `sha256` is in hexadecimal; `etag` is the store's, if it is there."""

    key: str
    sha256: str
    size_bytes: int
    etag: str | None = None


class StemTarget(Protocol):
    """The object in the bucket that a staged file becomes."""

    def upload(self, file: VerifiedFile) -> None:
        """Stores the bytes of `file`. Raises JobError, and whatever ends a job that must stop."""

    def copy(self, source: str, size_bytes: int, etag: str | None = None) -> bool:
        """Copies the object `source` within the store. Raises as `upload`.

        Returns False if it is missing, or if it has another ETag than `etag`.
        """


class Stage(Protocol):
    """Keeps stems until an uploader has published them. Thread-safe, for several processes and hosts at once.

    Each attempt at a record has a place of its own, named `{task_uuid}/{place}.{attempt}`. Keys that belong
    to no stage raise ValueError.
    """

    @property
    def mode(self) -> StageMode:
        """The value of STAGE that means this stage."""

    @property
    def where(self) -> str:
        """Names the stage for operators."""

    def check(self) -> Check:
        """Checks, for `/readyz`, that the stage can be used. May block for some seconds."""

    def marker(self) -> str | None:
        """Returns the id of this stage, or None if no uploader has marked it. Raises OSError."""

    def marked(self) -> str:
        """Returns the id of this stage, and marks the stage with a new id if it has none. Raises OSError."""

    def put(
        self, task_uuid: UUID, place: str, attempt: int, source: Path, check: StopCheck = go_on
    ) -> StagedFile:
        """Moves `source` into the stage. The staged file appears complete or not at all.

        Raises OSError, TransientError (storage_error), ValueError for a name that no stem has, and what
        `check` raises.
        """

    def publish(self, staged: StagedFile, target: StemTarget) -> None:
        """Gives a staged file to `target`, and counts the attempt's age from now where `sweep` soon takes it.

        Raises PermanentError (`stage_missing` if the file is gone, `stage_mismatch` if it is another one than
        was announced), JobError, and what `target` raises.
        """

    def remove_attempt(self, task_uuid: UUID, place: str, attempt: int) -> None:
        """Removes all files that one attempt has staged, if there are any. Raises nothing."""

    def remove_earlier_attempts(self, task_uuid: UUID, place: str, attempt: int) -> None:
        """Removes the files of attempts before `attempt` at the same record. Raises nothing."""

    def keep(self, key: str) -> None:
        """Makes `sweep` count the age of the attempt of `key` from now, since its stems are still needed."""

    def retire(self, key: str) -> None:
        """Hides the attempt of `key` from readers: the bucket has its stems. A second call does no harm."""

    def remove_retired(self, key: str) -> None:
        """Removes what is left of an attempt that was retired, and earlier attempts at the same record."""

    def size_bytes(self) -> int:
        """Returns how many bytes all staged files have. Raises OSError."""

    def sweep(self, now_s: float, retired_for_s: float, kept_for_s: float) -> int:
        """Removes attempts that a killed worker has left or nobody has published; returns their number.

        A retired attempt goes `retired_for_s` seconds after it was retired, any other when nothing was
        written in it for `kept_for_s` seconds. `now_s` is in seconds since the epoch.
        """

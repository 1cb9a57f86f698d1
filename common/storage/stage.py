"""The stage of STAGE=path: a directory that processors and uploaders share, where stems wait for uploaders.

Keys are `{task_uuid}/{place}.{attempt}/{file}`. `place` names the task's record: several records can have one
task_uuid (a repeated `Idempotency-Key`, a retry, a replay), and each counts its attempts from 1.
Links in the stage are refused (common.storage.beneath): nothing outside is read, moved or removed.
"""

import contextlib
import hashlib
import math
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import BinaryIO
from uuid import UUID, uuid4

from common.observability.health import Check
from common.storage import beneath, stage_keys
from common.storage.stage_interface import StagedFile, StageMode, StemTarget
from common.storage.stage_keys import ATTEMPT_NAME, RETIRED, TASK_NAME, read_key
from common.storage.verified import VerifiedFile, foreign, missing
from common.waiting import StopCheck, go_on

# A file that uploaders put into their stage. It tells processors whether they have the same stage.
MARKER = ".uvr-stage"
_TEMPORARY = ".part"


class LocalStage:
    """The stage on a file system. Several processes and hosts may use it at once."""

    mode: StageMode = "path"

    def __init__(self, root: Path):
        self.root = root

    @property
    def where(self) -> str:
        """Names the stage for operators."""
        return f"OUTPUT_DIR {self.root}"

    def open(self) -> None:
        """Makes the stage's directory, and checks that files can be made and removed there. Raises OSError.

        The test file stays empty, so that a full disk is no error: the uploader will make room. It has no
        name where the file system can do that, so that a process killed here leaves nothing.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(prefix=".probe-", dir=self.root).close()

    def check(self) -> Check:
        """Checks, for `/readyz`, that the directory still exists and can be written."""
        try:
            os.scandir(self.root).close()
        except OSError as error:
            return Check(False, f"{self.where}: {error.strerror}")
        if not os.access(self.root, os.W_OK | os.X_OK):
            return Check(False, f"{self.where} cannot be written")
        return Check(True)

    def marker(self) -> str | None:
        """Returns the id of this stage, or None if no uploader has marked it. Raises OSError."""
        try:
            with beneath.directory(self.root) as root, beneath.open_file(root, MARKER) as file:
                found = file.read(100).decode("ascii", "replace").strip()
        except FileNotFoundError:
            return None
        return found if TASK_NAME.fullmatch(found) else None

    def marked(self) -> str:
        """Returns the id of this stage, and marks the stage with a new id if it has none. Raises OSError.

        If several uploaders mark it at once, the last one's id stays.
        """
        if found := self.marker():
            return found
        with tempfile.NamedTemporaryFile("w", prefix=f"{MARKER}.", dir=self.root, delete=False) as file:
            try:
                file.write(f"{uuid4()}\n")
                os.fchmod(file.fileno(), 0o644)
                file.flush()
                os.rename(file.name, self.root / MARKER)
            except BaseException:
                os.unlink(file.name)
                raise
        return self.marker() or ""

    def put(
        self, task_uuid: UUID, place: str, attempt: int, source: Path, check: StopCheck = go_on
    ) -> StagedFile:
        """Moves `source` into the stage, from any file system and under the same name.

        The staged file appears complete or not at all. Raises OSError (also ForeignEntry), ValueError for a
        name that no stem has, and what `check` raises.
        """
        check()
        key = f"{task_uuid}/{place}.{attempt}/{source.name}"
        at = read_key(key)
        temporary = at.file + _TEMPORARY
        with beneath.made_directory(self.root, at.task, at.attempt) as directory:
            beneath.move_in(source, directory, temporary)
            with beneath.open_file(directory, temporary) as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
                os.fsync(file.fileno())
                size_bytes = os.fstat(file.fileno()).st_size
            os.rename(temporary, at.file, src_dir_fd=directory, dst_dir_fd=directory)
            os.fsync(directory)
        # The entry of a new directory is in the directory above it, which must be on the disk, too.
        for names in ((at.task,), ()):
            with beneath.directory(self.root, *names) as above:
                os.fsync(above)
        return StagedFile(key, digest, size_bytes)

    def publish(self, staged: StagedFile, target: StemTarget) -> None:
        """Uploads a staged file, and counts the attempt's age from now: as Stage.publish."""
        self.keep(staged.key)
        try:
            opened = self.open_file(staged.key)
        except FileNotFoundError:
            raise missing(staged.key) from None
        except beneath.ForeignEntry as error:
            raise foreign(staged.key, error) from None
        with closing(opened) as file:
            target.upload(VerifiedFile(file, staged.size_bytes, staged.sha256))

    def open_file(self, key: str) -> BinaryIO:
        """Opens a staged file for reading.

        Raises ValueError for a wrong key, ForeignEntry, FileNotFoundError and other OSErrors.
        """
        at = read_key(key)
        with beneath.directory(self.root, at.task, at.attempt) as directory:
            return beneath.open_file(directory, at.file)

    def path(self, key: str) -> Path:
        """Returns the path of a staged file. Raises ValueError for a wrong key."""
        at = read_key(key)
        return self.root / at.task / at.attempt / at.file

    def remove_attempt(self, task_uuid: UUID, place: str, attempt: int) -> None:
        """Removes all files that one attempt has staged, if there are any."""
        if ATTEMPT_NAME.fullmatch(name := f"{place}.{attempt}"):
            self._remove(str(task_uuid), name)

    def remove_earlier_attempts(self, task_uuid: UUID, place: str, attempt: int) -> None:
        """Removes the files of attempts before `attempt` at the same record: they are over or stale."""
        self._remove_earlier(str(task_uuid), place, attempt)

    def keep(self, key: str) -> None:
        """Makes `sweep` count the age of the attempt of `key` from now, since its stems are still needed."""
        at = read_key(key)
        # The directory may be gone, or belong to another user.
        with contextlib.suppress(OSError), beneath.directory(self.root, at.task) as task:
            os.utime(at.attempt, dir_fd=task, follow_symlinks=False)

    def retire(self, key: str) -> None:
        """Renames the attempt of `key`, whose files are in the store now. A second call does no harm."""
        at = read_key(key)
        try:
            with beneath.directory(self.root, at.task) as task:
                os.rename(at.attempt, at.attempt + RETIRED, src_dir_fd=task, dst_dir_fd=task)
        except FileNotFoundError:
            return
        except OSError:  # already retired: another worker has staged the attempt again
            self._remove(at.task, at.attempt)

    def remove_retired(self, key: str) -> None:
        """Removes the attempt that `retire` has renamed, and earlier attempts at the same record.

        Attempts that are gone are no error.
        """
        at = read_key(key)
        self._remove(at.task, at.attempt + RETIRED)
        found = stage_keys.read_attempt(at.attempt)
        self._remove_earlier(at.task, found["place"], int(found["number"]))

    def sweep(self, now_s: float, retired_for_s: float, kept_for_s: float) -> int:
        """Removes attempts that a killed worker has left or nobody has uploaded, and returns their number.

        A retired attempt goes `retired_for_s` seconds after it was retired. Any other goes when nothing was
        written in it for `kept_for_s` seconds. `now_s` is in seconds since the epoch. Files and directories
        with other names than the stage's stay. Several may sweep at once, beside workers.
        """
        removed = 0
        for task in self._directories(TASK_NAME):
            for attempt in self._directories(ATTEMPT_NAME, task):
                found = self._stats(task, attempt)
                changed_s, allowed_s = max((each.st_mtime for each in found), default=math.inf), kept_for_s
                if found and attempt.endswith(RETIRED):
                    # Renaming the directory changes this time, and not the others.
                    changed_s, allowed_s = found[0].st_ctime, retired_for_s
                if now_s - changed_s >= allowed_s:
                    self._remove(task, attempt)
                    removed += 1
            self._prune(task)
        return removed

    def size_bytes(self) -> int:
        """Returns how many bytes all staged files have, also half-written ones. Raises OSError."""
        return sum(
            file.st_size
            for task in self._directories(TASK_NAME)
            for attempt in self._directories(ATTEMPT_NAME, task)
            for file in self._stats(task, attempt)[1:]
        )

    def _directories(self, name: re.Pattern[str], *parents: str) -> Iterator[str]:
        """Yields the names of directories that match `name`, never of links."""
        try:
            with beneath.directory(self.root, *parents) as parent:
                found = beneath.names_of_directories(parent)
        except (FileNotFoundError, beneath.ForeignEntry):  # removed by another worker, or not the stage's
            return iter(())
        return (entry for entry in found if name.fullmatch(entry))

    def _remove_earlier(self, task: str, place: str, attempt: int) -> None:
        for name in self._directories(ATTEMPT_NAME, task):
            found = stage_keys.read_attempt(name)
            if found["place"] == place and not found["retired"] and int(found["number"]) < attempt:
                self._remove(task, name)

    def _remove(self, task: str, attempt: str) -> None:
        with contextlib.suppress(OSError), beneath.directory(self.root, task) as parent:
            shutil.rmtree(attempt, ignore_errors=True, dir_fd=parent)
        self._prune(task)

    def _prune(self, task: str) -> None:
        # An error means that the directory is not empty, or that another worker has removed it.
        with contextlib.suppress(OSError), beneath.directory(self.root) as root:
            os.rmdir(task, dir_fd=root)

    def _stats(self, task: str, attempt: str) -> list[os.stat_result]:
        """Returns the state of an attempt's directory, then of its files.

        Returns nothing if a file or the attempt was renamed just now: somebody works on it.
        """
        try:
            with beneath.directory(self.root, task, attempt) as directory, os.scandir(directory) as entries:
                return [os.fstat(directory), *(entry.stat(follow_symlinks=False) for entry in entries)]
        except (FileNotFoundError, beneath.ForeignEntry):
            return []

"""Where stems wait for the uploader: a directory that processors and uploaders share.

Keys are `{task_uuid}/{place}.{attempt}/{file}`. The record's place is part of the key because several records
have one task_uuid, each with attempts from 1: a repeated `Idempotency-Key`, a retry, a replay. Links that
others put there lead nowhere (common.storage.beneath): nothing outside the stage is read, moved or removed.
"""

import contextlib
import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from uuid import UUID, uuid4

from common.observability.health import Check
from common.storage import beneath

# Stems as separators name them, also in the store's keys.
STEM_NAME = r"[a-z0-9_-]{1,64}"
STEM_FILE = rf"{STEM_NAME}\.(wav|flac|mp3)"
# Uploaders put it into the stage's directory, so that processors know whether it is the same one.
MARKER = ".uvr-stage"
_TEMPORARY = ".part"
_RETIRED = ".retired"
_TASK = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_ATTEMPT = r"(?P<place>[A-Za-z0-9._-]{1,220})\.(?P<number>\d{1,18})"
_TASK_NAME = re.compile(_TASK)
_ATTEMPT_NAME = re.compile(rf"{_ATTEMPT}(?P<retired>{re.escape(_RETIRED)})?", re.ASCII)
_KEY = re.compile(rf"(?P<task>{_TASK})/(?P<attempt>{_ATTEMPT})/(?P<file>{STEM_FILE})", re.ASCII)


@dataclass(frozen=True)
class StagedFile:
    """A complete file of the stage. `sha256` is in hex."""

    key: str
    sha256: str
    size_bytes: int


@dataclass(frozen=True)
class _Place:
    """The parts of a key."""

    task: str
    attempt: str
    file: str


class LocalStage:
    """The stage on a file system. Several processes, and hosts that mount it, may use it at once."""

    def __init__(self, root: Path):
        self.root = root

    def open(self) -> None:
        """Makes the stage's directory and tries that files can be made there and removed. Raises OSError.

        Nothing is written to that file: where the disk is full, it is the uploader that makes room.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        tempfile.NamedTemporaryFile(prefix=".probe-", dir=self.root).close()

    def check(self) -> Check:
        """For `/readyz`: whether the directory, which may be another host's, is still there to be written."""
        try:
            os.scandir(self.root).close()
        except OSError as error:
            return Check(False, f"OUTPUT_DIR {self.root}: {error.strerror}")
        if not os.access(self.root, os.W_OK | os.X_OK):
            return Check(False, f"OUTPUT_DIR {self.root} cannot be written")
        return Check(True)

    def marker(self) -> str | None:
        """The id that tells this stage from any other, or None where nobody has marked it. Raises OSError."""
        try:
            with beneath.directory(self.root) as root, beneath.open_file(root, MARKER) as file:
                found = file.read(100).decode("ascii", "replace").strip()
        except FileNotFoundError:
            return None
        return found if _TASK_NAME.fullmatch(found) else None

    def marked(self) -> str:
        """The same, and marks a stage that is not. Of several who mark it at once the last one's id stays.

        Raises OSError.
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

    def put(self, task_uuid: UUID, place: str, attempt: int, source: Path) -> StagedFile:
        """Moves `source` (same name, any file system) into the stage: complete or not there at all.

        Raises OSError, ForeignEntry among them, and ValueError for a name that no stem has.
        """
        key = f"{task_uuid}/{place}.{attempt}/{source.name}"
        at = _place(key)
        temporary = at.file + _TEMPORARY
        with beneath.made_directory(self.root, at.task, at.attempt) as directory:
            beneath.move_in(source, directory, temporary)
            with beneath.open_file(directory, temporary) as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
                os.fsync(file.fileno())
                size_bytes = os.fstat(file.fileno()).st_size
            os.rename(temporary, at.file, src_dir_fd=directory, dst_dir_fd=directory)
            os.fsync(directory)
        # A new directory's own entry is in the directory above it.
        for names in ((at.task,), ()):
            with beneath.directory(self.root, *names) as above:
                os.fsync(above)
        return StagedFile(key, digest, size_bytes)

    def open_file(self, key: str) -> BinaryIO:
        """Opens a staged file for reading.

        Raises ValueError for what is no key, ForeignEntry, FileNotFoundError and OSError.
        """
        at = _place(key)
        with beneath.directory(self.root, at.task, at.attempt) as directory:
            return beneath.open_file(directory, at.file)

    def path(self, key: str) -> Path:
        """Where the file of `key` lies. Raises ValueError for what is no key."""
        at = _place(key)
        return self.root / at.task / at.attempt / at.file

    def remove_attempt(self, task_uuid: UUID, place: str, attempt: int) -> None:
        """Removes all that one attempt has staged; no error if that is nothing."""
        if _ATTEMPT_NAME.fullmatch(name := f"{place}.{attempt}"):
            self._remove(str(task_uuid), name)

    def remove_earlier_attempts(self, task_uuid: UUID, place: str, attempt: int) -> None:
        """Removes what attempts before `attempt` at the same record left: they are over or stale."""
        self._remove_earlier(str(task_uuid), place, attempt)

    def keep(self, key: str) -> None:
        """Notes that the attempt of `key` is still wanted, so that `sweep` counts its age from now."""
        at = _place(key)
        # It may be gone, or another user's.
        with contextlib.suppress(OSError), beneath.directory(self.root, at.task) as task:
            os.utime(at.attempt, dir_fd=task, follow_symlinks=False)

    def retire(self, key: str) -> None:
        """Puts the attempt of `key` out of sight: what it holds is in the store now. Again does no harm."""
        at = _place(key)
        try:
            with beneath.directory(self.root, at.task) as task:
                os.rename(at.attempt, at.attempt + _RETIRED, src_dir_fd=task, dst_dir_fd=task)
        except FileNotFoundError:
            return
        except OSError:  # there is one already: the attempt of a worker that did not know
            self._remove(at.task, at.attempt)

    def remove_retired(self, key: str) -> None:
        """Removes what `retire` has put out of sight, and the attempts at the same record before it.

        No error if nothing is there.
        """
        at = _place(key)
        self._remove(at.task, at.attempt + _RETIRED)
        found = _ATTEMPT_NAME.fullmatch(at.attempt)
        self._remove_earlier(at.task, found["place"], int(found["number"]))

    def sweep(self, now_s: float, retired_for_s: float, kept_for_s: float) -> int:
        """Removes what a killed worker could not, and what nobody has come for; how many attempts went.

        Those that were retired `retired_for_s` ago or more, the others when for `kept_for_s` nothing has
        been written in them; `now_s` is since the epoch. What is not named as the stage names it stays.
        Several may sweep at once, and beside workers.
        """
        removed = 0
        for task in self._directories(_TASK_NAME):
            for attempt in self._directories(_ATTEMPT_NAME, task):
                changed_s, allowed_s = self._newest_s(task, attempt), kept_for_s
                if attempt.endswith(_RETIRED):
                    changed_s, allowed_s = self._renamed_s(task, attempt), retired_for_s
                if changed_s is not None and now_s - changed_s >= allowed_s:
                    self._remove(task, attempt)
                    removed += 1
            self._prune(task)
        return removed

    def _directories(self, name: re.Pattern[str], *parents: str) -> Iterator[str]:
        """The names of that form; never a link's."""
        try:
            with beneath.directory(self.root, *parents) as parent:
                found = beneath.names_of_directories(parent)
        except (FileNotFoundError, beneath.ForeignEntry):  # another worker was faster, or it is none of ours
            return iter(())
        return (entry for entry in found if name.fullmatch(entry))

    def _remove_earlier(self, task: str, place: str, attempt: int) -> None:
        for name in self._directories(_ATTEMPT_NAME, task):
            found = _ATTEMPT_NAME.fullmatch(name)
            if found["place"] == place and not found["retired"] and int(found["number"]) < attempt:
                self._remove(task, name)

    def _remove(self, task: str, attempt: str) -> None:
        with contextlib.suppress(OSError), beneath.directory(self.root, task) as parent:
            shutil.rmtree(attempt, ignore_errors=True, dir_fd=parent)
        self._prune(task)

    def _prune(self, task: str) -> None:
        # Mostly not empty; or another worker was faster.
        with contextlib.suppress(OSError), beneath.directory(self.root) as root:
            os.rmdir(task, dir_fd=root)

    def _newest_s(self, task: str, attempt: str) -> float | None:
        """When something was last written there, or it was last asked to be kept; None when it is gone."""
        try:
            with beneath.directory(self.root, task, attempt) as directory, os.scandir(directory) as entries:
                times = [entry.stat(follow_symlinks=False).st_mtime for entry in entries]
                return max([os.fstat(directory).st_mtime, *times])
        except (FileNotFoundError, beneath.ForeignEntry):
            return None  # a file was renamed this very moment, or the attempt: somebody works on it

    def _renamed_s(self, task: str, attempt: str) -> float | None:
        try:
            with beneath.directory(self.root, task, attempt) as directory:
                # Unlike the other times this one is changed by the renaming itself.
                return os.fstat(directory).st_ctime
        except (FileNotFoundError, beneath.ForeignEntry):
            return None


def is_key(key: str, task_uuid: UUID) -> bool:
    """Whether it is the key of a file that this task's processor can have staged."""
    return bool(_KEY.fullmatch(key)) and key.startswith(f"{task_uuid}/")


def _place(key: str) -> _Place:
    if found := _KEY.fullmatch(key):
        return _Place(found["task"], found["attempt"], found["file"])
    raise ValueError(f"not a key of the stage: {key!r}")

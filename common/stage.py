"""Where stems wait for the uploader: a directory that processors and uploaders share.

Keys are `{task_uuid}/{place}.{attempt}/{file}`. The record's place is part of the key because several records
have one task_uuid, each with attempts from 1: a repeated `Idempotency-Key`, a retry, a replay.
"""

import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from uuid import UUID

from common.health import Check

_TEMPORARY = ".part"
_RETIRED = ".retired"
_MAKE_TRIES = 100
_TASK_NAME = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_ATTEMPT_NAME = re.compile(rf"(?P<place>.+)\.(?P<number>\d{{1,18}})(?P<retired>{re.escape(_RETIRED)})?")


@dataclass(frozen=True)
class StagedFile:
    """A complete file of the stage. `sha256` is in hex."""

    key: str
    sha256: str
    size_bytes: int


class LocalStage:
    """The stage on a file system. Several processes, and hosts that mount it, may use it at once."""

    def __init__(self, root: Path):
        self.root = root

    def open(self) -> None:
        """Makes the stage's directory and tries that files can be made there and removed. Raises OSError.

        Nothing is written to that file: where the disk is full, it is the uploader that makes room.
        """
        _make_directory(self.root)
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

    def put(self, task_uuid: UUID, place: str, attempt: int, source: Path) -> StagedFile:
        """Moves `source` (same name, any file system) into the stage: complete or not there at all."""
        key = f"{task_uuid}/{place}.{attempt}/{source.name}"
        target = self.path(key)
        _make_directory(target.parent)
        temporary = target.with_name(target.name + _TEMPORARY)
        shutil.move(source, temporary)
        with temporary.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            os.fsync(file.fileno())
        size_bytes = temporary.stat().st_size
        temporary.rename(target)
        # A new directory's own entry is in the directory above it.
        for directory in (target.parent, target.parent.parent, self.root):
            _fsync_directory(directory)
        return StagedFile(key, digest, size_bytes)

    def path(self, key: str) -> Path:
        """Raises ValueError for a key that would lead out of the stage."""
        parts = PurePosixPath(key).parts
        if len(parts) != 3 or ".." in parts or key.startswith("/"):
            raise ValueError(f"not a key of the stage: {key!r}")
        return self.root.joinpath(*parts)

    def remove_attempt(self, task_uuid: UUID, place: str, attempt: int) -> None:
        self._remove(self.root / str(task_uuid) / f"{place}.{attempt}")

    def remove_earlier_attempts(self, task_uuid: UUID, place: str, attempt: int) -> None:
        """Removes what attempts before `attempt` at the same record left: they are over or stale."""
        for directory, number in self._attempts(task_uuid, place):
            if number < attempt:
                self._remove(directory)

    def keep(self, key: str) -> None:
        """Notes that the attempt of `key` is still wanted, so that `sweep` counts its age from now."""
        try:
            os.utime(self.path(key).parent)
        except OSError:  # gone, or another user's
            return

    def retire(self, key: str) -> None:
        """Puts the attempt of `key` out of sight: what it holds is in the store now. Again does no harm."""
        attempt_dir = self.path(key).parent
        try:
            attempt_dir.rename(_retired(attempt_dir))
        except FileNotFoundError:
            return
        except OSError:  # there is one already: the attempt of a worker that did not know
            self._remove(attempt_dir)

    def remove_retired(self, key: str) -> None:
        """Removes what `retire` has put out of sight, and the attempts at the same record before it.

        No error if nothing is there.
        """
        attempt_dir = self.path(key).parent
        self._remove(_retired(attempt_dir))
        if found := _ATTEMPT_NAME.fullmatch(attempt_dir.name):
            for directory, number in self._attempts(attempt_dir.parent.name, found["place"]):
                if number < int(found["number"]):
                    self._remove(directory)

    def sweep(self, now_s: float, retired_for_s: float, kept_for_s: float) -> int:
        """Removes what a killed worker could not, and what nobody has come for; how many attempts went.

        Those that were retired `retired_for_s` ago or more, the others when for `kept_for_s` nothing has
        been written in them; `now_s` is since the epoch. What is not named as the stage names it stays.
        Several may sweep at once, and beside workers.
        """
        removed = 0
        for task_dir in _directories(self.root, _TASK_NAME):
            for attempt_dir in _directories(task_dir, _ATTEMPT_NAME):
                changed_s, allowed_s = _newest_s(attempt_dir), kept_for_s
                if attempt_dir.name.endswith(_RETIRED):
                    changed_s, allowed_s = _renamed_s(attempt_dir), retired_for_s
                if changed_s is not None and now_s - changed_s >= allowed_s:
                    self._remove(attempt_dir)
                    removed += 1
            self._prune(task_dir)
        return removed

    def _attempts(self, task: UUID | str, place: str) -> Iterator[tuple[Path, int]]:
        for directory in _directories(self.root / str(task), _ATTEMPT_NAME):
            found = _ATTEMPT_NAME.fullmatch(directory.name)
            if found["place"] == place and not found["retired"]:
                yield directory, int(found["number"])

    def _remove(self, directory: Path) -> None:
        shutil.rmtree(directory, ignore_errors=True)
        self._prune(directory.parent)

    def _prune(self, directory: Path) -> None:
        while directory != self.root:
            try:
                directory.rmdir()
            except OSError:  # not empty, or another worker was faster
                return
            directory = directory.parent


def _retired(attempt_dir: Path) -> Path:
    return attempt_dir.with_name(attempt_dir.name + _RETIRED)


def _directories(parent: Path, name: re.Pattern[str]) -> list[Path]:
    """Those in `parent` whose name is of that form; never a link."""
    try:
        with os.scandir(parent) as entries:
            return [
                parent / entry.name
                for entry in entries
                if name.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False)
            ]
    except FileNotFoundError:  # another worker was faster
        return []


def _newest_s(attempt_dir: Path) -> float | None:
    """When something was last written there, or it was last asked to be kept; None when it is gone."""
    try:
        times = [attempt_dir.stat().st_mtime]
        with os.scandir(attempt_dir) as entries:
            times += [entry.stat(follow_symlinks=False).st_mtime for entry in entries]
    except FileNotFoundError:  # a file was renamed this very moment, or the attempt: somebody works on it
        return None
    return max(times)


def _renamed_s(attempt_dir: Path) -> float | None:
    try:
        # Unlike the other times this one is changed by the renaming itself.
        return attempt_dir.stat().st_ctime
    except FileNotFoundError:
        return None


def _make_directory(directory: Path) -> None:
    for tries_left in reversed(range(_MAKE_TRIES)):
        try:
            directory.mkdir(parents=True, exist_ok=True)
            return
        except (FileNotFoundError, FileExistsError):
            # Another worker has removed the task's directory, which was empty, in between.
            if not tries_left:
                raise


def _fsync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

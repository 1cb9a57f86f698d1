"""Submits songs: by their address, or the files themselves through the api or straight into its bucket."""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast
from uuid import UUID

from pydantic import BaseModel

from uvr_client import answers, texts
from uvr_client.errors import Unreachable, UploadFailed, UvrError, notes
from uvr_client.parts import Part, PartSender, Progress, StoreOutOfReach
from uvr_client.transport import Repeat, Transport, http_client
from uvr_client.uploads import CallUploads

# From here on a song goes straight into the bucket, in parts: one that breaks off is sent again alone.
_DIRECT_BYTES = 64 * 1024 * 1024


def file_of(audio: str | Path) -> Path | None:
    """Returns the song's file; None for an address and for `upload:ID`."""
    if isinstance(audio, Path):
        return audio
    return None if "://" in audio or audio.startswith("upload:") else Path(audio)


class Queued(BaseModel):
    """The api's answer to a submission."""

    task_uuid: UUID
    status: str
    message: str
    ignored: tuple[str, ...] = ()


class SongSender:
    """Submits songs to one api. Threads may share it."""

    def __init__(self, transport: Transport, timeout_s: float):
        """`timeout_s` limits connecting to the store, and each read and write."""
        self._transport = transport
        # Without the api's credentials: an address of the store is its own permission.
        self._store = http_client(timeout_s)

    def close(self) -> None:
        self._store.close()

    def submit(self, audio: str | Path, fields: Mapping[str, Any], key: str, on_progress: Progress) -> Queued:
        """Returns the api's answer to the submission. `fields` has the others of the body, without None.

        Raises UploadFailed if the file cannot be read, or the store does not take it, and the errors of
        Transport.request.
        """
        path = file_of(audio)
        if path is None:
            return CallUploads(self._transport).submit(Queued, "/generate", {"audio": audio, **fields}, key)
        with _file_errors(path):
            size_bytes, sha256 = _measured(path)
        if size_bytes >= _DIRECT_BYTES:
            try:
                # The outer one is CallUploads: its notes are for the error that the caller gets.
                with CallUploads(self._transport) as uploads, _file_errors(path):
                    upload = self._put_into_store(path, size_bytes, sha256, uploads, on_progress)
                    return uploads.submit(Queued, "/generate", {"audio": upload, **fields}, key)
            except StoreOutOfReach as error:
                for note in notes(error):
                    self._transport.patience.tell(UvrError(note), 0.0)
        with _file_errors(path):
            return self._post_form(path, size_bytes, {**fields, "sha256": sha256}, key, on_progress)

    def upload(self, path: Path, uploads: CallUploads, on_progress: Progress) -> str:
        """Returns `upload:ID` of a file, put straight into the store. Raises UvrError as `submit` does."""
        try:
            with _file_errors(path):
                return self._put_into_store(path, *_measured(path), uploads, on_progress)
        except StoreOutOfReach as error:
            why = "the store's address (S3_PRESIGN_ENDPOINT_URL of the api) cannot be reached from here"
            raise Unreachable(f"{path}: {why}, as a batch's files need it: use `uvr submit`") from error

    def _post_form(
        self, path: Path, size_bytes: int, fields: Mapping[str, Any], key: str, on_progress: Progress
    ) -> Queued:
        written = {name: _texts(name, value) for name, value in fields.items()}
        with path.open("rb") as file:
            song = _Watched(file, size_bytes, on_progress)
            answer = self._transport.request(
                "POST",
                "/generate",
                Repeat.ANY,
                data=written,
                files={"audio": (texts.readable(path.name), cast(BinaryIO, song))},
                headers={"Idempotency-Key": key},
            )
        return answers.read(Queued, answer.content)

    def _put_into_store(
        self, path: Path, size_bytes: int, sha256: str, uploads: CallUploads, on_progress: Progress
    ) -> str:
        """Returns `upload:ID`. Raises StoreOutOfReach."""
        begun = uploads.begin({"filename": texts.readable(path.name), "bytes": size_bytes, "sha256": sha256})
        parts = begun.parts or (Part(number=1, url=begun.url or "", bytes=size_bytes),)
        etags = PartSender(self._store, self._transport.patience, path, on_progress).send(parts)
        body = {"parts": etags if begun.parts else []}
        self._transport.request("POST", f"/uploads/{begun.upload_id}/complete", Repeat.ANY, json=body)
        return begun.audio


class _Watched:
    """A file that tells how much of it was read."""

    def __init__(self, file: BinaryIO, size_bytes: int, on_progress: Progress):
        self._file, self._size_bytes, self._on_progress = file, size_bytes, on_progress

    def read(self, size: int = -1) -> bytes:
        piece = self._file.read(size)
        self._on_progress(self._file.tell(), self._size_bytes)
        return piece

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def fileno(self) -> int:
        return self._file.fileno()


def _texts(name: str, value: Any) -> str | list[str]:
    """Returns a field of a form: text as it is, a list as several fields, the rest as JSON.

    Raises BadRequest for text that is not valid Unicode. In JSON it is ASCII, and the api names the error.
    """
    if isinstance(value, list | tuple):
        return [str(_texts(name, one)) for one in value]
    if isinstance(value, str):
        texts.check(name, value)
        return value
    return json.dumps(value)


@contextmanager
def _file_errors(path: Path) -> Iterator[None]:
    """Raises UploadFailed for a file that cannot be read."""
    try:
        yield
    except OSError as error:
        raise UploadFailed(f"{path}: {error.strerror or error}") from error


def _measured(path: Path) -> tuple[int, str]:
    """Returns the file's size in bytes and its sha256. Raises OSError, and UploadFailed for a wrong path."""
    try:
        with path.open("rb") as file:
            return os.fstat(file.fileno()).st_size, hashlib.file_digest(file, "sha256").hexdigest()
    except ValueError as error:  # of a NUL or a lone surrogate in the path
        raise UploadFailed(f"{path}: this is not the path of a file: {error}") from None

"""Submits songs: by their address, or the files themselves through the api or straight into its bucket."""

import json
import os
from collections.abc import Mapping
from io import BufferedReader
from pathlib import Path
from typing import Any, BinaryIO, cast
from uuid import UUID

from pydantic import BaseModel

from uvr_client import answers, texts
from uvr_client.errors import Unreachable, notes
from uvr_client.parts import Part, PartSender, Progress, StoreOutOfReach
from uvr_client.song_file import SongFile
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

        Raises UploadFailed if the file cannot be read or changes meanwhile, or the store does not take it.
        Raises the errors of Transport.request.
        """
        path = file_of(audio)
        if path is None:
            return CallUploads(self._transport).submit(Queued, "/generate", {"audio": audio, **fields}, key)
        song = SongFile.measured(path)
        if song.size_bytes >= _DIRECT_BYTES:
            try:
                with CallUploads(self._transport) as uploads:
                    upload = self._put_into_store(song, uploads, on_progress)
                    return uploads.submit(Queued, "/generate", {"audio": upload, **fields}, key)
            except StoreOutOfReach as error:
                for note in notes(error):
                    self._transport.patience.say(note)
        return self._post_form(song, {**fields, "sha256": song.sha256}, key, on_progress)

    def upload(self, path: Path, uploads: CallUploads, on_progress: Progress) -> str:
        """Returns `upload:ID` of a file, put straight into the store. Raises UvrError as `submit` does."""
        try:
            return self._put_into_store(SongFile.measured(path), uploads, on_progress)
        except StoreOutOfReach as error:
            why = "the store's address (S3_PRESIGN_ENDPOINT_URL of the api) cannot be reached from here"
            raise Unreachable(f"{path}: {why}, as a batch's files need it: use `uvr submit`") from error

    def _post_form(
        self, song: SongFile, fields: Mapping[str, Any], key: str, on_progress: Progress
    ) -> Queued:
        written = {name: _texts(name, value) for name, value in fields.items()}
        with song.open() as file:
            watched = _Watched(song, file, on_progress)
            answer = self._transport.request(
                "POST",
                "/generate",
                Repeat.ANY,
                data=written,
                files={"audio": (texts.readable(song.path.name), cast(BinaryIO, watched))},
                headers={"Idempotency-Key": key},
            )
        return answers.read(Queued, answer.content)

    def _put_into_store(self, song: SongFile, uploads: CallUploads, on_progress: Progress) -> str:
        """Returns `upload:ID`. Raises StoreOutOfReach."""
        named = {"filename": texts.readable(song.path.name), "bytes": song.size_bytes}
        begun = uploads.begin({**named, "sha256": song.sha256})
        parts = begun.parts or (Part(number=1, url=begun.url or "", bytes=song.size_bytes),)
        etags = PartSender(self._store, self._transport.patience, song, on_progress).send(parts)
        body = {"parts": etags if begun.parts else []}
        self._transport.request("POST", f"/uploads/{begun.upload_id}/complete", Repeat.ANY, json=body)
        return begun.audio


class _Watched:
    """A song's open file, as httpx reads it for a form. It tells how much of it was read."""

    def __init__(self, song: SongFile, file: BufferedReader, on_progress: Progress):
        self._song, self._file, self._on_progress = song, file, on_progress

    def read(self, size: int) -> bytes:
        """Returns no more than the size that was announced. Raises UploadFailed."""
        left_bytes = self._song.size_bytes - self._file.tell()
        piece = self._song.read(self._file, min(size, left_bytes))
        self._on_progress(self._file.tell(), self._song.size_bytes)
        return piece

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Ends the file at its announced size: without a fileno, httpx takes the form's length from here."""
        end_bytes = self._song.size_bytes
        return self._file.seek(end_bytes + offset if whence == os.SEEK_END else offset)

    def tell(self) -> int:
        return self._file.tell()


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

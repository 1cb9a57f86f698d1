"""Submits songs: by their address, or the files themselves through the api or straight into its bucket."""

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import Any, BinaryIO, cast
from uuid import UUID

import httpx
from pydantic import BaseModel

from uvr_client import answers
from uvr_client.errors import Unreachable, UploadFailed, UvrError
from uvr_client.transport import Repeat, Transport, error_text, http_client

Progress = Callable[[int, int], None]
"""Called with the bytes that were sent so far, and the song's bytes."""

# From here on a song goes straight into the bucket, in parts: one that breaks off is sent again alone.
_DIRECT_BYTES = 64 * 1024 * 1024
_CHUNK_BYTES = 256 * 1024
_PARTS_AT_ONCE = 4
# After these errors the store's address cannot be reached from here.
_NO_WAY = (httpx.ConnectError, httpx.ConnectTimeout)


class _Part(BaseModel):
    number: int
    url: str
    bytes: int


class _Begun(BaseModel):
    upload_id: UUID
    audio: str
    url: str | None = None
    parts: tuple[_Part, ...] = ()


class _StoreOutOfReach(Exception):
    """The store's address cannot be reached from this machine."""


def file_of(audio: str | Path) -> Path | None:
    """Returns the song's file; None for an address and for `upload:ID`."""
    if isinstance(audio, Path):
        return audio
    return None if "://" in audio or audio.startswith("upload:") else Path(audio)


class SongSender:
    """Submits songs to one api. Threads may share it."""

    def __init__(self, transport: Transport, timeout_s: float):
        """`timeout_s` limits connecting to the store, and each read and write."""
        self._transport = transport
        # Without the api's credentials: an address of the store is its own permission.
        self._store = http_client(timeout_s)

    def close(self) -> None:
        self._store.close()

    def submit(
        self, audio: str | Path, fields: Mapping[str, Any], key: str, on_progress: Progress
    ) -> httpx.Response:
        """Returns the api's answer to the submission. `fields` has the others of the body, without None.

        Raises UploadFailed if the file cannot be read, or the store does not take it, and the errors of
        Transport.request.
        """
        path = file_of(audio)
        if path is None:
            return self._post_json({"audio": audio, **fields}, key)
        try:
            size_bytes, sha256 = os.path.getsize(path), _sha256(path)
            if size_bytes >= _DIRECT_BYTES:
                with suppress(_StoreOutOfReach):
                    upload = self._put_into_store(path, size_bytes, sha256, on_progress)
                    return self._post_json({"audio": upload, **fields}, key)
            return self._post_form(path, size_bytes, {**fields, "sha256": sha256}, key, on_progress)
        except OSError as error:
            raise UploadFailed(f"{path}: {error.strerror or error}") from error

    def upload(self, path: Path, on_progress: Progress) -> str:
        """Returns `upload:ID` of a file, put straight into the store. Raises UvrError as `submit` does."""
        try:
            return self._put_into_store(path, os.path.getsize(path), _sha256(path), on_progress)
        except _StoreOutOfReach as error:
            why = "the store's address (S3_PRESIGN_ENDPOINT_URL of the api) cannot be reached from here"
            raise Unreachable(f"{path}: {why}, as a batch's files need it: use `uvr submit`") from error
        except OSError as error:
            raise UploadFailed(f"{path}: {error.strerror or error}") from error

    def _post_json(self, body: Mapping[str, Any], key: str) -> httpx.Response:
        return self._transport.request(
            "POST",
            "/generate",
            Repeat.ANY,
            # json.dumps writes ASCII: text that is not valid Unicode reaches the api, which names the error.
            content=json.dumps(body),
            headers={"Content-Type": "application/json", "Idempotency-Key": key},
        )

    def _post_form(
        self, path: Path, size_bytes: int, fields: Mapping[str, Any], key: str, on_progress: Progress
    ) -> httpx.Response:
        texts = {name: _texts(value) for name, value in fields.items()}
        with path.open("rb") as file:
            song = _Watched(file, size_bytes, on_progress)
            return self._transport.request(
                "POST",
                "/generate",
                Repeat.ANY,
                data=texts,
                files={"audio": (path.name, cast(BinaryIO, song))},
                headers={"Idempotency-Key": key},
            )

    def _put_into_store(self, path: Path, size_bytes: int, sha256: str, on_progress: Progress) -> str:
        """Returns `upload:ID`. Raises _StoreOutOfReach."""
        wanted = {"filename": path.name, "bytes": size_bytes, "sha256": sha256}
        answer = self._transport.request("POST", "/uploads", Repeat.UNSENT, json=wanted)
        begun = answers.read(_Begun, answer.content)
        address = f"/uploads/{begun.upload_id}"
        parts = begun.parts or (_Part(number=1, url=begun.url or "", bytes=size_bytes),)
        try:
            etags = self._put_parts(path, parts, _Sum(size_bytes, on_progress))
            body = {"parts": etags if begun.parts else []}
            self._transport.request("POST", f"{address}/complete", Repeat.ANY, json=body)
        except BaseException:
            with suppress(UvrError):
                self._transport.request("DELETE", address, Repeat.UNSENT)
            raise
        return begun.audio

    def _put_parts(self, path: Path, parts: Sequence[_Part], done: "_Sum") -> list[dict[str, Any]]:
        begins = [sum(part.bytes for part in parts[:index]) for index in range(len(parts))]
        # The first alone: it tells whether the store can be reached.
        first = self._put_part(path, parts[0], 0, done, is_first=True)
        with ThreadPoolExecutor(_PARTS_AT_ONCE) as threads:
            others = [
                threads.submit(self._put_part, path, part, begin, done)
                for part, begin in zip(parts[1:], begins[1:], strict=True)
            ]
            try:
                return [first, *(other.result() for other in others)]
            except BaseException:
                threads.shutdown(wait=True, cancel_futures=True)
                raise

    def _put_part(
        self, path: Path, part: _Part, begin: int, done: "_Sum", is_first: bool = False
    ) -> dict[str, Any]:
        """Returns the part's number and ETag. A part that fails is sent again, as the patience says."""
        patience = self._transport.patience
        pauses_s = patience.pauses_s()
        for left in reversed(range(patience.tries)):
            sent = _Sent(done)
            try:
                length = {"Content-Length": str(part.bytes)}
                answer = self._store.put(
                    part.url, content=sent.pieces(path, begin, part.bytes), headers=length
                )
            except httpx.RequestError as error:
                if is_first and isinstance(error, _NO_WAY):
                    raise _StoreOutOfReach from error
                failure: UvrError = Unreachable(f"the store does not take the song: {error_text(error)}")
            else:
                if answer.is_success:
                    return {"number": part.number, "etag": answer.headers.get("ETag", "")}
                failure = UploadFailed(f"{path}: the store answered with status {answer.status_code}")
                if answer.status_code < 500:
                    raise failure
            done.add(-sent.taken_bytes)
            if not left:
                raise failure
            patience.pause(failure, next(pauses_s))
        raise AssertionError("unreachable")


class _Sum:
    """Adds up what the parts have sent. What a failed try has sent is subtracted again."""

    def __init__(self, size_bytes: int, on_progress: Progress):
        self._size_bytes, self._on_progress = size_bytes, on_progress
        self._sent_bytes, self._lock = 0, Lock()

    def add(self, count: int) -> None:
        with self._lock:
            self._sent_bytes += count
            self._on_progress(max(0, min(self._sent_bytes, self._size_bytes)), self._size_bytes)


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


class _Sent:
    """One try of a part."""

    def __init__(self, done: _Sum):
        self._done, self.taken_bytes = done, 0

    def pieces(self, path: Path, begin: int, size_bytes: int) -> Iterator[bytes]:
        """Yields `size_bytes` of the file, from `begin` on."""
        with path.open("rb") as file:
            file.seek(begin)
            while self.taken_bytes < size_bytes:
                piece = file.read(min(_CHUNK_BYTES, size_bytes - self.taken_bytes))
                if not piece:
                    return
                yield piece
                self.taken_bytes += len(piece)
                self._done.add(len(piece))


def _texts(value: Any) -> str | list[str]:
    """Returns a field of a form: text as it is, a list as several fields, the rest as JSON."""
    if isinstance(value, str):
        return value
    if isinstance(value, list | tuple):
        return [one if isinstance(one, str) else json.dumps(one) for one in value]
    return json.dumps(value)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

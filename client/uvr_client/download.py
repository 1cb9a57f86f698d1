"""Downloads stems. A file gets its name only once it is complete and its sha256 is right."""

import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import httpx

from uvr_client import store_answers
from uvr_client.answers import retry_after_s
from uvr_client.errors import DownloadFailed, StemMismatch
from uvr_client.models import Stem
from uvr_client.transport import Patience, error_text, http_client

_CHUNK_BYTES = 1 << 20
_MAX_REDIRECTS = 5
# The api gives the stem's name, and the name must not lead out of the directory.
_NAME = re.compile(r"[\w(][\w .()+-]{0,99}", re.ASCII)
_EXTENSION = re.compile(r"\.[A-Za-z0-9]{1,8}")


class LinkRefused(DownloadFailed):
    """The store refuses the link, which may have expired."""


class Downloader:
    """Fetches stems. Links are presigned, so the store never gets the api's credentials."""

    def __init__(self, timeout_s: float, patience: Patience):
        self._patience = patience
        self._http = http_client(timeout_s, follow_redirects=True, max_redirects=_MAX_REDIRECTS)

    def fetch(self, name: str, stem: Stem, directory: Path) -> Path:
        """Returns the path of the stem's file in `directory`, downloaded unless it is there already.

        Raises StemMismatch when the bytes are not those announced, LinkRefused when the store refuses the
        link, and DownloadFailed when the network or the disk fails.
        """
        path = directory / file_name(name, stem.url)
        part = path.with_name(f"{path.name}.{uuid4().hex[:8]}.part")
        try:
            if _has_stem(path, stem):
                return path
            directory.mkdir(parents=True, exist_ok=True)
            try:
                self._write(name, stem, part)
                os.replace(part, path)
            finally:
                part.unlink(missing_ok=True)
        except OSError as error:
            raise DownloadFailed(f"{name}: {path}: {error.strerror or error}") from error
        return path

    def close(self) -> None:
        self._http.close()

    def _write(self, name: str, stem: Stem, part: Path) -> None:
        pauses_s = self._patience.pauses_s()
        for _ in range(self._patience.tries - 1):
            try:
                self._write_once(name, stem, part)
                return
            except _Temporary as error:
                pause_s = self._patience.lengthened_s(next(pauses_s), error.retry_after_s)
                self._patience.pause(error, pause_s)
        self._write_once(name, stem, part)

    def _write_once(self, name: str, stem: Stem, part: Path) -> None:
        digest, size_bytes = hashlib.sha256(), 0
        with part.open("wb") as file:
            for chunk in self._chunks(name, stem):
                digest.update(chunk)
                size_bytes += len(chunk)
                if size_bytes > stem.bytes:
                    raise StemMismatch(f"{name}: the link gives more than the {stem.bytes} bytes announced")
                file.write(chunk)
            file.flush()
            os.fsync(file.fileno())
        if size_bytes != stem.bytes:
            raise StemMismatch(
                f"{name}: the link gives {size_bytes} bytes, but the api announced {stem.bytes}"
            )
        if digest.hexdigest() != stem.sha256:
            raise StemMismatch(f"{name}: sha256 is {digest.hexdigest()}, but the api announced {stem.sha256}")

    def _chunks(self, name: str, stem: Stem) -> Iterator[bytes]:
        try:
            # The sha256 covers the stored bytes, so no encoding may change them on the way.
            with self._http.stream("GET", stem.url, headers={"Accept-Encoding": "identity"}) as response:
                _check(name, response)
                yield from response.iter_bytes(_CHUNK_BYTES)
        except httpx.TransportError as error:
            kind = DownloadFailed if isinstance(error, httpx.UnsupportedProtocol) else _Temporary
            raise kind(f"{name}: {error_text(error)}") from error
        # UnicodeError: of a host that no resolver takes, such as a..b
        except (httpx.RequestError, httpx.InvalidURL, UnicodeError) as error:
            raise DownloadFailed(f"{name}: {error_text(error)}") from error


class _Temporary(DownloadFailed):
    """The download failed in a way that may pass. `retry_after_s` is the pause that the store asks for."""

    def __init__(self, message: str, retry_after_s: float | None = None):
        super().__init__(message)
        self.retry_after_s = retry_after_s


def file_name(name: str, url: str) -> str:
    """Returns the stem's name with the extension of `url`. Raises DownloadFailed when it is no file name."""
    if not _NAME.fullmatch(name):
        raise DownloadFailed(f"the stem's name {name!r} cannot be the name of a file")
    try:
        extension = os.path.splitext(urlsplit(url).path)[1]
    except ValueError as error:
        raise DownloadFailed(f"{name}: the link is not an address: {error}") from None
    return name + (extension if _EXTENSION.fullmatch(extension) else "")


def _check(name: str, response: httpx.Response) -> None:
    if response.status_code == 200:
        return
    message = f"{name}: the store answers with status {response.status_code}"
    if store_answers.refuses_link(response):
        raise LinkRefused(message)
    if store_answers.may_pass(response):
        raise _Temporary(message, retry_after_s(response))
    raise DownloadFailed(message)


def _has_stem(path: Path, stem: Stem) -> bool:
    with suppress(FileNotFoundError):
        if path.stat().st_size != stem.bytes:
            return False
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == stem.sha256
    return False

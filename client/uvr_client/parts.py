"""Puts a file straight into the store, in parts, several at a time."""

import threading
from collections.abc import Callable, Iterator, Sequence
from queue import SimpleQueue
from typing import Any

import httpx
from pydantic import BaseModel

from uvr_client import store_answers
from uvr_client.answers import retry_after_s
from uvr_client.errors import Unreachable, UploadFailed, UvrError
from uvr_client.song_file import SongFile
from uvr_client.transport import Patience, error_text

Progress = Callable[[int, int], None]
"""Called with the bytes that were sent so far, and the song's bytes."""

_CHUNK_BYTES = 256 * 1024
_PARTS_AT_ONCE = 4
# After these errors the store's address cannot be reached from here.
_NO_WAY = (httpx.ConnectError, httpx.ConnectTimeout, httpx.UnsupportedProtocol)


class Part(BaseModel):
    """A part of the file, as the api names it."""

    number: int
    url: str
    bytes: int


class StoreOutOfReach(Exception):
    """The store's address cannot be reached from this machine."""


class _Stopped(Exception):
    """Another part has failed, or the user has interrupted the upload."""


class PartSender:
    """Sends the parts of one file. Use it once."""

    def __init__(self, store: httpx.Client, patience: Patience, song: SongFile, on_progress: Progress):
        self._store, self._patience, self._song = store, patience, song
        self._on_progress, self._sent_bytes, self._size_bytes = on_progress, 0, 0
        self._lock = threading.Lock()
        self._stopped = threading.Event()

    def send(self, parts: Sequence[Part]) -> list[dict[str, Any]]:
        """Returns each part's number and ETag. A part that fails is sent again, as the patience says.

        Whatever ends the call, an interrupt too, ends it at once: parts under way stop at their next piece.
        Raises StoreOutOfReach and UvrError, such as UploadFailed for a file that has changed.
        """
        self._size_bytes = sum(part.bytes for part in parts)
        begins = [sum(part.bytes for part in parts[:index]) for index in range(len(parts))]
        try:
            # The first alone: it tells whether the store can be reached.
            first = self._send_part(parts[0], 0, is_first=True)
            return [first, *self._send_others([*zip(parts, begins, strict=True)][1:])]
        finally:
            with self._lock:  # from here on `on_progress` is not called
                self._stopped.set()

    def _send_others(self, others: Sequence[tuple[Part, int]]) -> list[dict[str, Any]]:
        wanted: SimpleQueue[tuple[Part, int] | None] = SimpleQueue()
        ended: SimpleQueue[dict[str, Any] | Exception] = SimpleQueue()
        count = min(len(others), _PARTS_AT_ONCE)
        for part in [*others, *[None] * count]:
            wanted.put(part)
        for _ in range(count):
            # Daemons, which nobody waits for: one may be in a write until the network's time limit.
            threading.Thread(target=self._work, args=(wanted, ended), daemon=True).start()
        found = []
        for _ in others:
            result = ended.get()
            if isinstance(result, Exception):
                raise result
            found.append(result)
        return sorted(found, key=lambda one: int(one["number"]))

    def _work(
        self,
        wanted: "SimpleQueue[tuple[Part, int] | None]",
        ended: "SimpleQueue[dict[str, Any] | Exception]",
    ) -> None:
        while (job := wanted.get()) is not None:
            try:
                ended.put(self._send_part(*job))
            except _Stopped:
                return
            except Exception as error:  # noqa: BLE001 (the loop's edge: the thread that waits raises it)
                self._stopped.set()
                ended.put(error)
                return

    def _send_part(self, part: Part, begin: int, is_first: bool = False) -> dict[str, Any]:
        pauses_s = self._patience.pauses_s()
        for left in reversed(range(self._patience.tries)):
            self._go_on()
            sent, pause_s = _Sent(self._add), next(pauses_s)
            try:
                return {"number": part.number, "etag": self._etag(part, begin, sent)}
            except httpx.RequestError as error:
                if is_first and isinstance(error, _NO_WAY):
                    raise StoreOutOfReach from error
                failure: UvrError = Unreachable(f"the store does not take the song: {error_text(error)}")
            except (httpx.InvalidURL, UnicodeError) as error:  # UnicodeError: of a host such as a..b
                raise StoreOutOfReach from error
            except _Busy as busy:
                failure = UploadFailed(str(busy))
                pause_s = self._patience.lengthened_s(pause_s, busy.retry_after_s)
            self._add(-sent.taken_bytes)
            if not left:
                raise failure
            self._patience.pause(failure, pause_s)
        raise AssertionError("unreachable")

    def _etag(self, part: Part, begin: int, sent: "_Sent") -> str:
        """Sends the part once. Raises _Busy for an answer that a retry may mend."""
        length = {"Content-Length": str(part.bytes)}
        pieces = sent.pieces(self._song, begin, part.bytes)
        answer = self._store.put(part.url, content=pieces, headers=length)
        if answer.is_success:
            return str(answer.headers.get("ETag", ""))
        message = f"{self._song.path}: the store answered with status {answer.status_code}"
        if store_answers.may_pass(answer) or store_answers.came_too_slowly(answer):
            raise _Busy(message, retry_after_s(answer))
        raise UploadFailed(message)

    def _go_on(self) -> None:
        """Raises _Stopped once the upload has ended."""
        if self._stopped.is_set():
            raise _Stopped

    def _add(self, count: int) -> None:
        """Counts what was sent; what a failed try has sent is subtracted again. Raises _Stopped."""
        with self._lock:
            self._go_on()
            self._sent_bytes += count
            self._on_progress(max(0, min(self._sent_bytes, self._size_bytes)), self._size_bytes)


class _Busy(Exception):
    """The store has answered with an error that may pass. `retry_after_s` is the pause that it asks for."""

    def __init__(self, message: str, retry_after_s: float | None):
        super().__init__(message)
        self.retry_after_s = retry_after_s


class _Sent:
    """One try of a part."""

    def __init__(self, add: Callable[[int], None]):
        self._add, self.taken_bytes = add, 0

    def pieces(self, song: SongFile, begin: int, size_bytes: int) -> Iterator[bytes]:
        """Yields `size_bytes` of the file, from `begin` on.

        Raises UploadFailed for a file that has changed, and _Stopped once the upload has ended.
        """
        with song.open() as file:
            file.seek(begin)
            while self.taken_bytes < size_bytes:
                piece = song.read(file, min(_CHUNK_BYTES, size_bytes - self.taken_bytes))
                yield piece
                self.taken_bytes += len(piece)
                self._add(len(piece))

"""Writes a song that comes piece by piece into the bucket, in parts and in constant memory."""

import asyncio
import hashlib
from collections import deque
from functools import partial
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

from api.problems import ProblemError
from api.uploads.gate import UploadGate
from api.uploads.models import PartEtag, UploadErrorCode
from api.uploads.refusals import empty, too_large
from common.storage.bucket_keys import UploadKeys
from common.storage.upload_record import Upload

if TYPE_CHECKING:
    from api.uploads.store import UploadStore

# Stores take no parts below 5 MiB, and 10,000 parts: 48 GiB.
_PART_BYTES = 5 * 1024 * 1024
_MOST_UNDER_WAY = 3


class SongWriter:
    """Writes a song: for each piece `feed` or `take`, then `drain`; at last `finish`, or `discard`."""

    def __init__(self, gate: UploadGate, user: str, part_bytes: int = _PART_BYTES):
        self._gate, self._user = gate, user
        self.upload_id: UUID = uuid4()
        self._max_bytes = gate.settings.max_audio_bytes
        self._part_bytes = max(part_bytes, -(-self._max_bytes // 10_000))
        keys = UploadKeys(gate.settings.s3_prefix, user, self.upload_id)
        self._key = keys.audio
        self._multipart_id: str | None = None
        # The part that is being filled, those that are full, and those that are sent and serve again: new
        # ones each time would scatter over the heap, and the process would keep more of it from song to song.
        # None is begun before its first byte comes: a sent one may serve by then.
        self._buffer, self._filled = bytearray(), 0
        self._full: deque[bytearray] = deque()
        self._free: list[bytearray] = []
        self._digest = hashlib.sha256()
        self._size_bytes = 0
        self._under_way: deque[asyncio.Task[PartEtag]] = deque()
        self._parts: list[PartEtag] = []

    def feed(self, piece: memoryview) -> None:
        """Takes the next bytes. Raises ProblemError 413 beyond MAX_AUDIO_BYTES."""
        while piece:
            room = self.room()[: len(piece)]
            room[:] = piece[: len(room)]
            self._add(len(room))
            piece = piece[len(room) :]

    def room(self) -> memoryview:
        """Returns memory for the next bytes: `take` says how many came into it."""
        if not self._buffer:
            self._buffer = self._free.pop() if self._free else bytearray(self._part_bytes)
        return memoryview(self._buffer)[self._filled :]

    def take(self, count: int, end: bytes) -> bytes:
        """Takes those of the next `count` bytes, which are in the room, that come before `end`.

        Returns a copy of the others, which begin with `end` or with what may be its beginning. `end` has its
        first byte nowhere else. Raises ProblemError 413 beyond MAX_AUDIO_BYTES.
        """
        first, last = self._filled, self._filled + count
        found = self._buffer.find(end, first, last)
        if found < 0:
            begun = self._buffer.rfind(end[:1], max(first, last - len(end) + 1), last)
            found = begun if begun >= 0 and end.startswith(self._buffer[begun:last]) else last
        rest = bytes(self._buffer[found:last])
        self._add(found - first)
        return rest

    def _add(self, count: int) -> None:
        """Counts bytes that are in the buffer now. Raises ProblemError 413."""
        self._size_bytes += count
        if self._size_bytes > self._max_bytes:
            raise too_large(self._max_bytes)
        self._filled += count
        if self._filled == self._part_bytes:
            self._full.append(self._buffer)
            self._buffer, self._filled = bytearray(), 0

    async def drain(self) -> None:
        """Sends what fills a part. Waits while three parts are under way. Raises ProblemError 503."""
        while self._full:
            await self._send(self._full.popleft())

    async def finish(self, file_name: str, sha256: str | None) -> Upload:
        """Makes the song complete, and returns its record.

        Raises ProblemError: 400 for a song without bytes or with another checksum than `sha256`, 503.
        """
        if not self._size_bytes:
            raise empty("audio: the song")
        del self._buffer[self._filled :]
        whole = bytes(self._buffer) if self._multipart_id is None else None
        if whole is not None:
            await self._gate.in_order(partial(self._digest.update, whole))
        elif self._buffer:
            await self._send(self._buffer)
        while self._under_way:
            self._parts.append(await self._under_way.popleft())
        self._release()
        found = self._digest.hexdigest()
        if sha256 is not None and found != sha256.lower():
            raise ProblemError(
                400,
                f"sha256: the song that arrived has {found}; please send it again",
                error_code=UploadErrorCode.MISMATCH,
            )
        return await self._gate.run(lambda store: self._keep(store, file_name, found, whole))

    async def discard(self) -> None:
        """Removes everything of the song from the bucket."""
        # The store would keep a part that arrives after the others were removed.
        await asyncio.gather(*self._under_way, return_exceptions=True)
        self._release()
        user, upload_id, multipart_id = self._user, self.upload_id, self._multipart_id
        await self._gate.run(lambda store: store.discard(user, upload_id, multipart_id))

    def _release(self) -> None:
        """Frees the parts' memory now: the form's parser and its callbacks are garbage of the slow kind."""
        self._buffer, self._filled = bytearray(), 0
        self._full.clear()
        self._free.clear()

    def _keep(self, store: "UploadStore", file_name: str, sha256: str, whole: bytes | None) -> Upload:
        """Writes the record, then the song: who is killed in between leaves a record that expires."""
        upload = store.new(self._user, self.upload_id, file_name, self._size_bytes, sha256)
        store.check_room(self._user, self._size_bytes)
        if whole is not None:
            store.uploads.save(upload)
            store.bucket.put(self._key, whole)
            return upload
        store.uploads.save(upload.model_copy(update={"multipart_id": self._multipart_id}))
        store.join_parts(self._key, self._multipart_id or "", self._parts)
        return upload

    async def _send(self, part: bytearray) -> None:
        if self._multipart_id is None:
            self._multipart_id = await self._gate.run(lambda store: store.begin_parts(self._key))
        if len(self._under_way) >= _MOST_UNDER_WAY:
            self._parts.append(await self._under_way.popleft())
        number = len(self._parts) + len(self._under_way) + 1
        # A task begins before any that is made later: so the checksum sees the parts in their order.
        self._under_way.append(asyncio.create_task(self._send_part(number, part)))

    async def _send_part(self, number: int, part: bytearray) -> PartEtag:
        await self._gate.in_order(partial(self._digest.update, part))
        key, multipart_id = self._key, self._multipart_id or ""
        etag = await self._gate.run(lambda store: store.put_part(key, multipart_id, number, part))
        self._free.append(part)
        return PartEtag(number=number, etag=etag)

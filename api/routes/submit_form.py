"""The song and the fields of a `POST /generate` that is a form."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from fastapi import Request

from api.http.pace import PacedBody
from api.problems import ProblemError
from api.routes.parts import AppParts
from api.submit.form_fields import as_json, field_repeated
from api.uploads.form import boundary_of, read_form
from api.uploads.song_writer import SongWriter
from common.storage.upload_record import Upload

log = logging.getLogger(__name__)

_CHECKSUM = "sha256"


@dataclass(frozen=True)
class ReceivedForm:
    """A form whose song is in the bucket. `body` is the JSON of a submission that names the song."""

    body: bytes
    upload: Upload
    song: SongWriter

    async def discard(self) -> None:
        """Remove the song, which no task needs."""
        await _discard(self.song)


@asynccontextmanager
async def received_form(request: Request, user: str, parts: AppParts) -> AsyncIterator[ReceivedForm]:
    """Store the form's song and yield the form.

    Raise ProblemError for a form that is not right: nothing of it stays in the bucket then.
    """
    settings, gate = parts.settings, parts.uploads
    boundary = boundary_of(request.headers.get("Content-Type", ""))
    announced_bytes = int(request.headers.get("Content-Length") or 1)
    with gate.form(user):
        # A form is a little larger than its song.
        room_bytes = max(1, min(announced_bytes, settings.max_audio_bytes))
        await gate.run(lambda store: store.check_room(user, room_bytes))
        song = SongWriter(gate, user)
        try:
            paced = PacedBody(request, settings.min_upload_bytes_per_s)
            form = await read_form(paced, boundary, song, settings.max_body_bytes, settings.max_audio_bytes)
            fields = dict(form.fields)
            checksums = fields.pop(_CHECKSUM, [None])
            if len(checksums) > 1:
                raise field_repeated(_CHECKSUM, len(checksums))
            body = as_json(fields, f"upload:{song.upload_id}")
            upload = await song.finish(form.file_name, checksums[0])
        except BaseException:
            await _discard(song)
            raise
    yield ReceivedForm(body, upload, song)


async def _discard(song: SongWriter) -> None:
    # Shielded: at a stop of the api this request is cancelled, and the song's parts would stay for a day.
    try:
        await asyncio.shield(song.discard())
    except ProblemError as error:  # the store is away: the uploaders' sweep removes the song
        log.warning("a refused song may stay in the bucket for now: %s", error)

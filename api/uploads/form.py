"""Reads a form with a song as it comes: the song goes on at once, the fields are kept."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, MultipartState, parse_options_header

from api.problems import ProblemError
from api.uploads.models import clean_file_name

FILE_FIELD = "audio"
_MOST_FIELDS = 100
# Of all bytes that are no song: boundaries, headers, and what follows the form's end.
_MOST_OTHER_BYTES = 1024 * 1024
# Of what the parser looks at in one step of the event loop.
_STEP_BYTES = 64 * 1024


class Body(Protocol):
    """Gives the form's bytes, piece by piece or straight into a song's room (see `PacedBody`)."""

    def pieces(self) -> AsyncIterator[bytes]: ...

    async def read_into(self, room: memoryview) -> int: ...


class Song(Protocol):
    """Takes the song's bytes (see `SongWriter`)."""

    def feed(self, piece: memoryview) -> None: ...

    def room(self) -> memoryview: ...

    def take(self, count: int, end: bytes) -> bytes: ...

    async def drain(self) -> None: ...


@dataclass(frozen=True)
class Form:
    """The form's fields, each with its texts in their order, and the name of the song's file."""

    file_name: str
    fields: Mapping[str, list[str]]


def boundary_of(content_type: str) -> bytes:
    """Returns the boundary between the parts of a form. Raises ProblemError 400."""
    _, options = parse_options_header(content_type)
    boundary = options.get(b"boundary", b"")
    if not boundary:
        raise ProblemError(400, "Content-Type: the form has no boundary")
    return boundary


async def read_form(
    body: Body, boundary: bytes, song: Song, max_field_bytes: int, max_song_bytes: int
) -> Form:
    """Returns the form once all of it has come. `song` gets the bytes of the file.

    `max_field_bytes` limits all fields together. Raises ProblemError (400 for what is no form or has not
    exactly one song, 413), and what `body` and `song` raise.
    """
    reader = _FormReader(boundary, song, max_field_bytes, max_song_bytes)
    async for piece in body.pieces():
        reader.write(piece)
        await song.drain()
        while reader.is_amid_song() and (count := await body.read_into(song.room())):
            await reader.take(count)
            await song.drain()
    return reader.finished()


@dataclass
class _Part:
    """The part that is being read. `text` is None for the song."""

    headers: dict[bytes, bytes] = field(default_factory=dict)
    header_name: bytes = b""
    header_value: bytes = b""
    name: str = ""
    text: bytearray | None = None


class _FormReader:
    """The parser's callbacks."""

    def __init__(self, boundary: bytes, song: Song, max_field_bytes: int, max_song_bytes: int):
        self._song, self._max_field_bytes = song, max_field_bytes
        self._left_bytes = max_song_bytes + max_field_bytes + _MOST_OTHER_BYTES
        self._part, self._file_name, self._is_whole = _Part(), "", False
        self._has_song, self._count, self._field_bytes = False, 0, 0
        self._fields: dict[str, list[str]] = {}
        callbacks: dict[str, Any] = {
            "on_part_begin": self._begin,
            "on_header_field": self._header_name,
            "on_header_value": self._header_value,
            "on_header_end": self._header_end,
            "on_headers_finished": self._headers_finished,
            "on_part_data": self._data,
            "on_part_end": self._end,
            "on_end": self._whole,
        }
        try:
            self._parser = MultipartParser(boundary, callbacks)  # type: ignore[arg-type]  # it wants a TypedDict
        except FormParserError as error:
            raise ProblemError(400, f"The body is no form: {error}") from None

    def is_amid_song(self) -> bool:
        """Whether the next bytes are the song's, as far as the bytes before them say."""
        parser = self._parser
        # The parser counts in `index` what may be the beginning of the boundary.
        return parser.state is MultipartState.PART_DATA and not parser.index and self._part.text is None

    async def take(self, count: int) -> None:
        """Reads the next `count` bytes of the form, which are in the song's room."""
        self._pass(count)
        rest = self._song.take(count, self._parser.boundary)
        # What looks like a boundary and is none takes the parser long: megabytes of it, a second.
        for begin in range(0, len(rest), _STEP_BYTES):
            self._parse(rest[begin : begin + _STEP_BYTES])
            await asyncio.sleep(0)

    def write(self, piece: bytes) -> None:
        """Reads the next bytes of the form."""
        self._pass(len(piece))
        self._parse(piece)

    def _pass(self, count: int) -> None:
        self._left_bytes -= count
        if self._left_bytes < 0:
            raise ProblemError(413, "The form is larger than a song (MAX_AUDIO_BYTES) and its fields may be")

    def _parse(self, piece: bytes) -> None:
        try:
            self._parser.write(piece)
        except FormParserError as error:
            raise ProblemError(400, f"The body is no form with this boundary: {error}") from None

    def finished(self) -> Form:
        if not self._is_whole:
            raise ProblemError(400, "The form has no end: its last boundary is missing")
        if not self._has_song:
            raise ProblemError(400, "audio: the form has no song: send one as -F audio=@song.mp3")
        return Form(self._file_name, self._fields)

    def _begin(self) -> None:
        self._part = _Part()
        self._count += 1
        if self._count > _MOST_FIELDS:
            raise ProblemError(400, f"The form has more than {_MOST_FIELDS} fields")

    def _header_name(self, data: bytes, start: int, end: int) -> None:
        self._part.header_name += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._part.header_value += data[start:end]

    def _header_end(self) -> None:
        part = self._part
        part.headers[part.header_name.lower()] = part.header_value
        part.header_name = part.header_value = b""

    def _headers_finished(self) -> None:
        part = self._part
        kind, options = parse_options_header(part.headers.get(b"content-disposition"))
        name = options.get(b"name")
        if kind != b"form-data" or name is None:
            raise ProblemError(400, "The form has a part without a name")
        part.name = _text(name, "a field's name")
        if b"filename" not in options:
            if part.name == FILE_FIELD:
                raise ProblemError(
                    400, "audio: expected a file: -F audio=@song.mp3, or JSON for the address of a song"
                )
            part.text = bytearray()
            return
        if part.name != FILE_FIELD:
            raise ProblemError(400, f"{part.name[:100]}: this field takes no file: the song's is audio")
        if self._has_song:
            raise ProblemError(400, "audio: the form has two songs; submit each by a request of its own")
        self._has_song = True
        self._file_name = clean_file_name(_text(options[b"filename"], "the file's name"))

    def _data(self, data: bytes, start: int, end: int) -> None:
        text = self._part.text
        if text is None:
            self._song.feed(memoryview(data)[start:end])
            return
        self._field_bytes += end - start
        if self._field_bytes > self._max_field_bytes:
            raise ProblemError(
                413, f"The form's fields are larger than {self._max_field_bytes} bytes (MAX_BODY_BYTES)"
            )
        text += data[start:end]

    def _end(self) -> None:
        part = self._part
        if part.text is not None:
            self._fields.setdefault(part.name, []).append(_text(bytes(part.text), part.name))

    def _whole(self) -> None:
        self._is_whole = True


def _text(given: bytes, what: str) -> str:
    try:
        return given.decode()
    except UnicodeDecodeError:
        raise ProblemError(400, f"{what[:100]}: expected text in UTF-8") from None

"""Reads from an MP4 or QuickTime file how many samples of a track are the song.

Encoders add samples before and after the sound (AAC 1,024 and more). The edit list or iTunes' own tag tells
which samples are the song. FFmpeg does not remove those after it.
"""

import itertools
import re
import struct
from collections.abc import Iterator
from fractions import Fraction

from common.errors import ErrorCode, PermanentError
from processor.audio.containers.byte_view import ByteView, Range

_MAX_BOXES = 100_000
_MAX_TABLE_BYTES = 64 << 20
_MAX_TRACKS = 1_000
_ENCRYPTED = (b"enca", b"drms")
_SMPB = re.compile(r"\s*[0-9A-Fa-f]{8}\s+([0-9A-Fa-f]{8})\s+([0-9A-Fa-f]{8})\s+([0-9A-Fa-f]{16})")


def heard_s(view: ByteView, track_id: int) -> Fraction | None:
    """Return the length of the track's sound in seconds by its edit list or, without one, its sample table.

    Returns None where the file does not state the length: in fragments, or without an index. Raises
    PermanentError (truncated_audio) for an index whose time scale is 0, and OSError.
    """
    track = _track(view, track_id)
    head = next(_boxes(view, Range(0, view.size), b"moov", b"mvhd"), None)
    return _track_s(view, track, _scale(view, head)) if track else None


def is_encrypted(view: ByteView, track_id: int) -> bool:
    """Tell whether the track's samples are encrypted. Raises OSError."""
    track = _track(view, track_id)
    entry = next(_boxes(view, track, b"mdia", b"minf", b"stbl", b"stsd"), None) if track else None
    return entry is not None and view.read_at(entry.start + 12, 4) in _ENCRYPTED


def itunes_samples(remark: str) -> int | None:
    """Return the song's number of samples, without padding, from the text of an iTunSMPB tag."""
    found = _SMPB.match(remark)
    return int(found[3], 16) if found else None


def starts(view: ByteView) -> list[int]:
    """Return where each of several joined files begins: at its `ftyp` box. Raises OSError."""
    found = [place for name, place, _ in _heads(view, Range(0, view.size)) if name == b"ftyp"]
    return [0, *found[1:]]


def missing_bytes(view: ByteView) -> int:
    """Return how many bytes the last box of samples lacks. Raises OSError."""
    last = 0
    for name, box in _walk(view, Range(0, view.size)):
        last = box.end - view.size if name in (b"mdat", b"moof") else 0
    return max(0, last)


def _track(view: ByteView, track_id: int) -> Range | None:
    tracks = itertools.islice(_boxes(view, Range(0, view.size), b"moov", b"trak"), _MAX_TRACKS)
    return next((track for track in tracks if _track_id(view, track) == track_id), None)


def _track_s(view: ByteView, track: Range, movie_scale: int) -> Fraction | None:
    head = next(_boxes(view, track, b"mdia", b"mdhd"), None)
    scale = _scale(view, head)
    if head is not None and not scale:
        message = "The file is truncated or damaged: the time scale in its index is 0"
        raise PermanentError(ErrorCode.TRUNCATED_AUDIO, message)
    table = next(_boxes(view, track, b"mdia", b"minf", b"stbl", b"stts"), None)
    units = _table_units(view, table) if table else 0
    if not scale or not units:
        return None
    edits = next(_boxes(view, track, b"edts", b"elst"), None)
    heard = [edit for edit in _edits(view, edits) if edit[1] >= 0] if edits and movie_scale else []
    if not heard:
        return Fraction(units, scale)
    total = Fraction(0)
    for duration, media_time in heard:
        rest = Fraction(max(0, units - media_time), scale)
        edit = Fraction(duration, movie_scale)
        # An edit's length is rounded to the movie's time scale, often to milliseconds.
        to_the_end = duration == 0 or abs(edit - rest) <= Fraction(1, movie_scale)
        total += rest if to_the_end else edit
    return total


def _table_units(view: ByteView, table: Range) -> int:
    data = view.read_at(table.start + 4, min(table.size - 4, _MAX_TABLE_BYTES))
    count = min(int.from_bytes(data[:4], "big"), (len(data) - 4) // 8)
    return sum(number * delta for number, delta in struct.iter_unpack(">II", data[4 : 4 + 8 * count]))


def _edits(view: ByteView, box: Range) -> Iterator[tuple[int, int]]:
    """Yield each edit's duration in the movie's units and its start in the track's units, -1 for a pause."""
    data = view.read_at(box.start, min(box.size, _MAX_TABLE_BYTES))
    if len(data) < 8:
        return
    form, size = (">Qqi", 20) if data[0] == 1 else (">Iii", 12)
    count = min(int.from_bytes(data[4:8], "big"), (len(data) - 8) // size)
    for number in range(count):
        duration, media_time, _ = struct.unpack_from(form, data, 8 + number * size)
        yield duration, media_time


def _track_id(view: ByteView, track: Range) -> int | None:
    head = next(_boxes(view, track, b"tkhd"), None)
    if head is None:
        return None
    data = view.read_at(head.start, 24)
    at = 20 if data[:1] == b"\x01" else 12
    return int.from_bytes(data[at : at + 4], "big")


def _scale(view: ByteView, head: Range | None) -> int:
    """Return the units per second of an mvhd or mdhd box, 0 without a box."""
    if head is None:
        return 0
    data = view.read_at(head.start, 24)
    at = 20 if data[:1] == b"\x01" else 12
    return int.from_bytes(data[at : at + 4], "big")


def _boxes(view: ByteView, within: Range, *path: bytes) -> Iterator[Range]:
    """Yield the content of each box at `path` in `within`."""
    for name, box in _walk(view, within):
        if name == path[0]:
            content = Range(box.start, min(box.end, view.size))
            if len(path) == 1:
                yield content
            else:
                yield from _boxes(view, content, *path[1:])


def _walk(view: ByteView, within: Range) -> Iterator[tuple[bytes, Range]]:
    """Yield the name and content of each box; the last one may end after `within`."""
    for name, _, content in _heads(view, within):
        yield name, content


def _heads(view: ByteView, within: Range) -> Iterator[tuple[bytes, int, Range]]:
    """Yield the name, place and content of each box."""
    place = within.start
    for _ in range(_MAX_BOXES):
        head = view.read_at(place, 16)
        if place + 8 > within.end or len(head) < 8:
            return
        size, name = struct.unpack_from(">I4s", head)
        start = place + 8
        if size == 1 and len(head) == 16:
            size, start = struct.unpack_from(">Q", head, 8)[0], place + 16
        elif size == 0:
            size = within.end - place
        if size < start - place:
            return
        yield name, place, Range(start, place + size)
        place += size

"""Finds ID3 and APE tags anywhere in a file, so that FFmpeg reads the audio without them.

A large tag may hold a picture whose bytes look like MP3 frames, and makes FFmpeg distrust the frame count in
the file's header. Where files were joined, tags stand in the middle.
"""

import struct
from collections.abc import Iterator

from processor.audio.containers.byte_view import ByteView, Range

_ID3_HEAD, _ID3V1_BYTES = 10, 128
_APE_HEAD = 32
_APE_MARK = b"APETAGEX"
_APE_HAS_HEADER, _APE_IS_HEADER = 1 << 31, 1 << 29
_MAX_AT_AN_END = 1_000


def without_leading(view: ByteView) -> ByteView:
    """Return a view of the bytes after the tags at the beginning. Raises OSError."""
    start = 0
    for _ in range(_MAX_AT_AN_END):
        tag = _id3v2(view, start) or _ape(view, start)
        if tag is None:
            break
        start = tag.end
    return view.part(start, view.size) if start else view


def without_trailing(view: ByteView) -> ByteView:
    """Return a view of the bytes before the tags at the end. Raises OSError."""
    end = view.size
    for _ in range(_MAX_AT_AN_END):
        tag = _ape(view, end - _APE_HEAD) if end >= _APE_HEAD else None
        if tag is None and end >= _ID3V1_BYTES and view.read_at(end - _ID3V1_BYTES, 3) == b"TAG":
            tag = Range(end - _ID3V1_BYTES, end)
        if tag is None or tag.end != end:
            break
        end = tag.start
    return view.part(0, end) if end < view.size else view


def found(view: ByteView) -> Iterator[Range]:
    """Yield the place of each tag in `view`. Raises OSError."""
    for place in view.find_all((b"ID3", _APE_MARK, b"TAG")):
        mark = view.read_at(place, 3)
        if mark == b"ID3":
            tag = _id3v2(view, place)
            sure = tag is not None and _begins(view, tag.end)
        elif mark == b"TAG":
            tag = Range(place, place + _ID3V1_BYTES)
            sure = tag.end == view.size or (tag.end < view.size - _ID3V1_BYTES and _begins(view, tag.end))
        else:
            tag = _ape(view, place)
            sure = True
        if tag is not None and sure:
            yield Range(tag.start, min(tag.end, view.size))


def _begins(view: ByteView, place: int) -> bool:
    """Tell whether a frame of MPEG audio, another tag, padding or the end of the file is at `place`."""
    head = view.read_at(place, 8)
    if view.size - place < _ID3V1_BYTES:
        return True
    is_frame = len(head) > 1 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0
    return is_frame or head[:3] in (b"ID3", b"TAG") or head == _APE_MARK or head[:4] == bytes(4)


def _id3v2(view: ByteView, place: int) -> Range | None:
    head = view.read_at(place, _ID3_HEAD)
    if len(head) < _ID3_HEAD or head[:3] != b"ID3" or not 2 <= head[3] <= 4 or head[4] == 0xFF:
        return None
    if head[5] & 0x0F or max(head[6:]) > 0x7F:
        return None
    size = 0
    for byte in head[6:]:  # four bytes of seven bits each
        size = size << 7 | byte
    footer = _ID3_HEAD if head[5] & 0x10 else 0
    return Range(place, place + _ID3_HEAD + size + footer)


def _ape(view: ByteView, place: int) -> Range | None:
    head = view.read_at(place, _APE_HEAD)
    if len(head) < _APE_HEAD or head[:8] != _APE_MARK or any(head[24:]):
        return None
    version, size, _, flags = struct.unpack_from("<IIII", head, 8)
    if version not in (1000, 2000) or size < _APE_HEAD:
        return None
    if flags & _APE_IS_HEADER:
        return Range(place, place + _APE_HEAD + size)
    # A footer ends its tag; `size` counts the items and the footer.
    end = place + _APE_HEAD
    return Range(max(0, end - size - (_APE_HEAD if flags & _APE_HAS_HEADER else 0)), end)

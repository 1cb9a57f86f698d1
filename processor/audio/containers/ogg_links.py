"""Finds the links of a chained Ogg file, which are whole streams one after the other.

Radio recordings and joined files are such chains. FFmpeg decodes all links with the first link's set-up,
which makes noise of links with another set-up. So each link is given to FFmpeg as a file of its own.
"""

from processor.audio.containers.byte_view import ByteView

_CAPTURE = b"OggS"
_HEAD_BYTES = 27
_FIRST_PAGE = 2  # the flag of a page that begins a stream
# The first bytes of the first packet of a stream, by codec.
_STREAMS = (
    b"\x01vorbis", b"OpusHead", b"\x7fFLAC", b"Speex   ", b"fishead\0", b"\x80theora", b"BBCD\0", b"OVP80",
    b"\x01video\0\0", b"CMML\0\0\0\0", b"\x80kate\0\0\0", b"PCM     ", b"\x80daala",
)  # fmt: skip


def starts(view: ByteView) -> list[int]:
    """Return where each link begins. Raises OSError."""
    found, after_others, place = [], True, 0
    while (head := view.read_at(place, _HEAD_BYTES + 255 + 10))[:4] == _CAPTURE or head:
        if head[:4] != _CAPTURE or len(head) < _HEAD_BYTES or head[4] != 0:
            place = _next_page(view, place + 1)
            continue
        segments = head[26]
        content = _HEAD_BYTES + segments
        begins = bool(head[5] & _FIRST_PAGE) and head[content : content + 10].startswith(_STREAMS)
        if begins and after_others:
            found.append(place)
        after_others = not begins
        place += content + sum(head[_HEAD_BYTES:content])
    return found


def _next_page(view: ByteView, place: int) -> int:
    rest = view.part(place, view.size)
    return place + next(rest.find_all((_CAPTURE,)), rest.size)

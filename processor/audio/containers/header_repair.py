"""Corrects the headers of AIFF, CAF and AVI files that FFmpeg reads wrongly.

Programs that write AIFF into a pipe leave its sizes at 0 or at very large numbers. FFmpeg takes samples of 24
valid bits in 32 for samples of 24 bits, as in WAV files.
"""

import struct

from processor.audio.containers.byte_view import ByteView
from processor.audio.containers.piped_size import is_piped_aiff

_HEAD_BYTES = 65_536
_MAX_CHUNKS = 1_000
# A larger file from a pipe is left as it is.
_MOST_AIFF_BYTES = 0x7FFFF000
_EXTENSIBLE = 0xFFFE
_AIFF_WIDTHS = {
    b"alaw": 1,
    b"ALAW": 1,
    b"ulaw": 1,
    b"ULAW": 1,
    b"fl32": 4,
    b"FL32": 4,
    b"fl64": 8,
    b"FL64": 8,
}
_AIFF_LINEAR = (b"NONE", b"twos", b"sowt", b"raw ", b"in24", b"in32")


def repaired(view: ByteView, demuxer: str) -> ByteView:
    """Return `view` with a header that FFmpeg reads correctly, or `view` itself. Raises OSError."""
    mend = {"aiff": _aiff, "caf": _caf, "avi": _avi}.get(demuxer)
    if mend is None:
        return view
    head = bytearray(view.read_at(0, _HEAD_BYTES))
    before = bytes(head)
    mend(head, view)
    return view if head == before else view.part(len(head), view.size, bytes(head))


def _aiff(head: bytearray, view: ByteView) -> None:
    """Write the true sizes and number of samples into a header that has 0 or very large numbers."""
    place, common = 12, None
    for _ in range(_MAX_CHUNKS):
        if len(head) < place + 16:
            return
        name, size = struct.unpack_from(">4sI", head, place)
        if name == b"COMM":
            common = place + 8
        elif name == b"SSND":
            if common is not None and (size == 0 or is_piped_aiff(size)):
                _write_aiff_sizes(head, view.size, common, place)
            return
        place += 8 + size + size % 2


def _write_aiff_sizes(head: bytearray, file_bytes: int, common: int, sound: int) -> None:
    channels, _, bits = struct.unpack_from(">HIH", head, common)
    kind = bytes(head[common + 18 : common + 22]) if head[8:12] == b"AIFC" else b"NONE"
    width = _AIFF_WIDTHS.get(kind, (bits + 7) // 8 if kind in _AIFF_LINEAR else 0)
    size = file_bytes - sound - 8
    if not channels * width or not 8 <= size < _MOST_AIFF_BYTES:
        return
    struct.pack_into(">I", head, 4, file_bytes - 8)
    struct.pack_into(">I", head, common + 2, (size - 8) // (channels * width))
    struct.pack_into(">I", head, sound + 4, size)


def _caf(head: bytearray, view: ByteView) -> None:
    """Set the bits of linear samples to the bits that each sample takes up."""
    if head[8:12] != b"desc" or len(head) < 52 or head[28:32] != b"lpcm":
        return
    _, packet_bytes, packet_frames, channels, bits = struct.unpack_from(">IIIII", head, 32)
    if channels and packet_frames == 1 and packet_bytes % channels == 0:
        width = 8 * packet_bytes // channels
        if bits < width <= 32:
            struct.pack_into(">I", head, 48, width)


def _avi(head: bytearray, view: ByteView) -> None:
    """Set the valid bits of each WAVE_FORMAT_EXTENSIBLE stream to the bits that its samples take up."""
    place = head.find(b"strf")
    while place >= 0 and len(head) >= place + 48:
        tag, bits, valid = (struct.unpack_from("<H", head, place + 8 + at)[0] for at in (0, 14, 18))
        if tag == _EXTENSIBLE and valid < bits:
            struct.pack_into("<H", head, place + 8 + 18, bits)
        place = head.find(b"strf", place + 4)

"""Counts the bytes that a truncated file lacks, by the sizes in its header."""

import struct

from processor.audio.containers import mp4_boxes
from processor.audio.containers.byte_view import ByteView
from processor.audio.containers.piped_size import is_piped

_SEGMENT = b"\x18\x53\x80\x67"
_MAX_EBML_BYTES = 4096
_MAX_CHUNKS = 10_000


def missing_bytes(name: str, view: ByteView) -> int:
    """Return how many bytes are missing; 0 where the format does not tell. Raises OSError.

    `name` is FFmpeg's name of the format.
    """
    if name.startswith("matroska"):
        return _of_matroska(view)
    if name.startswith("mov"):
        return mp4_boxes.missing_bytes(view)
    tell = {"caf": _end_of_caf, "avi": _end_of_avi, "au": _end_of_au}.get(name)
    return max(0, tell(view) - view.size) if tell else 0


def _of_matroska(view: ByteView) -> int:
    head = view.read_at(0, _MAX_EBML_BYTES)
    at = head.find(_SEGMENT)
    if at < 0 or len(head) < at + 12:
        return 0
    width = 9 - head[at + 4].bit_length()  # leading zero bits tell how many bytes the size has
    if width > 8:
        return 0
    largest = (1 << 7 * width) - 1  # stands for an unknown size
    size = int.from_bytes(head[at + 4 : at + 4 + width], "big") & largest
    return 0 if size == largest else max(0, at + 4 + width + size - view.size)


def _end_of_caf(view: ByteView) -> int:
    place = 8
    for _ in range(_MAX_CHUNKS):
        head = view.read_at(place, 12)
        if len(head) < 12:
            break
        name, size = struct.unpack(">4sq", head)
        if name == b"data" or size < 0:  # -1 stands for the rest of the file
            return int(place + 12 + max(0, size))
        place += 12 + size
    return 0


def _end_of_avi(view: ByteView) -> int:
    size = int.from_bytes(view.read_at(4, 4), "little")
    return 0 if is_piped(size) else 8 + size


def _end_of_au(view: ByteView) -> int:
    start, size = struct.unpack(">II", view.read_at(4, 8).ljust(8, b"\0"))
    return 0 if is_piped(size) else start + size

"""Reads the headers of MP3 files: their declared length, and where one of several joined files begins.

Files are joined by `cat`, by text-to-speech and by hosts that insert advertisements. Each file has a first
frame of its own, which counts its frames and the samples that are padding.
"""

import struct
from dataclasses import dataclass

from processor.audio.containers.byte_view import ByteView

_MARKS = (b"Xing", b"Info")
_VBRI = b"VBRI"
_FRAMES_FLAG, _BYTES_FLAG, _TABLE_FLAG, _QUALITY_FLAG = 1, 2, 4, 8
# Sample rates in Hz by version bits: 0 is MPEG 2.5, 2 is MPEG 2, 3 is MPEG 1.
_RATES = {0: (11025, 12000, 8000), 2: (22050, 24000, 16000), 3: (44100, 48000, 32000)}
_BIT_RATES = {
    True: (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    False: (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_LAYER_3 = 1
# The side information lies between a frame's header and its Xing mark, and is empty in such a frame.
_FARTHEST = 4 + 2 + 32
_PREFIX_BYTES = 65_536


@dataclass(frozen=True)
class FrameHead:
    """The header of a frame of layer III: `rate` in Hz, `size` in bytes."""

    mpeg1: bool
    mono: bool
    has_crc: bool
    rate: int
    size: int

    @property
    def samples(self) -> int:
        """The samples per channel that the frame decodes to."""
        return 1152 if self.mpeg1 else 576

    @property
    def xing_at(self) -> int:
        """The offset in the frame at which a Xing mark would stand."""
        side = (17 if self.mono else 32) if self.mpeg1 else (9 if self.mono else 17)
        return 4 + side


def frame_head(data: bytes) -> FrameHead | None:
    """Decode the four bytes of a frame's header; return None where they begin no frame of layer III."""
    if len(data) < 4:
        return None
    bits = int.from_bytes(data[:4], "big")
    version, layer = bits >> 19 & 3, bits >> 17 & 3
    bit_rate, rate = bits >> 12 & 15, bits >> 10 & 3
    if bits >> 21 != 0x7FF or version == 1 or layer != _LAYER_3 or bit_rate in (0, 15) or rate == 3:
        return None
    mpeg1 = version == 3
    hertz = _RATES[version][rate]
    size = (144_000 if mpeg1 else 72_000) * _BIT_RATES[mpeg1][bit_rate] // hertz + (bits >> 9 & 1)
    return FrameHead(mpeg1, bits >> 6 & 3 == 3, not bits >> 16 & 1, hertz, size)


def parts(view: ByteView) -> list[ByteView]:
    """Return the MP3 files that `view` consists of, at least one. Raises OSError."""
    starts = [start for mark in view.find_all(_MARKS) if (start := _first_frame_at(view, mark)) is not None]
    if not starts:
        return [view]
    if starts[0] and _has_frames(view.read_at(0, min(starts[0], _PREFIX_BYTES))):
        starts.insert(0, 0)
    return [view.part(start, end) for start, end in zip(starts, [*starts[1:], view.size], strict=True)]


def declared_s(view: ByteView) -> float | None:
    """Return the seconds that the first frame declares, without padding, or None. Raises OSError."""
    data = view.read_at(0, _PREFIX_BYTES)
    for mark in (*_MARKS, _VBRI):
        at = data.find(mark)
        if at < 0:
            continue
        if mark == _VBRI:
            head = frame_head(data[at - 36 : at - 32]) if at >= 36 else None
            if head and len(data) >= at + 18:
                count: int = struct.unpack_from(">I", data, at + 14)[0]
                return count * head.samples / head.rate
        elif (start := _first_frame_at(view, at)) is not None:
            head = frame_head(data[start : start + 4])
            return _xing_s(data[at : at + 200], head) if head else None
    return None


def _first_frame_at(view: ByteView, mark: int) -> int | None:
    """Return where the frame begins whose Xing mark is at `mark`; None where there is no such frame."""
    before = view.read_at(max(0, mark - _FARTHEST), min(mark, _FARTHEST))
    for distance in (4 + 9, 4 + 17, 4 + 32):
        for crc in (0, 2):
            at = len(before) - distance - crc
            head = frame_head(before[at : at + 4]) if at >= 0 else None
            if head and head.xing_at == distance and not any(before[at + 4 + crc :]):
                return mark - distance - crc
    return None


def _xing_s(tag: bytes, head: FrameHead) -> float | None:
    flags = int.from_bytes(tag[4:8], "big")
    if not flags & _FRAMES_FLAG or len(tag) < 12:
        return None
    samples = int.from_bytes(tag[8:12], "big") * head.samples
    place = 12 + 4 * bool(flags & _BYTES_FLAG) + 100 * bool(flags & _TABLE_FLAG)
    place += 4 * bool(flags & _QUALITY_FLAG)
    lame = tag[place : place + 24]
    if len(lame) == 24 and lame[:4] in (b"LAME", b"Lavf", b"Lavc"):
        samples -= (lame[21] << 4 | lame[22] >> 4) + ((lame[22] & 0x0F) << 8 | lame[23])
    return max(0, samples) / head.rate


def _has_frames(data: bytes) -> bool:
    """Tell whether `data` holds three frames in a row."""
    at = data.find(b"\xff")
    while at >= 0:
        place, count = at, 0
        while count < 3 and (head := frame_head(data[place : place + 4])):
            place, count = place + head.size, count + 1
        if count == 3 or (count and place >= len(data)):
            return True
        at = data.find(b"\xff", at + 1)
    return False

"""Reads the headers of all sorts of WAV files, and writes the header that FFmpeg gets in their place.

FFmpeg takes the number of valid bits for the size of a sample. It trusts a wrong byte rate, and takes a data
size of 0 in several ways. The new header is made from the size of a frame, the number of channels, and the
number of bytes that are there.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from processor.audio.containers.audio_kind import W64_RIFF, not_audio
from processor.audio.containers.byte_view import ByteView
from processor.audio.containers.piped_size import is_piped

PCM, FLOAT, ALAW, MULAW, EXTENSIBLE = 1, 3, 6, 7, 0xFFFE
# The sizes in bytes that a sample of each format can have.
_WIDTHS = {PCM: (1, 2, 3, 4, 8), FLOAT: (4, 8), ALAW: (1,), MULAW: (1,)}
_AU_ENCODINGS = {(PCM, 2): 3, (PCM, 3): 4, (PCM, 4): 5, (FLOAT, 4): 6, (FLOAT, 8): 7}
_UNKNOWN = 0xFFFFFFFF
# Programs that write W64 into a pipe leave a very large size in the header.
_PIPED_SIZE_64 = 1 << 62
_MAX_CHUNKS = 1_000_000
_MAX_TRAILING_CHUNKS = 1_000
_MAX_FMT_BYTES = 65_536
_GUID_TAIL = bytes.fromhex("000000001000800000aa00389b71")
_W64_TAIL = W64_RIFF[4:]
_W64_CHUNK_TAIL = bytes.fromhex("f3acd3118cd100c04f8edb8a")


@dataclass(frozen=True)
class WavFile:
    """The sound of a WAV file: `present` bytes at `start`, of `declared` bytes (None where unknown).

    `header` is put before these bytes. It is empty where the samples are no plain numbers, and FFmpeg reads
    the file as it is. `frame_bytes` is the size of one sample of all channels, or of a compressed block.
    `rate` is in Hz.
    """

    header: bytes
    start: int
    present: int
    declared: int | None
    frame_bytes: int
    rate: int

    @property
    def demuxer(self) -> str:
        """FFmpeg's name of the format of `header`."""
        return "au" if self.header.startswith(b".snd") else "wav"


@dataclass(frozen=True)
class _Format:
    tag: int
    channels: int
    rate: int
    frame_bytes: int
    bits: int
    mask: int

    @property
    def width(self) -> int:
        """The bytes of one sample, or 0 where the header's numbers contradict one another."""
        if not self.channels or not 0 < self.bits <= 64:
            return 0
        least = (self.bits + 7) // 8
        width, rest = divmod(self.frame_bytes, self.channels)
        fits = not rest and width >= least and width in _WIDTHS.get(self.tag, ())
        return width if fits else least


@dataclass(frozen=True)
class _Chunk:
    """A chunk: its content begins at `start`, and has `size` bytes by the chunk's header."""

    name: bytes
    start: int
    size: int


def read(view: ByteView) -> WavFile:
    """Return where the sound is and how it is stored. Raises PermanentError (not_audio) and OSError."""
    order = ">" if view.read_at(0, 4) == b"RIFX" else "<"
    found, large = None, None
    for chunk in _chunks(view, order):
        if chunk.name == b"fmt " and found is None:
            found = _format(view.read_at(chunk.start, min(chunk.size, _MAX_FMT_BYTES)), order)
        elif chunk.name == b"ds64":
            content = view.read_at(chunk.start, 16)
            large = struct.unpack_from("<Q", content, 8)[0] if len(content) == 16 else None
        elif chunk.name == b"data":
            if found is None:
                raise not_audio("it is a WAV file whose format does not precede its samples")
            return _file(view, order, found, chunk, large)
    raise not_audio("it is a WAV file without samples")


def next_file(view: ByteView, wav: WavFile) -> int | None:
    """Return where the next of several joined WAV files begins, or None. Raises OSError."""
    if wav.declared is None or wav.present < wav.declared or _is_w64(view):
        return None
    place = wav.start + wav.declared + wav.declared % 2
    for _ in range(_MAX_TRAILING_CHUNKS):
        head = view.read_at(place, 12)
        if len(head) < 12:
            return None
        if head[:4] == view.read_at(0, 4) and head[8:] == b"WAVE":
            return place
        size = int.from_bytes(head[4:8], "big" if head[:4] == b"RIFX" else "little")
        place += 8 + size + size % 2
    return None


def _file(view: ByteView, order: str, found: _Format, data: _Chunk, large: int | None) -> WavFile:
    if data.size == _UNKNOWN and large is not None:
        if large >> 63:
            raise not_audio("it is a WAV file whose header has an impossible size")
        declared = large or None
    else:
        declared = _declared(view, data)
    rest = max(0, view.size - data.start)
    present = rest if declared is None else min(rest, declared)
    width = found.width
    if width not in _WIDTHS.get(found.tag, ()):
        return WavFile(b"", data.start, present, declared, found.frame_bytes, found.rate)
    frame_bytes = width * found.channels
    return WavFile(_header(order, found, width), data.start, present, declared, frame_bytes, found.rate)


def _declared(view: ByteView, data: _Chunk) -> int | None:
    if _is_w64(view):
        return data.size if 0 < data.size < _PIPED_SIZE_64 else None
    if data.size == 0:
        # A program that writes into a pipe leaves 0 here and in the RIFF header. For a song that is really
        # empty, the RIFF header has the file's length.
        order = ">" if view.read_at(0, 4) == b"RIFX" else "<"
        whole = 8 + struct.unpack(order + "I", view.read_at(4, 4))[0]
        return 0 if view.size <= whole and not is_piped(whole) else None
    return None if is_piped(data.size) else data.size


def _chunks(view: ByteView, order: str) -> Iterator[_Chunk]:
    w64 = _is_w64(view)
    place = 40 if w64 else 12
    for _ in range(_MAX_CHUNKS):
        head = view.read_at(place, 24 if w64 else 8)
        if len(head) < (24 if w64 else 8):
            return
        if w64:
            known = head[4:16] == _W64_CHUNK_TAIL
            size = struct.unpack_from("<Q", head, 16)[0] - 24
            if size < 0:
                return
            yield _Chunk(head[:4] if known else b"", place + 24, size)
            place += 24 + size + -size % 8
        else:
            name, size = struct.unpack(order + "4sI", head)
            yield _Chunk(name, place + 8, size)
            place += 8 + size + size % 2


def _is_w64(view: ByteView) -> bool:
    return view.read_at(0, 16) == W64_RIFF


def _format(content: bytes, order: str) -> _Format:
    if len(content) < 14:
        raise not_audio("it is a WAV file with a damaged header")
    tag, channels, rate, _, frame_bytes = struct.unpack_from(order + "HHIIH", content)
    bits = struct.unpack_from(order + "H", content, 14)[0] if len(content) >= 16 else 8
    mask = 0
    if tag == EXTENSIBLE and len(content) >= 40:
        mask, tag = struct.unpack_from(order + "IH", content, 20)
    return _Format(tag, channels, rate, frame_bytes, bits, mask)


def _header(order: str, found: _Format, width: int) -> bytes:
    if order == ">" and width > 1:
        return _au_header(found, width)
    frame_bytes = width * found.channels
    tag = EXTENSIBLE if found.mask else found.tag
    byte_rate = min(found.rate * frame_bytes, _UNKNOWN)
    fmt = struct.pack("<HHIIHH", tag, found.channels, found.rate, byte_rate, frame_bytes & 0xFFFF, 8 * width)
    if found.mask:
        fmt += struct.pack("<HHIH", 22, 8 * width, found.mask, found.tag) + _GUID_TAIL
    chunk = struct.pack("<4sI", b"fmt ", len(fmt)) + fmt
    # The largest size makes FFmpeg read to the end of the view.
    data = struct.pack("<4sI", b"data", _UNKNOWN)
    return b"RIFF" + struct.pack("<I", _UNKNOWN) + b"WAVE" + chunk + data


def _au_header(found: _Format, width: int) -> bytes:
    """Return the header of an AU file: FFmpeg takes the big-endian samples of RIFX for little-endian."""
    encoding = _AU_ENCODINGS.get((found.tag, width))
    if encoding is None:
        return b""
    return struct.pack(">4sIIIII", b".snd", 24, _UNKNOWN, encoding, found.rate, found.channels)

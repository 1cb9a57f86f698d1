"""How long a file says it is, where its format truly says so.

FFmpeg always offers a duration. For some files it is a guess from size and bit rate (MP3 without a Xing
header, raw AAC), or was quietly cut down to what is there (WAV): neither can tell a truncated file.
"""

import math
import struct
from pathlib import Path
from typing import BinaryIO

from av.audio.stream import AudioStream
from av.container import InputContainer

_XING_FRAMES_FLAG = 1
_MAX_CHUNKS = 10_000
# Programs that write into a pipe leave the largest size they know of in the header.
_PIPED_SIZE = 0x7FFFF000


def declared_s(container: InputContainer, stream: AudioStream, path: Path) -> float | None:
    """The declared length of the stream in seconds; None where nothing reliable is declared."""
    name = container.format.name
    if name == "wav":
        return _wav_s(path, stream)
    if name == "mp3" and not _has_mp3_frame_count(path):
        return None
    if name in ("aac", "ogg"):
        return None
    if "matroska" in name:
        return _matroska_s(container, stream)
    return float(stream.duration * stream.time_base) if stream.duration else None


def _wav_s(path: Path, stream: AudioStream) -> float | None:
    """From the header's data size. Only for linear samples, whose bytes a second are known."""
    bytes_per_s = (stream.codec_context.bit_rate or 0) / 8
    with path.open("rb") as file:
        size = _wav_data_bytes(file)
    if size is None or not bytes_per_s or not stream.codec_context.name.startswith("pcm_"):
        return None
    return size / bytes_per_s


def _wav_data_bytes(file: BinaryIO) -> int | None:
    kind = file.read(12)[:4]
    large = None
    for _ in range(_MAX_CHUNKS):
        if len(head := file.read(8)) < 8:
            break
        name, size = struct.unpack("<4sI", head)
        if name == b"data":
            size = large if kind == b"RF64" else size
            return size if size and (kind == b"RF64" or size < _PIPED_SIZE) else None
        if name == b"ds64":
            content = file.read(min(size, 16))
            large = struct.unpack_from("<Q", content, 8)[0] if len(content) == 16 else None
            size -= len(content)
        file.seek(size + size % 2, 1)
    return None


def _has_mp3_frame_count(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(_id3_bytes(file.read(10)))
        first_frame = file.read(4096)
    for mark in (b"Xing", b"Info"):
        at = first_frame.find(mark)
        if at >= 0 and len(first_frame) >= at + 8:
            return bool(struct.unpack_from(">I", first_frame, at + 4)[0] & _XING_FRAMES_FLAG)
    return b"VBRI" in first_frame


def _id3_bytes(head: bytes) -> int:
    """The length of an ID3v2 tag: four bytes of seven bits each, and its own header of ten."""
    if len(head) < 10 or head[:3] != b"ID3":
        return 0
    size = 0
    for byte in head[6:10]:
        size = size << 7 | byte & 0x7F
    return size + 10


def _matroska_s(container: InputContainer, stream: AudioStream) -> float | None:
    try:
        hours, minutes, seconds = stream.metadata.get("DURATION", "").split(":")
        told_s = 3600 * int(hours) + 60 * int(minutes) + float(seconds)
        if not math.isfinite(told_s):
            raise ValueError
        return told_s
    except (ValueError, OverflowError):
        # The container's own is that of its longest stream.
        alone = len(container.streams) == 1
        return container.duration / 1e6 if alone and container.duration else None

"""Makes pictures and tags for songs."""

import struct
import zlib

import numpy as np

from tests.support.processor.songs import id3v2


def png(width: int = 8, height: int = 6, size_bytes: int = 0) -> bytes:
    """A picture of noise, with as many bytes behind as bring it to `size_bytes`."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
        )

    rows = np.random.default_rng(0).integers(0, 255, (height, 1 + 3 * width), dtype=np.uint8)
    rows[:, 0] = 0
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    content = (
        b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(rows.tobytes())) + chunk(b"IEND", b"")
    )
    return content + bytes(max(0, size_bytes - len(content)))


def jpeg(width: int = 8, height: int = 6) -> bytes:
    """The segments that a JPEG file begins with, and junk for its pixels."""
    app = b"\xff\xe0\x00\x10JFIF\0\x01\x01\0\0\x01\0\x01\0\0"
    frame = (
        b"\xff\xc0\x00\x11\x08"
        + struct.pack(">HH", height, width)
        + b"\x03\x01\x11\0\x02\x11\x01\x03\x11\x01"
    )
    return b"\xff\xd8" + app + frame + b"\xff\xda" + bytes(range(200)) + b"\xff\xd9"


def id3_frame(name: bytes, content: bytes) -> bytes:
    size = bytes(len(content) >> shift & 0x7F for shift in (21, 14, 7, 0))
    return name + size + b"\0\0" + content


def id3_text(name: bytes, text: bytes) -> bytes:
    """A text frame, in UTF-8."""
    return id3_frame(name, b"\x03" + text)


def id3_picture(content: bytes, mime: bytes = b"image/png") -> bytes:
    return id3_frame(b"APIC", b"\0" + mime + b"\0\x03\0" + content)


def tagged_mp3(mp3: bytes, *frames: bytes) -> bytes:
    """`mp3` behind an ID3v2.4 tag of these frames."""
    return id3v2(b"".join(frames)) + mp3

"""Describes the picture that comes with a song, without decoding it."""

import struct
from dataclasses import dataclass
from typing import Literal

MAX_COVER_BYTES = 2 << 20
_PNG_HEAD = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR"
_JPEG_HEAD = b"\xff\xd8\xff"
# The markers of a frame's header; those between them, 0xC4, 0xC8 and 0xCC, have other uses.
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_MAX_SIDE = 1 << 16

Kind = Literal["jpeg", "png"]


@dataclass(frozen=True)
class Cover:
    """A picture file at `path`, of `width` × `height` pixels."""

    path: str
    kind: Kind
    width: int
    height: int


def described(content: bytes) -> tuple[Kind, int, int] | None:
    """Return a picture's kind, width and height; None where it is neither JPEG nor PNG, or over 2 MiB."""
    if len(content) > MAX_COVER_BYTES:
        return None
    kind: Kind
    if content.startswith(_PNG_HEAD) and len(content) >= 24:
        kind, size = "png", struct.unpack_from(">II", content, 16)
    elif content.startswith(_JPEG_HEAD) and (found := _jpeg_size(content)):
        kind, size = "jpeg", found
    else:
        return None
    width, height = size
    return (kind, width, height) if 0 < width < _MAX_SIDE and 0 < height < _MAX_SIDE else None


def _jpeg_size(content: bytes) -> tuple[int, int] | None:
    """Return width and height from the first frame's header; None where there is none."""
    at = 2
    while at + 9 <= len(content) and content[at] == 0xFF:
        marker = content[at + 1]
        if marker in _JPEG_FRAMES:
            height, width = struct.unpack_from(">HH", content, at + 5)
            return width, height
        # 0xFF fills up; all other segments before the frame have a length.
        at += 1 if marker == 0xFF else 2 + int.from_bytes(content[at + 2 : at + 4], "big")
    return None

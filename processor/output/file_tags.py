"""Gives a file that FFmpeg writes the song's tags and cover."""

import base64
import struct
from collections.abc import Mapping
from pathlib import Path

import av
from av.container import OutputContainer
from av.stream import Disposition

from processor.audio.cover import Cover

_FRONT_COVER = 3


def write(container: OutputContainer, tags: Mapping[str, str], cover: Cover | None) -> None:
    """Set the tags and the cover before the first packet. Raises OSError."""
    container.metadata.update(tags)
    if cover is None:
        return
    if container.format.name == "ogg":
        container.metadata["METADATA_BLOCK_PICTURE"] = _flac_picture(cover)
        return
    codec = "png" if cover.kind == "png" else "mjpeg"
    stream = container.add_mux_stream(codec, width=cover.width, height=cover.height)
    stream.disposition = Disposition.attached_pic
    packet = av.Packet(Path(cover.path).read_bytes())
    packet.stream, packet.pts, packet.dts = stream, 0, 0
    container.mux(packet)


def _flac_picture(cover: Cover) -> str:
    """Return a FLAC picture block as Vorbis comments hold it, in base64.

    https://xiph.org/flac/format.html#metadata_block_picture; colours of 0 stand for unknown.
    """
    content, mime = Path(cover.path).read_bytes(), f"image/{cover.kind}".encode()
    head = struct.pack(">II", _FRONT_COVER, len(mime)) + mime
    shape = struct.pack(">IIIIII", 0, cover.width, cover.height, 0, 0, len(content))
    return base64.b64encode(head + shape + content).decode()

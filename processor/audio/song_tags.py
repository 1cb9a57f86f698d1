"""Reads the tags and the cover of a song, within narrow limits. Runs in the decoder's limited process."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import av
from av.container import InputContainer
from av.stream import Disposition

from processor.audio import audio_stream
from processor.audio.containers import audio_kind, tags
from processor.audio.containers.byte_view import ByteView, Range
from processor.audio.cover import MAX_COVER_BYTES, Cover, described

# By FFmpeg's names. Other tags tell of the whole song's sound (gain, peaks, encoder, gapless data), which is
# wrong for a stem, or are a program's own.
KEPT = (
    "title", "artist", "album", "album_artist", "composer", "performer", "conductor", "lyricist", "genre",
    "date", "track", "disc", "publisher", "copyright", "comment", "isrc", "grouping",
)  # fmt: skip
_MAX_TAG_BYTES = 4096
# Line feeds and tabs are text; other control characters, NUL among them, end or garble tags elsewhere.
_CONTROL = re.compile(r"[\0-\x08\x0b-\x1f\x7f\ud800-\udfff]")
# The pictures come before the sound; beyond these packets none is looked for.
_MOST_PACKETS = 64


@dataclass(frozen=True)
class SongTags:
    """Tags by FFmpeg's names, each of at most 4,096 bytes of UTF-8, and the cover if there is one."""

    texts: Mapping[str, str] = field(default_factory=dict)
    cover: Cover | None = None


def read(source: Path, target: Path) -> SongTags:
    """Return what is kept of the song's tags; write the cover beside `target`.

    A song whose tags cannot be read has none. Raises PermanentError (format_unsupported, not_audio) for a
    file that is no song at all, and OSError.
    """
    size = source.stat().st_size
    with source.open("rb") as file:
        view = ByteView(file, [Range(0, size)])
        # The demuxer is that of the sound; a tag before the sound may look like anything.
        head = tags.without_leading(view).read_at(0, audio_kind.HEAD_BYTES)
        try:
            with audio_stream.opened(view, audio_kind.demuxer(head) or "mp3") as container:
                return SongTags(_texts(container), _cover(container, target))
        except (av.error.FFmpegError, MemoryError):  # a tag of any size is no reason to refuse the song
            return SongTags()


def _texts(container: InputContainer) -> dict[str, str]:
    found = {name.lower(): text for name, text in container.metadata.items()}
    for stream in container.streams.audio[:1]:  # Ogg's tags are its stream's
        found |= {name.lower(): text for name, text in stream.metadata.items()}
    texts = {name: _CONTROL.sub("", found[name]).strip() for name in KEPT if name in found}
    return {name: text for name, text in texts.items() if text and len(text.encode()) <= _MAX_TAG_BYTES}


def _cover(container: InputContainer, target: Path) -> Cover | None:
    for content in _pictures(container):
        if shape := described(content):
            kind, width, height = shape
            path = target.with_name(f"{target.stem}.cover.{kind}")
            path.write_bytes(content)
            return Cover(str(path), kind, width, height)
    return None


def _pictures(container: InputContainer) -> Iterator[bytes]:
    """Yield the attached pictures that are not too large."""
    if not any(stream.disposition & Disposition.attached_pic for stream in container.streams.video):
        return
    for packet in islice(container.demux(), _MOST_PACKETS):
        is_picture = packet.stream.disposition & Disposition.attached_pic
        if is_picture and 0 < packet.size <= MAX_COVER_BYTES:
            yield bytes(packet)

"""Splits a download into the files that were joined in it, each as FFmpeg can read it.

Files joined by `cat`, and chained streams, have several headers. FFmpeg decodes all of them with the first
header's set-up, which makes noise of the others, or stops silently after the first file.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from processor.audio.containers import (
    audio_kind,
    header_repair,
    mp4_boxes,
    mpeg_frames,
    ogg_links,
    tags,
    wav_header,
)
from processor.audio.containers.byte_view import ByteView

_FLAC_HEAD = b"fLaC\0\0\0\x22"
_EBML = b"\x1a\x45\xdf\xa3"
_MAX_WAVS = 10_000


@dataclass(frozen=True)
class SongPart:
    """One of the joined files; `wav` describes it where it is a WAV file.

    `demuxer` is FFmpeg's name of its format, None where FFmpeg must find out.
    """

    view: ByteView
    demuxer: str | None
    wav: wav_header.WavFile | None = None


def of(view: ByteView) -> list[SongPart]:
    """Return the parts in order; most files have one.

    Raises PermanentError (not_audio, format_unsupported) and OSError.
    """
    view = tags.without_leading(view)
    if not view.size:
        raise audio_kind.not_audio("it holds tags and no sound")
    demuxer = audio_kind.demuxer(view.read_at(0, audio_kind.HEAD_BYTES))
    if demuxer == "wav":
        return list(_wavs(view))
    if demuxer is None:
        bare = view.without(list(tags.found(view)))
        return [SongPart(part, None) for part in mpeg_frames.parts(bare)]
    view = tags.without_trailing(view)
    starts = _starts(view, demuxer) or [0]
    views = [view.part(*ends) for ends in zip(starts, [*starts[1:], view.size], strict=True)]
    return [SongPart(header_repair.repaired(part, demuxer), demuxer) for part in views]


def _starts(view: ByteView, demuxer: str) -> list[int]:
    if demuxer == "ogg":
        return ogg_links.starts(view)
    if demuxer == "flac":
        return list(view.find_all((_FLAC_HEAD,)))
    if demuxer == "matroska":
        return [at for at in view.find_all((_EBML,)) if _is_matroska(view.read_at(at, 64))]
    return mp4_boxes.starts(view) if demuxer == "mov" else []


def _is_matroska(head: bytes) -> bool:
    return b"\x42\x82" in head and (b"matroska" in head or b"webm" in head)


def _wavs(view: ByteView) -> Iterator[SongPart]:
    for _ in range(_MAX_WAVS):
        wav = wav_header.read(view)
        end = wav_header.next_file(view, wav)
        whole = view if end is None else view.part(0, end)
        plain = view.part(wav.start, wav.start + wav.present, wav.header)
        yield SongPart(plain if wav.header else whole, wav.demuxer, wav)
        if end is None:
            break
        view = view.part(end, view.size)

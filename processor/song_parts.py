"""Splits a download into the songs that it is made up of, each as FFmpeg can read it."""

from dataclasses import dataclass

from processor import audio_kind, mpeg_frames, ogg_links, tags, wav_header
from processor.byte_view import ByteView

_FLAC_HEAD = b"fLaC\0\0\0\x22"


@dataclass(frozen=True)
class SongPart:
    """`demuxer` is FFmpeg's name of the format; None leaves it to FFmpeg to find out. `wav` is for WAV files."""

    view: ByteView
    demuxer: str | None
    wav: wav_header.WavFile | None = None


def of(view: ByteView) -> list[SongPart]:
    """Return the parts in order, one for most files.

    Raises PermanentError for what is no audio (not_audio), or none that we take (format_unsupported), and OSError.
    """
    view = tags.without_leading(view)
    if not view.size:
        raise audio_kind.not_audio("it holds tags and no sound")
    demuxer = audio_kind.demuxer(view.read_at(0, audio_kind.HEAD_BYTES))
    if demuxer == "wav":
        return [_wav(view)]
    if demuxer == "ogg":
        return [SongPart(link, demuxer) for link in ogg_links.links(view)]
    if demuxer == "flac":
        starts = list(view.find_all((_FLAC_HEAD,))) or [0]
        ends = [*starts[1:], view.size]
        return [SongPart(view.part(*ends), demuxer) for ends in zip(starts, ends, strict=True)]
    if demuxer is None:
        bare = view.without(list(tags.found(view)))
        return [SongPart(part, None) for part in mpeg_frames.parts(bare)]
    return [SongPart(view, demuxer)]


def _wav(view: ByteView) -> SongPart:
    wav = wav_header.read(view)
    if wav.header:
        view = view.part(wav.start, wav.start + wav.present, wav.header)
    return SongPart(view, "wav", wav)

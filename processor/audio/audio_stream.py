"""Chooses a file's audio stream, among the formats and codecs that we let FFmpeg read, and unpacks it."""

from collections.abc import Iterator
from fractions import Fraction

import av
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.codec.context import Flags2
from av.container import InputContainer

from common.errors import ErrorCode, PermanentError
from processor.audio.containers import mp4_boxes
from processor.audio.containers.audio_kind import format_unsupported, not_audio
from processor.audio.containers.byte_view import ByteView

# The formats that songs are sold and kept in, whose demuxers read one file and have long been tested widely.
# Playlists and manifests (concat, HLS, DASH, SDP) are not in it, and nothing may open a second file. Nor are
# broadcast streams, speech, games' formats and rare lossless ones: each is more C code that a stranger's
# bytes reach, for the sake of few songs.
_FORMATS = "wav,flac,mp3,ogg,mov,matroska,aac,aiff,caf,au,wv,tta,asf,avi,ac3,eac3,dts"
# What songs are coded with. No other decoder runs, so that a defect in one of the hundreds does no harm.
_DECODERS = frozenset(
    name
    for name in av.codecs_available
    if name.startswith(("pcm_", "adpcm_", "aac", "mp1", "mp2", "mp3", "wmav", "gsm"))
    or name in ("ac3", "alac", "dca", "eac3", "flac", "opus", "speex", "truehd", "tta", "vorbis", "wavpack")
)
OPTIONS = {
    "format_whitelist": _FORMATS,
    "protocol_whitelist": "none",  # the bytes come from a ByteView: there is nothing to open
    "enable_drefs": "0",
    "use_absolute_path": "0",
    "codec_whitelist": ",".join(sorted(_DECODERS)),
}


def choose(container: InputContainer, view: ByteView) -> AudioStream:
    """Return the first audio stream that is flagged as default, or the first of those that can be decoded."""
    streams = container.streams.audio
    if not streams:
        raise PermanentError(ErrorCode.NO_AUDIO_STREAM, "The file has no audio stream")
    usable = [
        stream for stream in streams if _codec(stream) in _DECODERS and stream.codec_context.sample_rate
    ]
    if not usable:
        raise _unusable(streams[0])
    default = [stream for stream in usable if stream.disposition & av.stream.Disposition.default]
    chosen = (default or usable)[0]
    if container.format.name.startswith("mov") and mp4_boxes.is_encrypted(view, chosen.id):
        raise format_unsupported("MP4 with encrypted sound (DRM)")
    if container.format.name == "caf" and _codec(chosen) == "alac":
        # The last packet is as short as the song is. FFmpeg would cut it once more by the container's count.
        chosen.codec_context.flags2 |= Flags2.skip_manual
    return chosen


def _codec(stream: AudioStream) -> str | None:
    return stream.codec_context.name if stream.codec_context is not None else None


def _unusable(stream: AudioStream) -> PermanentError:
    name = _codec(stream)
    if name is None:
        return not_audio("the codec of its sound is unknown")
    if name in _DECODERS:
        return not_audio("its audio stream does not say what it holds")
    return format_unsupported(f"sound of the codec {name}")


class Packets:
    """The stream's frames, past packets that cannot be decoded, which `bad` counts, and `good` the others."""

    def __init__(self, container: InputContainer, stream: AudioStream):
        self._container, self._stream = container, stream
        self.good = self.bad = 0
        self._last: tuple[av.Packet, list[AudioFrame]] | None = None

    @property
    def padding_s(self) -> Fraction:
        """How much longer the last packet has turned out than the container says."""
        if self._last is None or not self._last[0].duration:
            return Fraction(0)
        packet, frames = self._last
        length_s = sum(Fraction(frame.samples, frame.sample_rate) for frame in frames)
        return max(Fraction(0), length_s - packet.duration * packet.time_base)

    def frames(self) -> Iterator[AudioFrame]:
        """Yield what can be decoded; raise av.error.FFmpegError where the container cannot be read on."""
        for packet in self._container.demux(self._stream):
            try:
                frames = packet.decode()
            except (av.error.InvalidDataError, av.error.EOFError):
                self.bad += any(bytes(packet))  # zeros are nobody's frames, and some files end in many
            else:
                self.good += 1
                if frames:
                    self._last = packet, frames
                yield from frames

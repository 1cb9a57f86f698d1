"""Chooses a file's audio stream and decodes its packets, with the formats and codecs that FFmpeg may use."""

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

# The formats that songs are sold and kept in. Their demuxers read one file and are widely tested.
# Playlists and manifests (concat, HLS, DASH, SDP) are left out: nothing may open a second file. Broadcast
# streams, speech, games' formats and rare lossless formats are left out too: each of them lets a stranger's
# bytes reach more C code for the sake of few songs.
_FORMATS = "wav,flac,mp3,ogg,mov,matroska,aac,aiff,caf,au,wv,tta,asf,avi,ac3,eac3,dts"
# The codecs of songs. FFmpeg has hundreds of other decoders; none of them runs, so their defects do no harm.
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
# FLAC's header counts a frame's bytes in 24 bits. A larger packet holds junk, whose checksum takes minutes.
_MOST_FRAME_BYTES = (1 << 24) - 1


def opened(view: ByteView, demuxer: str | None) -> InputContainer:
    """Open a file as the format `demuxer`, or as FFmpeg finds out. Raises FFmpegError and OSError."""
    return av.open(view, "r", format=demuxer, options=OPTIONS, metadata_errors="ignore")


def choose(container: InputContainer, view: ByteView) -> AudioStream:
    """Return the first decodable audio stream that is flagged as default, or else the first decodable one.

    Raises PermanentError (no_audio_stream, not_audio, format_unsupported) and OSError.
    """
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
        # CAF's last ALAC packet ends with the song. FFmpeg would cut it again by the container's count.
        chosen.codec_context.flags2 |= Flags2.skip_manual
    return chosen


def _codec(stream: AudioStream) -> str | None:
    return stream.codec_context.name if stream.codec_context is not None else None


def _unusable(stream: AudioStream) -> PermanentError:
    name = _codec(stream)
    if name is None:
        return not_audio("the codec of its sound is unknown")
    if name in _DECODERS:
        return not_audio("its audio stream has no sample rate")
    return format_unsupported(f"sound of the codec {name}")


class Packets:
    """Decodes a stream's packets and skips those that cannot be decoded.

    `good` and `bad` count the packets of each sort.
    """

    def __init__(self, container: InputContainer, stream: AudioStream):
        self._container, self._stream = container, stream
        self.good = self.bad = 0
        self._begun: bytes | None = None
        self._ended: av.Packet[AudioStream] | None = None
        self._last: tuple[av.Packet[AudioStream], list[AudioFrame]] | None = None
        self._first_s: Fraction | None = None
        self._found_s = Fraction(0)

    @property
    def padding_s(self) -> Fraction:
        """The seconds by which the last packet is longer than the container says."""
        if self._last is None:
            return Fraction(0)
        packet, frames = self._last
        if not packet.duration or packet.time_base is None:
            return Fraction(0)
        return max(Fraction(0), _length_s(frames) - packet.duration * packet.time_base)

    @property
    def first_bytes(self) -> bytes:
        """The content of the file's first packet, good or bad; empty where it is too large for a frame."""
        return self._begun or b""

    @property
    def last_bytes(self) -> bytes:
        """The content of the last packet, good or bad; empty where it is too large for a frame."""
        return _content(self._ended) if self._ended is not None else b""

    @property
    def are_gapless(self) -> bool:
        """True where the container's times say that no sound is missing between the packets."""
        if self._last is None or self._first_s is None:
            return False
        packet, frames = self._last
        at_s = _begin_s(packet)
        return at_s is not None and at_s + _length_s(frames) - self._first_s == self._found_s

    def see_first(self) -> None:
        """Note the first packet, before a seek passes over it. Raises av.error.FFmpegError."""
        self._begun = _content(next(self._container.demux(self._stream)))

    def frames(self) -> Iterator[AudioFrame]:
        """Yield the decoded frames. Raises av.error.FFmpegError where the container cannot be read on."""
        for packet in self._container.demux(self._stream):
            self._begun = _content(packet) if self._begun is None else self._begun
            self._ended = packet if packet.size else self._ended  # FFmpeg's last packet is empty
            try:
                frames = packet.decode()
            except (av.error.InvalidDataError, av.error.EOFError):
                self.bad += any(bytes(packet))  # some files end in many zero bytes, which are no frames
            else:
                self.good += 1
                if frames:
                    self._first_s = _begin_s(packet) if self._last is None else self._first_s
                    self._found_s += _length_s(frames)
                    self._last = packet, frames
                yield from frames


def _content(packet: "av.Packet[AudioStream]") -> bytes:
    return bytes(packet) if packet.size <= _MOST_FRAME_BYTES else b""


def _begin_s(packet: "av.Packet[AudioStream]") -> Fraction | None:
    return None if packet.pts is None or packet.time_base is None else packet.pts * packet.time_base


def _length_s(frames: list[AudioFrame]) -> Fraction:
    return sum((Fraction(frame.samples, frame.sample_rate) for frame in frames), Fraction(0))

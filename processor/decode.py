"""Probes a download and decodes it to a 44.1 kHz stereo float WAV, in constant memory.

Runs in a limited process of its own, see `prepare`: the bytes are a stranger's.
"""

import errno
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import InputContainer

from common.errors import ErrorCode, PermanentError
from processor import declared_length, downmix, mp4_boxes, song_parts
from processor.audio_kind import format_unsupported, not_audio
from processor.byte_view import ByteView, Range
from processor.resample import Resampler
from processor.song_parts import SongPart
from processor.wav import SAMPLE_RATE, WavWriter, frame_bytes

# Each of these demuxers reads one file from its beginning to its end, has no scripts, playlists or references to
# other files in use, and holds what songs are sold or kept in. Playlists and manifests (concat, HLS, DASH, SDP) are
# not in it, nor are broadcast streams, game and speech formats.
_FORMATS = "wav,flac,mp3,ogg,mov,matroska,aac,aiff,caf,au,wv,tta,asf,avi,ac3,eac3,dts"
# What songs are coded with. No other decoder runs, so that a defect in one of the hundreds does no harm.
_DECODERS = frozenset(
    name
    for name in av.codecs_available
    if name.startswith(("pcm_", "adpcm_", "aac", "mp1", "mp2", "mp3", "wmav", "gsm"))
    or name in ("ac3", "alac", "dca", "eac3", "flac", "opus", "speex", "truehd", "tta", "vorbis", "wavpack")
)
_OPTIONS = {
    "format_whitelist": _FORMATS,
    "protocol_whitelist": "file",
    "enable_drefs": "0",
    "use_absolute_path": "0",
    "codec_whitelist": ",".join(sorted(_DECODERS)),
}
_RATES = range(1_000, 768_001)  # below, a few bytes become hours of sound
_TOLERANCE_S = 0.05
_BLOCK_FRAMES = 16384
# Coders' padding: at most two frames of HE-AAC. What is longer than declared by more was not padded.
_PADDING_SAMPLES = 4096
# +40 dB of full scale: no music has it, and a file that is read as what it is not easily does.
_MOST_PEAK = 100.0


@dataclass(frozen=True)
class Decoded:
    """`frames` of 44.1 kHz; `peak` is the largest absolute sample."""

    frames: int
    peak: float
    codec: str
    container: str
    source_rate: int
    source_channels: int


@dataclass(frozen=True)
class _Limits:
    max_duration_s: float
    max_channels: int


def decode(source: Path, target: Path, max_duration_s: float, max_channels: int) -> Decoded:
    """Decode `source` to `target`; raise PermanentError (see `prepare`), OSError and MemoryError."""
    size = source.stat().st_size
    if size == 0:
        raise PermanentError(ErrorCode.EMPTY_FILE, "The file is empty")
    limits = _Limits(max_duration_s, max_channels)
    with source.open("rb") as file:
        parts = song_parts.of(ByteView(file, [Range(0, size)]))
        with WavWriter(target, "float32") as writer:
            song = _Song(writer, limits, target.parent)
            for part in parts:
                song.add(part)
            return song.finished()


class _Song:
    """Decodes the parts of a song one after the other, and judges what has come of it."""

    def __init__(self, writer: WavWriter, limits: _Limits, directory: Path):
        self._writer, self._limits, self._directory = writer, limits, directory
        self._first: tuple[str, str, int, int] | None = None
        self._found_s = self._declared_s = Fraction(0)
        self._good = self._bad = self._missing_bytes = 0
        self._peak, self._strange = 0.0, 0

    def add(self, part: SongPart) -> None:
        try:
            with av.open(
                part.view, format=part.demuxer, options=_OPTIONS, metadata_errors="ignore"
            ) as container:
                self._add(part, container)
        except av.error.InvalidDataError:
            if self._first is not None:  # junk behind a song
                self._bad += 1
            elif part.demuxer == "mov":  # its index comes last where a program wrote it in one go
                message = "The file is truncated or damaged: its index is missing"
                raise PermanentError(ErrorCode.TRUNCATED_AUDIO, message) from None
            else:
                raise not_audio("nothing in it is audio of a format that we take") from None
        except av.error.FFmpegError as error:
            if isinstance(error, MemoryError):
                raise MemoryError(str(error)) from None
            raise not_audio(_reason(error)) from None

    def finished(self) -> Decoded:
        frames = self._writer.written
        self._check_length(frames)
        return Decoded(frames, self._peak, *self._first)

    def _add(self, part: SongPart, container: InputContainer) -> None:
        stream = _audio_stream(container, part.view)
        codec = stream.codec_context
        channels, rate = codec.channels, codec.sample_rate
        _check_shape(channels, rate, self._limits.max_channels)
        declared = self._declare(part, container, stream)
        if self._first is None:
            self._first = (codec.name, container.format.name, rate, channels)
        packets = _Packets(container, stream)
        blocks = _stereo(packets.frames(), self._limits.max_channels)
        if container.format.name.startswith(("mov", "caf")):
            blocks = _without_padding(blocks, lambda: declared or packets.ends_s)
        self._write(blocks)
        if part.wav is not None and not part.wav.header:
            declared = declared_length.wav_s(part.wav, self._found_s)
        self._declared_s += declared or 0
        self._good += packets.good
        self._bad += packets.bad

    def _declare(self, part: SongPart, container: InputContainer, stream: AudioStream) -> Fraction | None:
        """Return the part's exact length, once it is sure that it is short enough and has room."""
        if part.wav is not None:
            declared = declared_length.wav_s(part.wav, Fraction(0))
        else:
            declared = declared_length.declared_s(container, stream, part.view)
            self._missing_bytes += declared_length.missing_bytes(container.format.name, part.view)
        longest = max(declared or 0, declared_length.span_s(stream) or 0)
        if self._declared_s + longest > self._limits.max_duration_s:
            raise self._too_long()
        _require_space(self._directory, longest)
        return declared

    def _write(self, blocks: Iterator["_Block"]) -> None:
        resampler, rate = None, None
        for block in blocks:
            if block.rate != rate:
                if resampler:
                    self._put(resampler.finish())
                resampler, rate = Resampler(block.rate), block.rate
            self._strange += block.strange
            self._found_s += Fraction(len(block.samples), block.rate)
            self._put(resampler.convert(block.samples))
        if resampler:
            self._put(resampler.finish())

    def _put(self, samples: np.ndarray) -> None:
        if not len(samples):
            return
        most = self._limits.max_duration_s * SAMPLE_RATE
        if self._writer.written + len(samples) > int(most) + SAMPLE_RATE * _TOLERANCE_S:
            raise self._too_long()
        self._peak = max(self._peak, float(samples.max()), -float(samples.min()))
        if self._peak > _MOST_PEAK:
            raise not_audio(
                f"its samples reach {self._peak:.4g} times full scale, which no music does: it is damaged, or its "
                "samples are not of the kind that it says"
            )
        self._writer.write(samples)

    def _check_length(self, frames: int) -> None:
        if frames == 0 and self._bad:
            raise not_audio("nothing in it can be decoded")
        found, declared = float(self._found_s), float(self._declared_s)
        if self._declared_s and found < declared - _TOLERANCE_S:
            raise _truncated(f"{found:.2f} s of {declared:.2f} s can be decoded")
        if self._missing_bytes:
            raise _truncated(f"{self._missing_bytes} bytes that it says it has are not there")
        if frames == 0:
            raise PermanentError(ErrorCode.EMPTY_FILE, "The file holds no audio samples")
        if self._bad > self._good:  # some noise looks like a frame of MP3 here and there
            raise not_audio("most of it cannot be decoded")
        if self._strange > frames:
            raise not_audio("most of its samples are no numbers (NaN or infinite)")

    def _too_long(self) -> PermanentError:
        message = f"The audio is longer than {self._limits.max_duration_s:g} s"
        return PermanentError(ErrorCode.TOO_LONG, message)


def _audio_stream(container: InputContainer, view: ByteView) -> AudioStream:
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


def _check_shape(channels: int, rate: int, max_channels: int) -> None:
    if channels > max_channels:
        raise PermanentError(
            ErrorCode.TOO_MANY_CHANNELS,
            f"The file has {channels} channels, at most {max_channels} are allowed",
        )
    if rate not in _RATES:
        raise not_audio(f"its sample rate is {rate} Hz")


def _require_space(directory: Path, duration_s: Fraction | int) -> None:
    needed, free = int(duration_s * SAMPLE_RATE) * frame_bytes("float32"), shutil.disk_usage(directory).free
    if free < needed:
        raise OSError(errno.ENOSPC, f"decoding needs {needed} bytes, {free} are free")


class _Packets:
    """The stream's frames, past packets that cannot be decoded, which `bad` counts, and `good` the others."""

    def __init__(self, container: InputContainer, stream: AudioStream):
        self._container, self._stream = container, stream
        self.good = self.bad = 0
        self._decoded_s = self._padding_s = Fraction(0)

    @property
    def ends_s(self) -> Fraction:
        """What has been decoded, without what the last packet is longer than the container says."""
        return self._decoded_s - self._padding_s

    def frames(self) -> Iterator[AudioFrame]:
        for packet in self._container.demux(self._stream):
            try:
                frames = packet.decode()
            except (av.error.InvalidDataError, av.error.EOFError):
                self.bad += 1
            else:
                self.good += 1
                yield from frames
                self._count(frames, packet)

    def _count(self, frames: list[AudioFrame], packet: av.Packet) -> None:
        if not frames:
            return
        length_s = sum(Fraction(frame.samples, frame.sample_rate) for frame in frames)
        self._decoded_s += length_s
        told_s = packet.duration * packet.time_base if packet.duration else length_s
        self._padding_s = max(Fraction(0), length_s - told_s)


@dataclass(frozen=True)
class _Block:
    """float32 [frame, 2] at the song's own `rate`; `strange` counts the numbers that were none."""

    samples: np.ndarray
    rate: int
    strange: int


def _stereo(frames: Iterator[AudioFrame], max_channels: int) -> Iterator[_Block]:
    """Yield stereo blocks. A stream may change rate and layout on its way."""
    converter, weights, shape = None, None, None
    for frame in frames:
        _check_shape(frame.layout.nb_channels, frame.sample_rate, max_channels)
        if shape != (frame.format.name, frame.layout.name, frame.sample_rate):
            if converter:
                yield from _mixed(converter.resample(None), weights)
            shape = (frame.format.name, frame.layout.name, frame.sample_rate)
            # Packed, because PyAV loses count of the planes of eight channels or more and crashes. The rate stays.
            converter = av.AudioResampler("flt", frame.layout, frame.sample_rate, frame_size=_BLOCK_FRAMES)
            weights = downmix.matrix([channel.name for channel in frame.layout.channels])
        frame.pts = None  # gaps and jumps of a damaged file are not to be filled
        yield from _mixed(converter.resample(frame), weights)
    if converter:
        yield from _mixed(converter.resample(None), weights)


def _mixed(frames: list[AudioFrame], weights: np.ndarray) -> Iterator[_Block]:
    for frame in frames:
        samples = frame.to_ndarray().reshape(-1, weights.shape[1])
        strange = 0
        if not np.isfinite(samples).all():
            strange = int(np.count_nonzero(~np.isfinite(samples).all(axis=1)))
            samples = np.nan_to_num(samples, nan=0.0, posinf=0.0, neginf=0.0)
        if not _keeps(weights):
            samples = samples @ weights.T
        yield _Block(samples, frame.sample_rate, strange)


def _keeps(weights: np.ndarray) -> bool:
    return np.array_equal(weights, np.eye(2))


def _without_padding(blocks: Iterator[_Block], length_s: Callable[[], Fraction | None]) -> Iterator[_Block]:
    """Hold back the end until all is known, and cut what goes beyond `length_s` by a coder's padding at most."""
    held: list[_Block] = []
    count, total_s = 0, Fraction(0)
    for block in blocks:
        held.append(block)
        count += len(block.samples)
        total_s += Fraction(len(block.samples), block.rate)
        while count - len(held[0].samples) >= _PADDING_SAMPLES:
            count -= len(held[0].samples)
            yield held.pop(0)
    end_s = length_s()
    excess = round((total_s - end_s) * held[-1].rate) if held and end_s else 0
    if not 0 < excess <= _PADDING_SAMPLES:
        excess = 0
    for block in reversed(list(held)):
        if not excess:
            break
        held.pop()
        kept = max(0, len(block.samples) - excess)
        excess -= len(block.samples) - kept
        if kept:
            held.append(_Block(block.samples[:kept], block.rate, block.strange))
    yield from held


def _reason(error: av.error.FFmpegError) -> str:
    if error.errno == errno.EINVAL:
        return "nothing in it is audio of a format that we take"
    return error.strerror or str(error)


def _truncated(why: str) -> PermanentError:
    return PermanentError(ErrorCode.TRUNCATED_AUDIO, f"The file is truncated or damaged: {why}")

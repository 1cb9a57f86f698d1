"""Probes a download and decodes it to a 44.1 kHz stereo float WAV, in constant memory.

Runs in a limited process of its own, see `prepare`: the bytes are a stranger's.
"""

import errno
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import InputContainer

from common.errors import ErrorCode, PermanentError
from processor import downmix
from processor.declared_length import declared_s
from processor.wav import SAMPLE_RATE, WavWriter, frame_bytes

# Playlists and manifests (concat, HLS, DASH, SDP) are not in it, and nothing may open a second file.
_FORMATS = "wav,flac,mp3,ogg,mov,matroska,aac,aiff"
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
# AAC files count the decoder's delay as length, some without saying so: at most two HE-AAC frames.
_AAC_DELAY_SAMPLES = 4096


@dataclass(frozen=True)
class Decoded:
    """`frames` of 44.1 kHz; `peak` is the largest absolute sample."""

    frames: int
    peak: float
    codec: str
    container: str
    source_rate: int
    source_channels: int


def decode(source: Path, target: Path, max_duration_s: float, max_channels: int) -> Decoded:
    """Raises PermanentError (see `prepare`), OSError and MemoryError."""
    if source.stat().st_size == 0:
        raise PermanentError(ErrorCode.EMPTY_FILE, "The file is empty")
    try:
        # "file:" keeps a name with a colon from being taken for a protocol.
        with av.open(f"file:{source}", options=_OPTIONS, metadata_errors="ignore") as container:
            return _decode(container, source, target, max_duration_s, max_channels)
    except av.error.InvalidDataError:
        if _is_mp4(source):  # its index comes last where a program wrote it in one go
            raise PermanentError(
                ErrorCode.TRUNCATED_AUDIO, "The file is truncated or damaged: its index is missing"
            ) from None
        raise _not_audio("its format is none of " + _FORMATS) from None
    except av.error.FFmpegError as error:
        if isinstance(error, MemoryError):
            raise MemoryError(str(error)) from None
        raise _not_audio(error.strerror or str(error)) from None


def _decode(
    container: InputContainer, source: Path, target: Path, max_duration_s: float, max_channels: int
) -> Decoded:
    stream = _audio_stream(container)
    codec = stream.codec_context
    channels = codec.channels
    _check_shape(channels, codec.sample_rate, max_channels)
    declared = declared_s(container, stream, source)
    if declared is not None and declared > max_duration_s:
        raise _too_long(max_duration_s)
    _require_space(target.parent, declared or 0.0)

    peak, max_frames = 0.0, int(max_duration_s * SAMPLE_RATE)
    packets = _Packets(container, stream)
    with WavWriter(target, "float32") as writer:
        for block in _stereo(packets.frames(), max_channels):
            np.nan_to_num(block, copy=False, nan=0.0, posinf=0.0, neginf=0.0)
            if writer.written + len(block) > max_frames + SAMPLE_RATE * _TOLERANCE_S:
                raise _too_long(max_duration_s)
            if len(block):
                peak = max(peak, float(np.abs(block).max()))
            writer.write(block)
        frames = writer.written
    _check_length(frames, declared, packets, stream)
    return Decoded(frames, peak, codec.name, container.format.name, codec.sample_rate, channels)


def _audio_stream(container: InputContainer) -> AudioStream:
    stream = container.streams.best("audio")
    if stream is None:
        if container.streams.audio:
            raise _not_audio("its audio stream does not say what it holds")
        raise PermanentError(ErrorCode.NO_AUDIO_STREAM, "The file has no audio stream")
    if stream.codec_context is None or stream.codec_context.name not in _DECODERS:
        raise _not_audio("its codec is none that songs have")
    return stream


def _check_shape(channels: int, rate: int, max_channels: int) -> None:
    if channels > max_channels:
        raise PermanentError(
            ErrorCode.TOO_MANY_CHANNELS,
            f"The file has {channels} channels, at most {max_channels} are allowed",
        )
    if rate not in _RATES:
        raise _not_audio(f"its sample rate is {rate} Hz")


def _require_space(directory: Path, duration_s: float) -> None:
    needed, free = int(duration_s * SAMPLE_RATE) * frame_bytes("float32"), shutil.disk_usage(directory).free
    if free < needed:
        raise OSError(errno.ENOSPC, f"decoding needs {needed} bytes, {free} are free")


class _Packets:
    """The stream's frames, past packets that cannot be decoded, which `bad` counts, and `good` the others."""

    def __init__(self, container: InputContainer, stream: AudioStream):
        self._container, self._stream = container, stream
        self.good = self.bad = 0

    def frames(self) -> Iterator[AudioFrame]:
        for packet in self._container.demux(self._stream):
            try:
                frames = packet.decode()
            except (av.error.InvalidDataError, av.error.EOFError):
                self.bad += 1
            else:
                self.good += 1
                yield from frames


def _stereo(frames: Iterator[AudioFrame], max_channels: int) -> Iterator[np.ndarray]:
    """float32 [frame, 2] at 44.1 kHz. A stream may change rate and layout on its way."""
    resampler, weights, shape = None, None, None
    for frame in frames:
        _check_shape(frame.layout.nb_channels, frame.sample_rate, max_channels)
        if shape != (frame.format.name, frame.layout.name, frame.sample_rate):
            if resampler:
                yield from _mixed(resampler.resample(None), weights)
            shape = (frame.format.name, frame.layout.name, frame.sample_rate)
            # Packed, because PyAV loses count of the planes of eight channels or more and crashes.
            resampler = av.AudioResampler("flt", frame.layout, SAMPLE_RATE, frame_size=_BLOCK_FRAMES)
            weights = downmix.matrix([channel.name for channel in frame.layout.channels])
        frame.pts = None  # gaps and jumps of a damaged file are not to be filled
        yield from _mixed(resampler.resample(frame), weights)
    if resampler:
        yield from _mixed(resampler.resample(None), weights)


def _mixed(frames: list[AudioFrame], weights: np.ndarray) -> Iterator[np.ndarray]:
    for frame in frames:
        yield frame.to_ndarray().reshape(-1, weights.shape[1]) @ weights.T


def _check_length(frames: int, declared: float | None, packets: _Packets, stream: AudioStream) -> None:
    if frames == 0 and packets.bad:
        raise _not_audio("nothing in it can be decoded")
    tolerance_s = _TOLERANCE_S
    if stream.codec_context.name.startswith("aac"):
        tolerance_s += _AAC_DELAY_SAMPLES / stream.codec_context.sample_rate
    decoded = frames / SAMPLE_RATE
    if declared is not None and decoded < declared - tolerance_s:
        raise PermanentError(
            ErrorCode.TRUNCATED_AUDIO,
            f"The file is truncated or damaged: {decoded:.2f} s of {declared:.2f} s can be decoded",
        )
    if frames == 0:
        raise PermanentError(ErrorCode.EMPTY_FILE, "The file holds no audio samples")
    if packets.bad > packets.good:  # some noise looks like a frame of MP3 here and there
        raise _not_audio("most of it cannot be decoded")


def _is_mp4(source: Path) -> bool:
    with source.open("rb") as file:
        return file.read(8)[4:] == b"ftyp"


def _not_audio(why: str) -> PermanentError:
    return PermanentError(ErrorCode.NOT_AUDIO, f"The file is not audio that we can read: {why}")


def _too_long(max_duration_s: float) -> PermanentError:
    return PermanentError(ErrorCode.TOO_LONG, f"The audio is longer than {max_duration_s:g} s")

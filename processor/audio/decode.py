"""Decodes a downloaded file to a 44.1 kHz stereo float32 WAV file, in constant memory.

Runs in a limited process of its own (see `prepare`), because the file comes from a stranger.
"""

import errno
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import takewhile
from pathlib import Path

import av
from av.audio.stream import AudioStream
from av.container import InputContainer

from common.errors import ErrorCode, PermanentError
from processor.audio import audio_stream, seeking, stereo
from processor.audio.containers import declared_length, song_parts
from processor.audio.containers.audio_kind import not_audio
from processor.audio.containers.byte_view import ByteView, Range
from processor.audio.containers.missing_bytes import missing_bytes
from processor.audio.containers.song_parts import SongPart
from processor.audio.seeking import Unseekable
from processor.audio.song_files import SongFiles
from processor.audio.wav import SAMPLE_RATE, frame_bytes
from processor.audio.window import WHOLE_SONG, Window

_TOLERANCE_S = 0.05
# Some encoders count their own delay as part of the length: at most two frames of HE-AAC.
_LOST_SAMPLES = 4096


@dataclass(frozen=True)
class Decoded:
    """A decoded song: `frames` at 44.1 kHz; `peak` is the largest absolute sample, 1.0 being full scale.

    `source_rate` in Hz, `codec`, `container` and `source_channels` describe the song's first part. The file
    at the song's own rate, where one was asked for, has `own_frames` at `own_rate` in Hz.
    """

    frames: int
    peak: float
    codec: str
    container: str
    source_rate: int
    source_channels: int
    own_rate: int
    own_frames: int


@dataclass(frozen=True)
class _Limits:
    max_duration_s: float
    max_channels: int


def decode(
    source: Path,
    target: Path,
    max_duration_s: float,
    max_channels: int,
    window: Window = WHOLE_SONG,
    own: Path | None = None,
) -> Decoded:
    """Decode the window of `source` to `target`, a 44.1 kHz stereo float32 WAV file.

    With `own`, write the same there at the song's own rate. Raises PermanentError (see `prepare`), OSError
    and MemoryError.
    """
    size = source.stat().st_size
    if size == 0:
        raise PermanentError(ErrorCode.EMPTY_FILE, "The file is empty")
    limits = _Limits(max_duration_s, max_channels)
    with source.open("rb") as file:
        parts = song_parts.of(ByteView(file, [Range(0, size)]))
        with SongFiles(target, own, max_duration_s) as files:
            song = _Song(files, limits, target.parent, window, own is not None)
            for part in takewhile(lambda part: not song.is_over, parts):
                song.add(part)
            return song.finished()


class _Song:
    """Decodes the parts of a song one after the other, and checks that the result is a whole song."""

    def __init__(self, files: SongFiles, limits: _Limits, directory: Path, window: Window, with_own: bool):
        self._files, self._limits, self._directory = files, limits, directory
        self._window, self._with_own = window, with_own
        self._first: tuple[str, str, int, int] | None = None
        self._found_s = self._declared_s = Fraction(0)
        self._good = self._bad = self._missing_bytes = 0
        self.is_over = False
        self._samples = self._strange_samples = 0

    def add(self, part: SongPart) -> None:
        """Decode one more part. Raises PermanentError, OSError and MemoryError."""
        is_first = self._first is None
        try:
            self._open(part)
        except av.error.InvalidDataError:
            if part.demuxer == "mov":  # a program that writes in one go puts the index at the end
                message = "The file is truncated or damaged: its index is missing"
                raise PermanentError(ErrorCode.TRUNCATED_AUDIO, message) from None
            if not is_first:  # junk after a song
                self._bad += 1
            elif self._first is not None:
                raise not_audio("it is damaged, and cannot be read to its end") from None
            else:
                raise not_audio("nothing in it is audio of a format that we take") from None
        except av.error.FFmpegError as error:
            if isinstance(error, MemoryError):
                raise MemoryError(str(error)) from None
            raise not_audio(_reason(error)) from None

    def finished(self) -> Decoded:
        """Return the decoded song. Raises PermanentError where it is empty, truncated or no music."""
        files = self._files
        self._check_length(files.frames)
        return Decoded(files.frames, files.peak, *self._source(), files.own_rate, files.own_frames)

    def _source(self) -> tuple[str, str, int, int]:
        """Return codec, container, rate and channels of the first part, which `add` has set."""
        assert self._first is not None, "a song has at least one part"
        return self._first

    def _open(self, part: SongPart) -> None:
        missing_bytes_before = self._missing_bytes
        try:
            with audio_stream.opened(part.view, part.demuxer) as container:
                self._add(part, container, may_seek=True)
        except Unseekable:
            self._missing_bytes = missing_bytes_before
            with audio_stream.opened(part.view, part.demuxer) as container:
                self._add(part, container, may_seek=False)

    def _add(self, part: SongPart, container: InputContainer, may_seek: bool) -> None:
        stream = audio_stream.choose(container, part.view)
        codec = stream.codec_context
        channels, rate = codec.channels, codec.sample_rate
        stereo.check_shape(channels, rate, self._limits.max_channels)
        declared = self._declare(part, container, stream)
        if self._first is None:
            self._first = (codec.name, container.format.name, rate, channels)
        packets = audio_stream.Packets(container, stream)
        at_s, frames = Fraction(0), packets.frames()
        start_s = Fraction(self._window.start_s) - self._found_s
        if may_seek and seeking.is_worth_it(container, stream, declared, start_s):
            at_s, frames = seeking.frames_before(container, stream, packets, start_s)
        blocks = stereo.stereo(frames, self._limits.max_channels)
        is_mp4 = container.format.name.startswith("mov")
        if is_mp4 or (container.format.name == "mp3" and declared):
            rest = declared - at_s if declared else None
            blocks = stereo.without_padding(blocks, lambda found_s: rest or found_s - packets.padding_s)
        found_before_s = self._found_s
        self._found_s += at_s
        self._write(blocks)
        if part.wav is not None and not part.wav.header:
            declared = declared_length.wav_s(part.wav, self._found_s)
        if container.format.name == "flac" and declared and packets.are_gapless:
            found_s = self._found_s - found_before_s
            declared = declared_length.flac_s(declared, found_s, packets.first_bytes, packets.last_bytes)
        self._declared_s += declared or 0
        self._good += packets.good
        self._bad += packets.bad

    def _declare(self, part: SongPart, container: InputContainer, stream: AudioStream) -> Fraction | None:
        """Return the part's exact length in seconds, None where it is unknown.

        Raises PermanentError (too_long) and OSError (disk full) before anything is decoded.
        """
        if part.wav is not None:
            declared = declared_length.wav_s(part.wav, Fraction(0))
        else:
            declared = declared_length.declared_s(container, stream, part.view)
            self._missing_bytes += missing_bytes(container.format.name, part.view)
        longest = max(declared or 0, declared_length.span_s(container, stream) or 0)
        if self._window.length_s(self._declared_s + longest) > self._limits.max_duration_s + _TOLERANCE_S:
            raise self._files.too_long()
        rates = SAMPLE_RATE + (stream.codec_context.sample_rate if self._with_own else 0)
        _require_space(self._directory, min(longest, self._window.length_s(self._found_s + longest)), rates)
        return declared

    def _write(self, blocks: Iterator[stereo.Block]) -> None:
        for block in blocks:
            inside = self._window.cut(block, self._found_s)
            self._found_s += Fraction(len(block.samples), block.rate)
            if len(inside.samples):
                self._samples += len(inside.samples)
                self._strange_samples += inside.strange
                self._files.write(inside)
            if self._window.is_over(self._found_s, block.rate):
                self.is_over = True
                break
        self._files.end_part()

    def _check_length(self, frames: int) -> None:
        if not self._found_s and self._bad:
            raise not_audio("nothing in it can be decoded")
        if not self.is_over:  # what lies behind the window may be missing
            self._check_end()
        if not self._found_s or (not frames and self._window.is_whole):
            sound = "sound of less than one sample at 44.1 kHz" if self._found_s else "no audio samples"
            raise PermanentError(ErrorCode.EMPTY_FILE, f"The file holds {sound}")
        if not frames:
            raise PermanentError(ErrorCode.WINDOW_EMPTY, f"Nothing of the song is left: {self._why_empty()}")
        # Random bytes look like MP3 frames now and then. Junk after a declared length is harmless.
        if self._bad > self._good and not self._declared_s:
            raise not_audio("most of it cannot be decoded")
        if 2 * self._strange_samples > self._samples:
            raise not_audio("most of its samples are NaN or infinite")

    def _why_empty(self) -> str:
        if self.is_over:
            least = f"one sample at {min(self._source()[2], SAMPLE_RATE) / 1000:g} kHz"
            return f"duration_s is {self._window.duration_s:g}, which is shorter than {least}"
        return f"it lasts {float(self._found_s):.2f} s, and start_s is {self._window.start_s:g}"

    def _check_end(self) -> None:
        """Check that the song was decoded to its end. Raises PermanentError (truncated_audio)."""
        found, declared = float(self._found_s), float(self._declared_s)
        if self._declared_s and found < declared - self._tolerance_s():
            raise _truncated(f"{found:.2f} s of {declared:.2f} s can be decoded")
        if self._missing_bytes:
            raise _truncated(f"{self._missing_bytes} bytes of its declared size are missing")

    def _tolerance_s(self) -> float:
        codec, _, rate, _ = self._source()
        return _TOLERANCE_S + (_LOST_SAMPLES / rate if codec.startswith(("aac", "mp3")) else 0)


def _require_space(directory: Path, duration_s: Fraction | int, frames_per_s: int) -> None:
    needed, free = int(duration_s * frames_per_s) * frame_bytes("float32"), shutil.disk_usage(directory).free
    if free < needed:
        raise OSError(errno.ENOSPC, f"decoding needs {needed} bytes, {free} are free")


def _reason(error: av.error.FFmpegError) -> str:
    if error.errno == errno.EINVAL:
        return "nothing in it is audio of a format that we take"
    return error.strerror or str(error)


def _truncated(why: str) -> PermanentError:
    return PermanentError(ErrorCode.TRUNCATED_AUDIO, f"The file is truncated or damaged: {why}")

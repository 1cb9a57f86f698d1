"""Writes a stem as Ogg Vorbis.

The codec is Vorbis, which has every sample rate from 8 to 192 kHz. Opus has 48 kHz alone: a song of 44.1 kHz
could not keep its samples. PyAV's FFmpeg has no good encoder for Vorbis; libsndfile brings libvorbis.
"""

import io
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

import av
import numpy as np
import soundfile
from av.audio.stream import AudioStream
from av.packet import Packet

from processor.audio.resample import Frames
from processor.audio.wav import CHANNELS
from processor.output import file_tags
from processor.output.writing_job import WritingJob

# libvorbis's quality, 0 to 1, that gives about this bit rate in kbit/s at 44.1 kHz. The quality is the same
# at other rates, where the bit rate follows.
_QUALITIES = {96: 0.2, 128: 0.4, 160: 0.5, 192: 0.6, 224: 0.7, 256: 0.8, 320: 0.9}
# FFmpeg plays a song that fits into one page to the end of its last block. So a page is one block, or lasts
# 100 ms in long songs; the unit is µs.
_SHORT_S = 2
_SHORT_PAGES, _LONG_PAGES = {"page_duration": "1"}, {"page_duration": "100000"}


class VorbisFile:
    """An Ogg Vorbis file under construction, with the song's tags and cover."""

    def __init__(self, job: WritingJob, name: str):
        """Create the file. Raises OSError."""
        assert job.bitrate_kbps is not None, "a lossy format has a bit rate"
        self._path = job.part(name)
        self._tags, self._cover = job.tags_of(name), job.cover
        self._frames, self._is_short = job.frames, job.frames < _SHORT_S * job.rate
        with ExitStack() as stack:
            self._disk = stack.enter_context(_Disk(self._path, "w+b"))
            self._file = stack.enter_context(
                soundfile.SoundFile(
                    self._disk,
                    "w",
                    samplerate=job.rate,
                    channels=CHANNELS,
                    format="OGG",
                    subtype="VORBIS",
                    compression_level=1 - _QUALITIES[job.bitrate_kbps],
                )
            )
            self._open = stack.pop_all()

    def write(self, samples: Frames, gain: float) -> None:
        """Write the next samples × `gain`, clipped to -1 to 1. Raises OSError."""
        try:
            self._file.write(np.clip(samples * np.float32(gain), -1, 1))
        except (soundfile.SoundFileError, AssertionError) as error:
            self._disk.check()
            raise OSError(f"libsndfile cannot write Vorbis: {error}") from None
        self._disk.check()

    def __enter__(self) -> "VorbisFile":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()
        if error is None:
            self._disk.check()
            if self._tags or self._cover or self._is_short:
                self._copy()

    def _copy(self) -> None:
        """Put a copy of the sound in the file's place, with tags and in shorter pages. Raises OSError."""
        options = _SHORT_PAGES if self._is_short else _LONG_PAGES
        copy = self._path.with_suffix(".copy.part")
        try:
            with ExitStack() as stack:
                given = stack.enter_context(av.open(str(self._path), format="ogg"))
                file = stack.enter_context(copy.open("wb"))
                made = stack.enter_context(av.open(file, "w", format="ogg", container_options=options))
                stream = made.add_stream_from_template(given.streams.audio[0])
                file_tags.write(made, self._tags, self._cover)
                sound = given.streams.audio[0]
                sizes = _block_sizes(sound.codec_context.extradata or b"")
                for packet in _timed(given.demux(sound), sizes, self._frames):
                    packet.stream = stream
                    made.mux(packet)
            copy.rename(self._path)
        finally:
            copy.unlink(missing_ok=True)


def _block_sizes(headers: bytes) -> tuple[int, int]:
    """Return the samples of a short and of a long block, by the identification header.

    The header is described in section 4.2.2 of the Vorbis I specification.
    """
    powers = headers[headers.index(b"\x01vorbis") + 28]
    return 1 << (powers & 15), 1 << (powers >> 4)


def _timed(
    packets: "Iterator[Packet[AudioStream]]", sizes: tuple[int, int], frames: int
) -> "Iterator[Packet[AudioStream]]":
    """Yield the packets of a song of `frames` with their true times.

    FFmpeg's own times are wrong where all packets are in one page, or a short block follows a long one. By
    section 4.3.8 of the specification, a packet gives a quarter of its block and of the block before. The
    first packet gives no sound, so it lies before the song.
    """
    position, before = 0, None
    for packet in packets:
        if not packet.size:  # the end of the file
            continue
        # libvorbis's mode 0 has short blocks and mode 1 long ones. The second bit tells the mode.
        block = sizes[bytes(packet)[0] >> 1 & 1]
        if before is None:
            position = -block // 2
        duration = ((before or block) + block) // 4
        before = block
        left = frames - position
        if left > 0:
            packet.pts = packet.dts = position
            packet.duration = min(duration, left)
            position += packet.duration
            yield packet


class _Disk(io.FileIO):
    """A file that remembers why it could not be written, which libsndfile does not tell."""

    def __init__(self, path: Path, mode: str):
        super().__init__(path, mode)
        self._error: OSError | None = None

    def write(self, data: object) -> int:
        """Write all of `data`; return how many bytes were written."""
        view, done = memoryview(data), 0  # type: ignore[arg-type]
        try:
            while done < len(view):
                done += super().write(view[done:])
        except OSError as error:
            self._error = error
        return done

    def check(self) -> None:
        """Raise the OSError of an earlier write."""
        if self._error:
            raise self._error

"""Writes a stem as FLAC, MP3 or AAC by FFmpeg, with exactly its frames when it is decoded again.

FFmpeg gives an MP3 file a LAME tag, and an M4A file an edit list. Both name the samples that the encoder put
before the song; the LAME tag also names those after the song. Many players ignore the end of an edit list,
and play AAC's last frame to its end. So silence is put before the song, which edit lists hide everywhere,
and the song ends with a frame.
"""

from contextlib import ExitStack, suppress
from types import TracebackType
from typing import cast

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream

from processor.audio.resample import Frames
from processor.audio.wav import CHANNELS
from processor.output import file_tags
from processor.output.quantise import to_integers
from processor.output.writing_job import WritingJob

# `mp4` takes pictures, which FFmpeg's `ipod` does not; the brand makes it the same file.
_CONTAINERS = {"flac": "flac", "mp3": "mp3", "m4a": "mp4"}
_ENCODERS = {"flac": "flac", "mp3": "libmp3lame", "m4a": "aac"}
_AAC_FRAME = 1024
# LAME makes sound of these bit rates, in kbit/s, quieter by these factors. Stems would not add up any more.
_LAME_FACTORS = {64: 0.95, 96: 0.95, 128: 0.95, 160: 0.95, 192: 0.97, 224: 0.98}


class FfmpegFile:
    """A FLAC, MP3 or M4A file under construction, with the song's tags and cover."""

    def __init__(self, job: WritingJob, name: str):
        """Create the file. Raises OSError."""
        self._rate, self._depth, self._is_mp3 = job.rate, job.bit_depth, job.format == "mp3"
        lame = _LAME_FACTORS.get(job.bitrate_kbps or 0, 1.0) if job.format == "mp3" else 1.0
        self._factor = np.float32(1 / lame)
        silence = _leading_silence(job.frames) if job.format == "m4a" else 0
        self._position = -silence
        with ExitStack() as stack:
            # A file of Python's raises what the disk says; FFmpeg's own would lose the reason.
            file = stack.enter_context(job.part(name).open("wb"))
            container = av.open(file, "w", format=_CONTAINERS[job.format], container_options=_options(job))
            self._container = stack.enter_context(container)
            encoder = container.add_stream(_ENCODERS[job.format], rate=job.rate, layout="stereo")
            self._stream = cast(AudioStream, encoder)
            self._stream.format = av.AudioFormat(self._sample_format)
            if job.bitrate_kbps:
                self._stream.bit_rate = job.bitrate_kbps * 1000
            file_tags.write(container, job.tags_of(name), job.cover)
            self._open = stack.pop_all()
        self.write(np.zeros((silence, CHANNELS), np.float32), 1.0)

    @property
    def _sample_format(self) -> str:
        return {16: "s16", 24: "s32"}[self._depth] if self._depth else "fltp"

    def write(self, samples: Frames, gain: float) -> None:
        """Write the next samples × `gain`, clipped to -1 to 1. Raises OSError."""
        if not len(samples):
            return
        if not self._depth:
            clipped = np.clip(samples * np.float32(gain), -1, 1)
            planes = np.ascontiguousarray(clipped.T * self._factor)
        elif self._depth == 16:
            planes = to_integers(samples, gain, 16).astype(np.int16).reshape(1, -1)
        else:  # the upper 24 of 32 bits
            planes = (to_integers(samples, gain, 24) << 8).reshape(1, -1)
        frame = AudioFrame.from_ndarray(planes, format=self._sample_format, layout="stereo")
        frame.sample_rate, frame.pts = self._rate, self._position
        self._position += len(samples)
        self._container.mux(self._stream.encode(frame))

    def __enter__(self) -> "FfmpegFile":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            with suppress(OSError):  # the file is removed, whatever its end says
                self._open.close()
            return
        with self._open:
            rest = self._stream.encode(None)
            if self._is_mp3:
                # LAME may end with a frame that holds nothing of the song. The LAME tag would count that
                # frame as the only padding, and forget the padding in the frame before.
                rest = [packet for packet in rest if packet.duration]
            self._container.mux(rest)


def _options(job: WritingJob) -> dict[str, str]:
    if job.format == "m4a":
        # Edit lists count in this unit. FFmpeg's default, milliseconds, would round the song's length.
        return {"movie_timescale": str(job.rate), "brand": "M4A "}
    return {"id3v2_version": "3"} if job.format == "mp3" else {}  # Windows and cars read no newer one


def _leading_silence(frames: int) -> int:
    """Return how many silent samples make the song end with a frame of AAC.

    FFmpeg plays nothing of a song that begins in the second half of the last frame. So a song of half a frame
    or less begins with a frame, and many players play the silence behind it.
    """
    return -frames % _AAC_FRAME if frames > _AAC_FRAME // 2 else 0

"""Opens the file of one stem in any of the formats."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol

from processor.audio.resample import Frames
from processor.output.ffmpeg_file import FfmpegFile
from processor.output.vorbis_file import VorbisFile
from processor.output.wav_file import WavFile
from processor.output.writing_job import WritingJob


class StemFile(Protocol):
    """A stem under construction."""

    def write(self, samples: Frames, gain: float) -> None:
        """Write the next samples × `gain`, float32 [frame, 2]. Raises OSError."""


_KINDS: dict[str, Callable[[WritingJob, str], AbstractContextManager[StemFile]]] = {
    "wav": WavFile,
    "flac": FfmpegFile,
    "mp3": FfmpegFile,
    "m4a": FfmpegFile,
    "ogg": VorbisFile,
}


def create(job: WritingJob, name: str) -> AbstractContextManager[StemFile]:
    """Create the file of the stem `name` under its temporary name; leaving the context completes it.

    Raises OSError.
    """
    return _KINDS[job.format](job, name)

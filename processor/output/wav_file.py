"""Writes a stem as WAV of 16 or 24 bits, or of 32-bit floats."""

from types import TracebackType

from processor.audio.resample import Frames
from processor.audio.wav import Kind, WavWriter
from processor.output.quantise import to_integers
from processor.output.writing_job import WritingJob

_KINDS: dict[int, Kind] = {16: "int16", 24: "int24", 32: "float32"}


class WavFile:
    """A WAV file under construction. It holds the tags that INFO has names for, and no cover."""

    def __init__(self, job: WritingJob, name: str):
        """Create the file. Raises OSError."""
        assert job.bit_depth is not None, "WAV files have a depth"
        self._depth = job.bit_depth
        path, kind = job.part(name), _KINDS[self._depth]
        self._file = WavWriter(path, kind, job.frames, job.rate, job.tags_of(name))

    def write(self, samples: Frames, gain: float) -> None:
        """Write the next samples; floats are neither scaled nor clipped. Raises OSError."""
        self._file.write(samples if self._depth == 32 else to_integers(samples, gain, self._depth))

    def __enter__(self) -> "WavFile":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

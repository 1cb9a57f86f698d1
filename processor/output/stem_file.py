"""Opens the file of one stem in any of the formats."""

from types import TracebackType
from typing import Protocol

import numpy as np
import numpy.typing as npt

from processor.audio.resample import Frames
from processor.audio.wav import Kind, WavWriter
from processor.output.writing_job import WritingJob

_WAV_KINDS: dict[int, Kind] = {16: "int16", 24: "int24", 32: "float32"}


class StemFile(Protocol):
    """A stem under construction; leaving its context completes the file."""

    def write(self, samples: Frames, gain: float) -> None:
        """Write the next samples × `gain`, float32 [frame, 2]. Raises OSError."""

    def __enter__(self) -> "StemFile": ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def create(job: WritingJob, name: str) -> StemFile:
    """Create the file of the stem `name` under its temporary name. Raises OSError."""
    if job.format == "wav":
        return _Wav(job, name)
    raise NotImplementedError(job.format)


def quantised(samples: Frames, gain: float, bits: int) -> npt.NDArray[np.int32]:
    """Return samples × `gain` as integers of `bits` bits; those outside of -1 to 1 are clipped."""
    full = 1 << bits - 1
    # 24 bits are all that float32 has. A product in float64 keeps the sum of stems within 1 LSB.
    exact = samples.astype(np.float64) if bits > 16 else samples
    scaled = np.rint(exact * exact.dtype.type(gain) * full)
    return np.clip(scaled, -full, full - 1).astype(np.int32)


class _Wav:
    def __init__(self, job: WritingJob, name: str):
        assert job.bit_depth is not None, "WAV files have a depth"
        self._depth = job.bit_depth
        self._file = WavWriter(job.part(name), _WAV_KINDS[self._depth], job.frames, job.rate, job.tags)

    def write(self, samples: Frames, gain: float) -> None:
        if self._depth == 32:
            self._file.write(samples)
        else:
            self._file.write(quantised(samples, gain, self._depth))

    def __enter__(self) -> StemFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

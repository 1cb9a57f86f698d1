"""Writes stems as 16-bit WAV, 16-bit FLAC or MP3 at 320 kbit/s."""

import errno
import os
import shutil
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import soundfile

from processor.audio.wav import CHANNELS, SAMPLE_RATE, WavWriter

FULL_SCALE = 32768
# The largest sample that 16 bits can hold.
MAX_LEVEL = (FULL_SCALE - 1) / FULL_SCALE
_HEADER_BYTES = 64 * 1024

Format = Literal["wav", "flac", "mp3"]
FORMATS: tuple[Format, ...] = ("wav", "flac", "mp3")
_ENCODERS: dict[str, dict[str, Any]] = {
    "flac": {"format": "FLAC", "subtype": "PCM_16"},
    "mp3": {
        "format": "MP3",
        "subtype": "MPEG_LAYER_III",
        "bitrate_mode": "CONSTANT",
        "compression_level": 0.0,  # the least compression: 320 kbit/s
    },
}


def max_stem_bytes(frames: int) -> int:
    """Return an upper bound in bytes for one stem of `frames`, in any format."""
    return frames * CHANNELS * 2 + _HEADER_BYTES


class StemWriter:
    """Writes float32 samples [frame, channel] between -1 and 1; WAV and FLAC round them to 16 bits.

    Samples outside of that range are clipped.
    """

    def __init__(self, path: Path, format: Format, frames: int):
        """Create the file for `frames` frames. Raises OSError."""
        self._is_lossy = format == "mp3"
        self._file: WavWriter | _Encoder = (
            WavWriter(path, "int16", frames) if format == "wav" else _Encoder(path, format)
        )

    def write(self, samples: npt.NDArray[np.float32]) -> None:
        """Write the next samples. Raises OSError."""
        if self._is_lossy:
            # Pass floats for MP3: libsndfile 1.2 encodes 16-bit stereo as noise.
            self._file.write(np.clip(samples, -1, 1))
            return
        # Round here: libsndfile scales floats by 32767 when it writes and by 32768 when it reads.
        scaled = np.rint(samples * FULL_SCALE)
        self._file.write(np.clip(scaled, -FULL_SCALE, FULL_SCALE - 1).astype(np.int16))

    def __enter__(self) -> "StemWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()


class _Encoder:
    def __init__(self, path: Path, format: Literal["flac", "mp3"]):
        self._path = path
        self._file = soundfile.SoundFile(
            path, "w", samplerate=SAMPLE_RATE, channels=CHANNELS, **_ENCODERS[format]
        )

    def write(self, samples: npt.NDArray[np.float32] | npt.NDArray[np.int16]) -> None:
        try:
            self._file.write(samples)
        except (soundfile.SoundFileError, AssertionError) as error:
            raise self._os_error() from error

    def close(self) -> None:
        self._file.close()

    def _os_error(self) -> OSError:
        # libsndfile does not tell why a write failed.
        full = shutil.disk_usage(self._path.parent).free < _HEADER_BYTES
        code = errno.ENOSPC if full else errno.EIO
        return OSError(code, os.strerror(code), str(self._path))

"""Writing stems: 16-bit WAV, 16-bit FLAC, or MP3 at 320 kbit/s."""

import errno
import os
import shutil
from pathlib import Path
from types import TracebackType
from typing import Literal

import numpy as np
import soundfile

from processor.audio.wav import CHANNELS, SAMPLE_RATE, WavWriter

FULL_SCALE = 32768
# The largest sample that 16 bit can hold.
MAX_LEVEL = (FULL_SCALE - 1) / FULL_SCALE
_HEADER_BYTES = 64 * 1024

Format = Literal["wav", "flac", "mp3"]
_ENCODERS = {
    "flac": {"format": "FLAC", "subtype": "PCM_16"},
    "mp3": {
        "format": "MP3",
        "subtype": "MPEG_LAYER_III",
        "bitrate_mode": "CONSTANT",
        "compression_level": 0.0,  # the least there is: 320 kbit/s
    },
}


def max_stem_bytes(frames: int) -> int:
    """An upper bound for one stem in any format."""
    return frames * CHANNELS * 2 + _HEADER_BYTES


class StemWriter:
    """Takes float samples [frame, channel] in -1..1; WAV and FLAC hold them rounded to 16 bit."""

    def __init__(self, path: Path, format: Format, frames: int):
        """`frames` is how many there will be. Raises OSError."""
        self._is_lossy = format == "mp3"
        self._file = WavWriter(path, "int16", frames) if format == "wav" else _Encoder(path, format)

    def write(self, samples: np.ndarray) -> None:
        """Raises OSError."""
        if self._is_lossy:
            # As floats: libsndfile 1.2 makes noise of 16-bit stereo that it is to write as MP3.
            self._file.write(np.clip(samples, -1, 1))
            return
        # Rounded here because libsndfile scales floats by 32767 on the way out and by 32768 on the way in.
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

    def write(self, samples: np.ndarray) -> None:
        try:
            self._file.write(samples)
        except (soundfile.SoundFileError, AssertionError) as error:
            raise self._os_error() from error

    def close(self) -> None:
        self._file.close()

    def _os_error(self) -> OSError:
        # libsndfile says that a write failed, not why.
        full = shutil.disk_usage(self._path.parent).free < _HEADER_BYTES
        code = errno.ENOSPC if full else errno.EIO
        return OSError(code, os.strerror(code), str(self._path))

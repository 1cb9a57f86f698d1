"""Reads a float WAV file at another rate and with an exact number of frames, in constant memory."""

from pathlib import Path

import numpy as np
import soundfile

from processor.audio.resample import Frames, Resampler
from processor.audio.wav import CHANNELS

_BLOCK_FRAMES = 1 << 15


class RateReader:
    """Gives `frames` frames of a stereo file at `rate` in Hz.

    The file's 44.1 kHz round its length, so that a frame or a few are missing or too many at the end.
    Missing frames are silent.
    """

    def __init__(self, path: Path, rate: int, frames: int):
        """Open the file. Raises OSError and soundfile.LibsndfileError."""
        self._file = soundfile.SoundFile(path)
        self._resampler = Resampler(self._file.samplerate, rate)
        self._held: list[Frames] = []
        self._held_frames, self._left = 0, frames
        self._ended = False

    def read(self, count: int) -> Frames:
        """Return the next `count` frames, float32 [frame, 2]; fewer at the end."""
        count = min(count, self._left)
        while self._held_frames < count:
            self._pull(count)
        found = np.concatenate(self._held) if self._held else np.zeros((0, CHANNELS), np.float32)
        self._held, self._held_frames = [found[count:]], len(found) - count
        self._left -= count
        return found[:count]

    def _pull(self, count: int) -> None:
        if self._ended:
            more = np.zeros((count - self._held_frames, CHANNELS), np.float32)
        else:
            block = self._file.read(_BLOCK_FRAMES, dtype="float32", always_2d=True)
            self._ended = not len(block)
            more = self._resampler.finish() if self._ended else self._resampler.convert(block)
        self._held.append(more)
        self._held_frames += len(more)

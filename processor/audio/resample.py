"""Resamples stereo samples from any rate to another, block by block in constant memory."""

import numpy as np
import numpy.typing as npt
import soxr

from processor.audio.wav import CHANNELS, SAMPLE_RATE

Frames = npt.NDArray[np.float32]  # [frame, 2]


class Resampler:
    """Converts float32 [frame, 2] from `rate` to `to_rate`, both in Hz, by soxr's high quality.

    From 48 to 44.1 kHz, the pass band up to 20 kHz is flat within 0.01 dB and aliases are 120 dB down. The
    output is not delayed, and its length is the input's times `to_rate` / `rate`, rounded.
    """

    def __init__(self, rate: int, to_rate: int = SAMPLE_RATE):
        self.rate = rate
        self._stream = None
        if rate != to_rate:
            self._stream = soxr.ResampleStream(rate, to_rate, CHANNELS, dtype="float32", quality="HQ")

    def convert(self, block: Frames) -> Frames:
        """Return the samples that the input so far determines; the rest comes with later calls."""
        return self._stream.resample_chunk(np.ascontiguousarray(block)) if self._stream else block

    def finish(self) -> Frames:
        """Return the samples that are still held back."""
        nothing = np.zeros((0, CHANNELS), np.float32)
        return self._stream.resample_chunk(nothing, last=True) if self._stream else nothing

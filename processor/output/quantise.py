"""Rounds float samples to integers of 16 or 24 bits."""

import numpy as np
import numpy.typing as npt

from processor.audio.resample import Frames


def to_integers(samples: Frames, gain: float, bits: int) -> npt.NDArray[np.int32]:
    """Return samples × `gain` as integers of `bits` bits; those outside of -1 to 1 are clipped."""
    full = 1 << bits - 1
    # 24 bits are all that float32 has. A product in float64 keeps the sum of stems within 1 LSB.
    exact = samples.astype(np.float64) if bits > 16 else samples
    scaled = np.rint(exact * exact.dtype.type(gain) * full)
    return np.clip(scaled, -full, full - 1).astype(np.int32)

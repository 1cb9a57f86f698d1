"""Makes a mix in memory, in the form that loaded models take."""

import numpy as np

from processor.separation.overlap_add import Mix, Read


def as_mix(samples: np.ndarray) -> Mix:
    """`samples` is [frame, 2]."""

    def open_mix() -> Read:
        position = 0

        def read(count: int) -> np.ndarray:
            nonlocal position
            position += count
            return samples[position - count : position].T

        return read

    return Mix(len(samples), open_mix)

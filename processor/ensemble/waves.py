"""Combines samples, or bins of spectra, of several models.

The ways are those of audio-separator 0.44, `separator/ensembler.py` and `uvr_lib_v5/spec_utils.py`.
"""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[Any]


class Combine(Protocol):
    """Combines `values` of shape [model, …] into values without that axis."""

    def __call__(self, values: Values, weights: Sequence[float]) -> Values: ...


def average(values: Values, weights: Sequence[float]) -> Values:
    """Return the weighted mean over the first axis, in double precision."""
    factors = np.asarray(weights, np.float64)
    return np.asarray(np.tensordot(factors, values, axes=1) / factors.sum())


def median(values: Values, weights: Sequence[float]) -> Values:
    """Return the median over the first axis; of complex values, those of the real and imaginary parts."""
    if np.iscomplexobj(values):
        return np.asarray(median(values.real, weights) + 1j * median(values.imag, weights))
    if len(values) == 3:  # five times as fast as numpy's median, which sorts
        first, second, third = values
        low, high = np.minimum(first, second), np.maximum(first, second)
        return np.asarray(np.maximum(low, np.minimum(high, third)))
    return np.asarray(np.median(values, axis=0))


def least(values: Values, weights: Sequence[float]) -> Values:
    """Return the values of the smallest magnitude; the first of equal ones."""
    return _taken(values, np.argmin(np.abs(values), axis=0))


def greatest(values: Values, weights: Sequence[float]) -> Values:
    """Return the values of the largest magnitude; the first of equal ones."""
    return _taken(values, np.argmax(np.abs(values), axis=0))


def last_least(values: Values, weights: Sequence[float]) -> Values:
    """Return the values of the smallest magnitude; the last of equal ones."""
    return least(values[::-1], weights)


def last_greatest(values: Values, weights: Sequence[float]) -> Values:
    """Return the values of the largest magnitude; the last of equal ones."""
    return greatest(values[::-1], weights)


def _taken(values: Values, indices: npt.NDArray[np.intp]) -> Values:
    return np.asarray(np.take_along_axis(values, indices[None], axis=0)[0])

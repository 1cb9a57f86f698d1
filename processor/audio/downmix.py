"""Gives the weights that mix any channel layout down to stereo."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

_HALF_POWER = 0.5**0.5
_LEFT = {"FL": 1.0, "SL": _HALF_POWER, "BL": _HALF_POWER, "FLC": 1.0, "WL": 1.0, "TFL": _HALF_POWER}
_LEFT |= {"TBL": _HALF_POWER, "DL": 1.0, "SDL": _HALF_POWER, "TSL": _HALF_POWER}
_CENTRE = {"FC": _HALF_POWER, "BC": 0.5, "TC": 0.5, "TFC": 0.5, "TBC": 0.5}
_SILENT = {"LFE", "LFE2"}


def matrix(names: Sequence[str]) -> npt.NDArray[np.float32]:
    """Return the weights, float32 [2, channel], for channels as FFmpeg names them.

    The weights follow ITU-R BS.775: centre and surround at half power, no low-frequency effects. They are
    scaled so that no output exceeds the loudest input. A single channel goes to both sides at its own level.
    Where FFmpeg names an unknown channel, all channels go left and right in turn.
    """
    if len(names) == 1:
        return np.ones((2, 1), np.float32)
    weights = np.zeros((2, len(names)), np.float32)
    if all(_is_known(name) for name in names):
        for index, name in enumerate(names):
            weights[:, index] = _weights(name)
    if not weights.any(axis=1).all():
        weights[:] = 0
        weights[0, 0::2] = weights[1, 1::2] = 1.0
    loudest: np.float32 = weights.sum(axis=1).max()
    return weights / loudest


def _is_known(name: str) -> bool:
    return name in _LEFT or _mirrored(name) in _LEFT or name in _CENTRE or name in _SILENT


def _weights(name: str) -> tuple[float, float]:
    if name in _CENTRE:
        return _CENTRE[name], _CENTRE[name]
    return _LEFT.get(name, 0.0), _LEFT.get(_mirrored(name), 0.0)


def _mirrored(name: str) -> str:
    """Return the left channel's name for a right channel's, and "" for any other channel's."""
    head, found, tail = name.rpartition("R")
    return head + "L" + tail if found else ""

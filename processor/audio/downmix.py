"""Any channel layout to stereo."""

from collections.abc import Sequence

import numpy as np

_HALF_POWER = 0.5**0.5
_LEFT = {"FL": 1.0, "SL": _HALF_POWER, "BL": _HALF_POWER, "FLC": 1.0, "WL": 1.0, "TFL": _HALF_POWER}
_LEFT |= {"TBL": _HALF_POWER, "DL": 1.0, "SDL": _HALF_POWER, "TSL": _HALF_POWER}
_CENTRE = {"FC": _HALF_POWER, "BC": 0.5, "TC": 0.5, "TFC": 0.5, "TBC": 0.5}
_SILENT = {"LFE", "LFE2"}


def matrix(names: Sequence[str]) -> np.ndarray:
    """float32 [2, channel] for channels as FFmpeg names them.

    Coefficients after ITU-R BS.775 (centre and surround at half power, no low-frequency effects), scaled so
    that no output can exceed the loudest input. One channel goes to both sides at its own level. Channels
    without a known place go left and right in turn.
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
    return weights / weights.sum(axis=1).max()


def _is_known(name: str) -> bool:
    return name in _LEFT or _mirrored(name) in _LEFT or name in _CENTRE or name in _SILENT


def _weights(name: str) -> tuple[float, float]:
    if name in _CENTRE:
        return _CENTRE[name], _CENTRE[name]
    return _LEFT.get(name, 0.0), _LEFT.get(_mirrored(name), 0.0)


def _mirrored(name: str) -> str:
    """The left channel's name for a right one's; for any other name, one that no channel has."""
    head, found, tail = name.rpartition("R")
    return head + "L" + tail if found else ""

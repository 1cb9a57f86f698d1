"""Measures the loudest samples of stems over time, so that a page can draw them without decoding them.

`peaks.json` beside the stems holds them at two resolutions, a byte for each span of time:

    {"version": 1, "resolutions": [{"points_per_s": 8.0, "stems": {"vocals": BASE64, …}}, …]}

A byte is the largest absolute sample of the span in all channels, from 0 to 255 for full scale.
"""

import base64
import json
import math
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt

_VERSION = 1
_FULL_SCALE = 255
# Short songs get more points, so that they fill a wide screen; an hour of one stem takes 43 kB.
_LEAST_POINTS_PER_S, _MOST_POINTS_PER_S = 8.0, 200.0
_WANTED_POINTS = 2000
# How many points of the first resolution are one of the second.
_COARSER = 8


class Peaks:
    """The peaks of a song's stems, which all have `frames` frames at `rate_hz`.

    Several threads may add, each to a stem of its own.
    """

    def __init__(self, names: Iterable[str], frames: int, rate_hz: int):
        wanted_per_s = _WANTED_POINTS * rate_hz / max(1, frames)
        points_per_s = min(_MOST_POINTS_PER_S, max(_LEAST_POINTS_PER_S, wanted_per_s))
        self._span_frames = math.ceil(rate_hz / points_per_s)
        self._rate_hz = rate_hz
        count = math.ceil(frames / self._span_frames)
        self._levels = {name: np.zeros(count, np.float32) for name in names}
        self._frames = dict.fromkeys(self._levels, 0)

    def add(self, name: str, samples: npt.NDArray[np.float32]) -> None:
        """Take the next samples of a stem: float32 [frame, channel], full scale at 1."""
        if not len(samples):
            return
        begin, span = self._frames[name], self._span_frames
        self._frames[name] = begin + len(samples)
        loudest = np.abs(samples).max(axis=1)
        first = begin // span
        # Where the spans after the first one begin in this block.
        starts = np.arange((first + 1) * span - begin, len(samples), span)
        found = np.maximum.reduceat(loudest, np.concatenate(([0], starts)))
        levels = self._levels[name][first : first + len(found)]
        np.maximum(levels, found[: len(levels)], out=levels)

    def write(self, path: Path) -> None:
        """Write the file. Raises OSError."""
        points_per_s = self._rate_hz / self._span_frames
        coarse = {name: _coarser(levels) for name, levels in self._levels.items()}
        resolutions = [
            {
                "points_per_s": round(per_s, 6),
                "stems": {name: _encoded(found) for name, found in stems.items()},
            }
            for per_s, stems in ((points_per_s, self._levels), (points_per_s / _COARSER, coarse))
        ]
        path.write_text(json.dumps({"version": _VERSION, "resolutions": resolutions}))


def keep_only(path: Path, names: Iterable[str]) -> None:
    """Remove the peaks of all stems but `names` from the file. Raises OSError."""
    found, kept = json.loads(path.read_text()), set(names)
    for resolution in found["resolutions"]:
        resolution["stems"] = {n: peaks for n, peaks in resolution["stems"].items() if n in kept}
    path.write_text(json.dumps(found))


def _coarser(levels: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    count = math.ceil(len(levels) / _COARSER)
    padded = np.zeros(count * _COARSER, np.float32)
    padded[: len(levels)] = levels
    coarse: npt.NDArray[np.float32] = padded.reshape(count, _COARSER).max(axis=1)
    return coarse


def _encoded(levels: npt.NDArray[np.float32]) -> str:
    scaled = np.clip(np.rint(levels * _FULL_SCALE), 0, _FULL_SCALE).astype(np.uint8)
    return base64.b64encode(scaled.tobytes()).decode()

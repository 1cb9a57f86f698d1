"""Judges whether a model may compute in a faster precision: the known song's stems must hardly change."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from processor.separation.overlap_add import Samples

LEAST_DISTANCE_DB = 30.0
MOST_SDR_LOSS_DB = 0.02
# A precision that is hardly faster is not worth its differences.
LEAST_SPEED_UP = 1.1


@dataclass(frozen=True)
class Trial:
    """The stems of the known song by name, float32 [frame, 2] at the mix's level, and how long they took."""

    stems: Mapping[str, Samples]
    took_s: float


@dataclass(frozen=True)
class Verdict:
    """Says whether the faster precision is admitted, and why, for people."""

    admitted: bool
    reason: str


def judge(exact: Trial, fast: Trial, known: Mapping[str, Samples]) -> Verdict:
    """Compare a trial in a faster precision with the one in float32.

    Each stem must be LEAST_DISTANCE_DB or more from float32's. For a stem that is in `known` the SDR may fall
    by MOST_SDR_LOSS_DB. The trial must be LEAST_SPEED_UP times as fast.
    """
    distances_db = {name: ratio_db(stem, fast.stems[name]) for name, stem in exact.stems.items()}
    name, nearest_db = min(distances_db.items(), key=lambda item: item[1])
    if not nearest_db >= LEAST_DISTANCE_DB:  # also for NaN
        distance = f"{name} is {nearest_db:.1f} dB from float32's"
        return Verdict(False, f"{distance}, {LEAST_DISTANCE_DB:g} dB are needed")
    losses_db = {
        name: ratio_db(known[name], exact.stems[name]) - ratio_db(known[name], fast.stems[name])
        for name in exact.stems.keys() & known.keys()
    }
    for name, loss_db in losses_db.items():
        if not loss_db <= MOST_SDR_LOSS_DB:
            return Verdict(False, f"the SDR of {name} falls by {loss_db:.3f} dB")
    speed_up = exact.took_s / fast.took_s
    measured = f"{speed_up:.1f} times as fast as float32, stems at least {nearest_db:.1f} dB from float32's"
    return Verdict(speed_up >= LEAST_SPEED_UP, measured)


def ratio_db(reference: Samples, estimate: Samples) -> float:
    """Return 10·log₁₀(Σ s² / Σ (s - ŝ)²) over all frames and channels.

    It is ∞ where both are equal, and -∞ for sound in place of silence, and where the error is no number.

    Source: Vincent et al., "First stereo audio source separation evaluation campaign", 2007, equation 1.
    """
    wanted = reference.astype(np.float64)
    error = float(((wanted - estimate) ** 2).sum())
    signal = float((wanted**2).sum())
    if error == 0:
        return math.inf
    if signal == 0 or not math.isfinite(error):
        return -math.inf
    return 10 * math.log10(signal / error)

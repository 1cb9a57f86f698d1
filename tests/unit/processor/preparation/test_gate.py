"""The gate admits a faster precision only where the known song's stems hardly change and time is won."""

import math

import numpy as np
import pytest

from processor.preparation import known_song
from processor.preparation.gate import LEAST_SPEED_UP, Trial, judge, ratio_db
from tests.support import audio

KNOWN = known_song.stems()


def estimates(error_db: float) -> dict[str, np.ndarray]:
    """Stems that are `error_db` from the known ones."""
    return {name: disturbed(stem, error_db, seed=1) for name, stem in KNOWN.items()}


def disturbed(stem: np.ndarray, distance_db: float, seed: int) -> np.ndarray:
    noise = np.random.default_rng(seed).standard_normal(stem.shape).astype(np.float32)
    level = math.sqrt(float((stem**2).sum() / (noise**2).sum())) * 10 ** (-distance_db / 20)
    return stem + noise * np.float32(level)


def towards_the_error(stems: dict[str, np.ndarray], distance_db: float) -> dict[str, np.ndarray]:
    """Move each stem further from the known one, along the error that it has already."""
    moved = {}
    for name, stem in stems.items():
        error = stem - KNOWN[name]
        level = math.sqrt(float((stem**2).sum() / (error**2).sum())) * 10 ** (-distance_db / 20)
        moved[name] = stem + error * np.float32(level)
    return moved


def test_a_faster_precision_with_almost_the_same_stems_is_admitted():
    exact = estimates(10)
    fast = {name: disturbed(stem, 40, seed=2) for name, stem in exact.items()}
    verdict = judge(Trial(exact, 3.0), Trial(fast, 1.0), KNOWN)
    assert verdict.admitted
    assert "3.0 times as fast" in verdict.reason
    assert "40.0 dB" in verdict.reason


def test_one_stem_too_far_from_float32_is_enough_to_refuse():
    exact = estimates(10)
    fast = exact | {"instrumental": disturbed(exact["instrumental"], 29.5, seed=2)}
    verdict = judge(Trial(exact, 3.0), Trial(fast, 1.0), KNOWN)
    assert not verdict.admitted
    assert "instrumental is 29.5 dB" in verdict.reason


def test_a_loss_of_quality_is_refused_where_the_stems_are_near_float32s():
    exact = estimates(12)
    fast = towards_the_error(exact, 31)
    verdict = judge(Trial(exact, 3.0), Trial(fast, 1.0), KNOWN)
    assert not verdict.admitted
    assert "SDR" in verdict.reason


def test_stems_that_the_song_does_not_know_are_judged_by_their_distance_alone():
    exact = {"drums": estimates(12)["vocals"]}
    fast = {"drums": disturbed(exact["drums"], 31, seed=3)}
    assert judge(Trial(exact, 3.0), Trial(fast, 1.0), KNOWN).admitted


def test_a_precision_that_is_hardly_faster_is_refused():
    exact = estimates(10)
    slow = 1.0 / (LEAST_SPEED_UP - 0.01)
    assert not judge(Trial(exact, 1.0), Trial(exact, slow), KNOWN).admitted


@pytest.mark.parametrize("sample", [math.nan, math.inf])
def test_samples_that_are_no_numbers_are_refused(sample):
    exact = estimates(10)
    fast = {name: stem.copy() for name, stem in exact.items()}
    fast["vocals"][5] = sample
    assert not judge(Trial(exact, 3.0), Trial(fast, 1.0), KNOWN).admitted


def test_a_stem_that_float32_leaves_silent_admits_silence_only():
    silence = {"drums": np.zeros((1000, 2), np.float32)}
    assert judge(Trial(silence, 3.0), Trial(silence, 1.0), KNOWN).admitted
    assert not judge(Trial(silence, 3.0), Trial({"drums": silence["drums"] + 1e-6}, 1.0), KNOWN).admitted


def test_the_ratio_is_that_of_the_signal_to_the_error():
    stem = audio.noise(0.1)
    assert ratio_db(stem, stem * np.float32(0.9)) == pytest.approx(20, abs=0.01)
    assert ratio_db(stem, stem) == math.inf

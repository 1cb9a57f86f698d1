"""The peaks of stems: a page draws them without decoding the stems."""

import base64
import json
import math

import numpy as np
import pytest

from processor.audio.peaks import Peaks, keep_only

RATE_HZ = 44100


def written(peaks: Peaks, tmp_path) -> list[dict]:
    peaks.write(tmp_path / "peaks.json")
    return json.loads((tmp_path / "peaks.json").read_text())["resolutions"]


def points(resolution: dict, name: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(resolution["stems"][name]), np.uint8)


@pytest.mark.parametrize("seconds", [0.01, 1.0, 7.3, pytest.param(300.0, marks=pytest.mark.slow)])
@pytest.mark.parametrize("rate_hz", [RATE_HZ, 11025])
def test_each_point_is_the_largest_sample_of_its_span_whatever_the_blocks(tmp_path, seconds, rate_hz):
    noise = np.random.default_rng(7)
    frames = round(seconds * rate_hz)
    song = noise.uniform(-1, 1, (frames, 2)).astype(np.float32) * np.linspace(0, 1, frames)[:, None]
    peaks = Peaks(["vocals"], frames, rate_hz)
    begin = 0
    while begin < frames:
        end = begin + int(noise.integers(1, 1 << 16))
        peaks.add("vocals", song[begin:end].astype(np.float32))
        begin = end
    for resolution in written(peaks, tmp_path):
        span = round(rate_hz / resolution["points_per_s"])
        loudest = np.maximum.reduceat(np.abs(song).max(axis=1), range(0, frames, span))
        expected = np.rint(255 * loudest)
        found = points(resolution, "vocals").astype(int)
        assert len(found) == len(expected)
        assert np.abs(found - expected).max() <= 1


def test_full_scale_is_255_and_what_is_beyond_does_not_turn_round(tmp_path):
    peaks = Peaks(["quiet", "loud"], RATE_HZ, RATE_HZ)
    peaks.add("quiet", np.zeros((RATE_HZ, 2), np.float32))
    peaks.add("loud", np.full((RATE_HZ, 2), -1.7, np.float32))
    for resolution in written(peaks, tmp_path):
        assert set(points(resolution, "quiet")) == {0}
        assert set(points(resolution, "loud")) == {255}


def test_an_hour_of_four_stems_is_small_and_a_short_song_still_fills_a_screen(tmp_path):
    names = ["vocals", "drums", "bass", "other"]
    hour = written(Peaks(names, 3600 * RATE_HZ, RATE_HZ), tmp_path)
    assert (tmp_path / "peaks.json").stat().st_size < 200_000
    assert [round(resolution["points_per_s"]) for resolution in hour] == [8, 1]
    short = written(Peaks(names, 30 * RATE_HZ, RATE_HZ), tmp_path)
    assert len(points(short[0], "vocals")) >= 1900


def test_a_song_without_samples_has_no_points(tmp_path):
    for resolution in written(Peaks(["vocals"], 0, RATE_HZ), tmp_path):
        assert math.isfinite(resolution["points_per_s"])
        assert len(points(resolution, "vocals")) == 0


def test_the_peaks_of_stems_that_nobody_wants_go(tmp_path):
    written(Peaks(["vocals", "drums"], 100, RATE_HZ), tmp_path)
    keep_only(tmp_path / "peaks.json", ["drums"])
    found = json.loads((tmp_path / "peaks.json").read_text())["resolutions"]
    assert [set(resolution["stems"]) for resolution in found] == [{"drums"}] * 2

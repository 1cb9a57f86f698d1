"""The resampler to 44.1 kHz: its pass band, its stop band, and its number of samples."""

import tracemalloc

import numpy as np
import pytest

from processor.audio.resample import Resampler

RATES = [8000, 11025, 16000, 22050, 32000, 44099, 48000, 88200, 96000, 176400, 192000, 384000]


def converted(samples: np.ndarray, rate: int, block: int = 16_384) -> np.ndarray:
    resampler = Resampler(rate)
    parts = [resampler.convert(samples[at : at + block]) for at in range(0, len(samples), block)]
    return np.concatenate([*parts, resampler.finish()])


def tone(hz: float, rate: int, seconds: float = 2.0) -> np.ndarray:
    wave = 0.5 * np.sin(2 * np.pi * hz * np.arange(round(rate * seconds)) / rate)
    return np.stack([wave, wave], axis=1).astype(np.float32)


def level_db(samples: np.ndarray) -> float:
    """Against a tone of half of full scale, without the ends, where a tone begins and stops."""
    middle = samples[4000:-4000].astype(np.float64)
    return 10 * np.log10(np.mean(middle**2) / 0.125)


@pytest.mark.parametrize("rate", [48000, 88200, 96000, 192000])
@pytest.mark.parametrize("hz", [20, 1000, 10_000, 19_000, 20_000])
def test_what_can_be_heard_stays(rate, hz):
    assert level_db(converted(tone(hz, rate), rate)) == pytest.approx(0, abs=0.1)


@pytest.mark.parametrize(("rate", "hz"), [(22050, 10_000), (8000, 3600), (32000, 14_500), (11025, 5000)])
def test_what_a_lower_rate_holds_stays(rate, hz):
    assert level_db(converted(tone(hz, rate), rate)) == pytest.approx(0, abs=0.1)


@pytest.mark.parametrize(
    ("rate", "hz"),
    [(48000, 22_100), (48000, 23_000), (48000, 23_900), (96000, 30_000), (88200, 43_000), (192000, 90_000)],
)
def test_what_would_be_mirrored_is_gone(rate, hz):
    assert level_db(converted(tone(hz, rate), rate)) < -100


@pytest.mark.parametrize("rate", [8000, 22050, 32000])
def test_a_lower_rate_is_not_mirrored_upwards(rate):
    hz = 0.4 * rate
    spectrum = np.abs(np.fft.rfft(converted(tone(hz, rate), rate)[8000:-8000, 0] * np.hanning(72_200)))
    frequencies = np.fft.rfftfreq(72_200, 1 / 44100)
    above = spectrum[frequencies > 0.55 * rate].max() / spectrum.max()
    assert 20 * np.log10(above) < -100


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("frames", [1, 2, 999, 48_000, 100_003])
def test_the_number_of_samples_is_right(rate, frames):
    found = len(converted(np.zeros((frames, 2), np.float32), rate))
    assert found == pytest.approx(frames * 44100 / rate, abs=0.51)


@pytest.mark.parametrize("rate", [8000, 48000, 96000])
@pytest.mark.parametrize("block", [1, 577, 4096, 16_384])
def test_blocks_of_any_size_give_the_same_without_clicks(rate, block):
    noise = np.random.default_rng(3).standard_normal((20_000, 2)).astype(np.float32) / 10
    whole = converted(noise, rate, len(noise))
    assert np.abs(converted(noise, rate, block) - whole).max() < 1e-6


def test_the_song_is_not_delayed():
    click = np.zeros((48_000, 2), np.float32)
    click[24_000] = 1
    assert np.argmax(np.abs(converted(click, 48000)[:, 0])) == 22_050


def test_44100_stays_as_it_is():
    noise = np.random.default_rng(3).standard_normal((20_000, 2)).astype(np.float32)
    assert np.array_equal(converted(noise, 44100), noise)


def test_an_hour_takes_no_more_memory_than_a_minute():
    resampler, block = Resampler(192000), np.zeros((16_384, 2), np.float32)
    for _ in range(100):
        resampler.convert(block)
    tracemalloc.start()
    for _ in range(2000):
        resampler.convert(block)
    assert tracemalloc.get_traced_memory()[1] < 4 << 20
    tracemalloc.stop()

"""Normalising: one gain for all stems, by peak or by loudness as BS.1770 measures it."""

import numpy as np
import pytest

from processor.audio.prepare import PreparedSource
from processor.output.finish import FloatStems
from processor.output.loudness import integrated_lufs
from tests.support import audio
from tests.support.processor.finishing import INSTRUMENTAL, finished


def tone(seconds: float, dbfs: float, rate: int = 48000) -> np.ndarray:
    """A sine of 1 kHz on both sides, with a peak of `dbfs`."""
    t = np.arange(round(seconds * rate)) / rate
    return np.repeat((10 ** (dbfs / 20) * np.sin(2000 * np.pi * t))[:, None], 2, axis=1).astype(np.float32)


def lufs(path) -> float | None:
    return integrated_lufs(path, lambda fraction: None)


# The signals of EBU Tech 3341, table 1, with shorter quiet parts; the tolerance is theirs.
@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ([(5, -23)], -23),
        ([(5, -33)], -33),
        ([(2, -36), (60, -23), (2, -36)], -23),
        ([(2, -72), (2, -36), (60, -23), (2, -36), (2, -72)], -23),
        ([(4, -26), (4.1, -20), (4, -26)], -23),
    ],
)
@pytest.mark.parametrize("rate", [44100, 48000])
def test_loudness_is_as_the_ebu_expects(tmp_path, parts, expected, rate):
    signal = np.concatenate([tone(seconds, dbfs, rate) for seconds, dbfs in parts])
    assert lufs(audio.write(tmp_path / "a.wav", signal, rate=rate)) == pytest.approx(expected, abs=0.1)


@pytest.mark.parametrize("rate", [8000, 22050, 96000, 192000])
def test_the_rate_changes_little(tmp_path, rate):
    path = audio.write(tmp_path / "a.wav", tone(2, -23, rate), rate=rate)
    assert lufs(path) == pytest.approx(-23, abs=0.1)


@pytest.mark.parametrize("signal", [np.zeros((50_000, 2), np.float32), tone(0.3, -6), tone(2, -75)])
def test_silence_and_a_short_song_have_no_loudness(tmp_path, signal):
    assert lufs(audio.write(tmp_path / "a.wav", signal, rate=48000)) is None


def song(directory, samples: np.ndarray, share: float = 0.25) -> tuple[FloatStems, PreparedSource]:
    """`samples` at 44.1 kHz, of which the vocals are this share."""
    mix = audio.write(directory / "mix.wav", samples)
    vocals = audio.write(directory / "v.wav", samples * np.float32(share))
    return FloatStems({"vocals": vocals}, INSTRUMENTAL), PreparedSource(mix, 44100, len(samples))


@pytest.mark.parametrize("level", [0.2, 0.9, 3.0])
@pytest.mark.parametrize("names", [None, ("vocals",)])
def test_peak_brings_the_loudest_stem_to_0_1_db_below_full_scale(tmp_path, names, level):
    stems, source = song(tmp_path, audio.noise(0.5, peak=level))
    done = finished(tmp_path, stems, source, names, normalize="peak", bit_depth=24)
    parts = [audio.read(stem.path) for stem in done.stems.values()]
    assert max(np.abs(part).max() for part in parts) == pytest.approx(10 ** (-0.1 / 20), abs=1e-6)
    assert done.output.normalize == "peak"
    if names is None:
        assert np.abs(sum(parts) - done.gain * audio.read(source.path)).max() <= 2 / 2**23


@pytest.mark.parametrize("dbfs", [-40, -12])
def test_loudness_is_that_of_the_song_that_the_stems_add_up_to(tmp_path, dbfs):
    stems, source = song(tmp_path, tone(2, dbfs, 44100))
    done = finished(tmp_path, stems, source, normalize="lufs:-20", bit_depth=24)
    total = sum(audio.read(stem.path) for stem in done.stems.values())
    assert lufs(audio.write(tmp_path / "sum.wav", total)) == pytest.approx(-20, abs=0.1)
    assert done.gain == pytest.approx(10 ** ((-20 - dbfs) / 20), rel=0.01)
    alone = finished(tmp_path / "alone", stems, source, ("vocals",), normalize="lufs:-20", bit_depth=24)
    assert alone.gain == done.gain


def test_no_stem_clips_for_the_sake_of_loudness(tmp_path):
    clicking = tone(2, -26, 44100)
    clicking[1000] = 0.9
    stems, source = song(tmp_path, clicking)
    done = finished(tmp_path, stems, source, normalize="lufs:-5")
    loudest = max(np.abs(audio.read_int16(stem.path)).max() for stem in done.stems.values())
    assert loudest == 32767
    assert done.gain == pytest.approx(1 / (0.75 * 0.9), rel=0.001)


@pytest.mark.parametrize("normalize", ["peak", "lufs:-14"])
@pytest.mark.parametrize(("level", "gain"), [(0.0, 1.0), (1e-6, None)])
def test_silence_does_not_become_noise(tmp_path, normalize, level, gain):
    stems, source = song(tmp_path, audio.noise(0.6) * np.float32(2 * level))
    done = finished(tmp_path, stems, source, normalize=normalize)
    assert done.gain == (gain or (100 if normalize == "peak" else 1))

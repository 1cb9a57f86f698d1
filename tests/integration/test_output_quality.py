"""A real song with known stems, by a real model, in every format and at many rates."""

import functools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from common.tasks.messages.choices import SAMPLE_RATES_HZ
from processor.audio.resample import Resampler
from processor.models import model_files
from processor.output.finish import FloatStems
from processor.output.resolved import has_rate
from processor.separation import device, loaded_model, streaming
from tests.support import audio
from tests.support.processor.finishing import Song, by_ffmpeg, finished, song
from tests.support.processor.models import spleeter_directory

# By how much a stem's SDR may differ from that of the 44.1 kHz WAV. MP3 has 64 kbit/s below 16 kHz. Vorbis
# has fewer bits for a sample at other rates than 44.1 and 48 kHz.
LARGEST_DB = 0.05
LARGEST_ELSEWHERE_DB = {"mp3": 0.07, "ogg": 0.1}
FORMATS = ("wav", "flac", "mp3", "m4a", "ogg")


@pytest.fixture(scope="module")
def spleeter() -> loaded_model.LoadedModel:
    files = model_files.ensure(model_files.SPLEETER, spleeter_directory(), fetch=False)
    return loaded_model.load(files, device.CPU)


@functools.cache
def known_song() -> audio.Song:
    return audio.feelings(0.8).part(4, 8)  # with vocals


@functools.cache
def known_stem(name: str, rate: int) -> np.ndarray:
    return at_rate(getattr(known_song(), name), 44100, rate)


def at_rate(samples: np.ndarray, rate: int, to_rate: int) -> np.ndarray:
    resampler = Resampler(rate, to_rate)
    return np.concatenate([resampler.convert(samples), resampler.finish()])


def sdr_db(name: str, stem: np.ndarray, rate: int, shared: int) -> float:
    """The SDR of a stem of this rate. It and the known stem are compared at the rate `shared`."""
    reference, found = known_stem(name, shared), at_rate(stem, rate, shared)
    count = min(len(reference), len(found))
    return audio.sdr_db(reference[:count], found[:count])


@pytest.fixture(scope="module")
def separated(spleeter, tmp_path_factory) -> Callable[[int], tuple[Song, FloatStems]]:
    """The song at a rate, with the stems that the model finds in it."""

    @functools.cache
    def at(rate: int) -> tuple[Song, FloatStems]:
        directory = tmp_path_factory.mktemp(f"song-{rate}")
        own = song(directory, at_rate(known_song().mix, 44100, rate), rate)
        nothing = lambda *args: None  # noqa: E731
        stems = streaming.separate_to_floats(spleeter, own.mix, directory, nothing, nothing)
        paths = {name: directory / f"{name}.wav" for name in stems.names}
        return own, FloatStems(paths, spleeter.residual)

    return at


def as_floats(path: Path) -> np.ndarray:
    samples, _ = by_ffmpeg(path)
    if samples.dtype == np.float32:
        return samples
    return samples.astype(np.float32) / np.float32(2 ** (8 * samples.dtype.itemsize - 1))


@pytest.mark.slow
@pytest.mark.parametrize("rate", SAMPLE_RATES_HZ)
def test_quality_and_length_are_kept_in_every_format_at_the_songs_own_rate(separated, tmp_path, rate):
    own, stems = separated(rate)
    plain = finished(tmp_path / "plain", stems, own.source)
    plain_stems = {name: audio.read(stem.path) / plain.gain for name, stem in plain.stems.items()}
    expected_db = functools.cache(lambda name, shared: sdr_db(name, plain_stems[name], 44100, shared))
    for format in FORMATS:
        done = finished(tmp_path / format, stems, own.source, format=format, sample_rate="source")
        written = done.output.sample_rate_hz
        assert written == rate or not has_rate(format, rate)
        for name, stem in done.stems.items():
            samples = as_floats(stem.path)
            assert len(samples) == own.source.frames_at(written)
            # At the lower of both rates: above its half one of them has nothing.
            shared = min(written, 44100)
            found_db = sdr_db(name, samples / done.gain, written, shared)
            elsewhere = rate not in (44100, 48000)
            most_db = LARGEST_ELSEWHERE_DB.get(format, LARGEST_DB) if elsewhere else LARGEST_DB
            assert found_db == pytest.approx(expected_db(name, shared), abs=most_db), (format, name)


@pytest.mark.slow
@pytest.mark.parametrize("rate", [8000, 44100, 96000])
def test_stems_of_24_bits_add_up_to_the_song_below_90_db(separated, tmp_path, rate):
    own, stems = separated(rate)
    done = finished(tmp_path, stems, own.source, sample_rate="source", bit_depth=24)
    total = sum(audio.read(stem.path).astype(np.float64) for stem in done.stems.values())
    assert audio.sdr_db(audio.read(own.source.path) * done.gain, total) > 90

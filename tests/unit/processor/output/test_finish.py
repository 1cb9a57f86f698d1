"""Finished stems have the song's length at every rate, and add up to the song."""

import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from common.errors import ErrorCode, PermanentError, TransientError
from common.tasks.messages.choices import SAMPLE_RATES_HZ
from processor.models import model_files
from processor.output.finish import FloatStems
from processor.separation import device, loaded_model, streaming
from tests.support import audio
from tests.support.processor import songs
from tests.support.processor.finishing import INSTRUMENTAL, finished, song, vocals
from tests.support.processor.models import centre_directory

SECONDS = 0.7


@pytest.fixture(scope="module")
def at_44100(tmp_path_factory):
    directory = tmp_path_factory.mktemp("song")
    prepared = song(directory, songs.music(SECONDS), 44100)
    return prepared, vocals(directory, prepared)


@pytest.fixture(scope="module")
def at_96000(tmp_path_factory):
    directory = tmp_path_factory.mktemp("song")
    prepared = song(directory, songs.music(SECONDS, 96000), 96000)
    return prepared, vocals(directory, prepared)


@pytest.mark.parametrize("rate", SAMPLE_RATES_HZ)
def test_at_the_songs_own_rate_stems_have_its_samples_and_add_up_to_it(tmp_path, rate):
    samples = songs.music(SECONDS, rate)[: round(SECONDS * rate) - 1]
    prepared = song(tmp_path, samples, rate)
    stems = vocals(tmp_path, prepared)
    done = finished(tmp_path, stems, prepared.source, sample_rate="source", bit_depth=24)
    parts = [audio.read(stem.path) for stem in done.stems.values()]
    assert [stem.frames for stem in done.stems.values()] == [len(samples)] * 2
    assert [len(part) for part in parts] == [len(samples)] * 2
    assert soundfile.info(done.stems["vocals"].path).samplerate == rate == done.output.sample_rate_hz
    assert np.abs(done.gain * samples - sum(parts)).max() <= 1 / 2**23


@pytest.mark.parametrize("bits", [16, 24, 32])
def test_stems_add_up_to_the_song_within_1_lsb(tmp_path, at_96000, bits):
    prepared, stems = at_96000
    done = finished(tmp_path, stems, prepared.source, sample_rate="source", bit_depth=bits)
    total = sum(audio.read(stem.path).astype(np.float64) for stem in done.stems.values())
    assert np.abs(total - audio.read(prepared.source.path)).max() <= 1 / 2 ** (min(bits, 24) - 1)


@pytest.mark.parametrize("rate", SAMPLE_RATES_HZ)
def test_at_any_rate_stems_last_as_long_as_the_song(tmp_path, at_96000, rate):
    prepared, stems = at_96000
    done = finished(tmp_path, stems, prepared.source, ("vocals",), sample_rate=rate)
    assert soundfile.info(done.stems["vocals"].path).frames == round(prepared.source.frames * rate / 96000)
    assert list(done.stems) == ["vocals"]


def test_what_is_above_the_models_range_is_in_the_residual(tmp_path):
    t = np.arange(48_000) / 96_000
    tone = np.repeat((0.3 * np.sin(2 * np.pi * 30_000 * t))[:, None], 2, axis=1).astype(np.float32)
    prepared = song(tmp_path, tone, 96000)
    stems = FloatStems({"vocals": audio.write(tmp_path / "v.wav", np.zeros((22_050, 2)))}, INSTRUMENTAL)
    done = finished(tmp_path, stems, prepared.source, sample_rate="source", bit_depth=24)
    assert audio.sdr_db(tone, audio.read(done.stems["instrumental"].path)) > 120


def test_16_bits_at_44_1_khz_are_byte_for_byte_what_the_engine_writes(tmp_path):
    loaded = loaded_model.load(model_files.ensure("centre", centre_directory(), fetch=False), device.CPU)
    prepared = song(tmp_path, audio.noise(2, peak=0.9), 44100, keep_source=False)
    (tmp_path / "engine").mkdir()
    (tmp_path / "floats").mkdir()
    nothing = lambda *args: None  # noqa: E731
    direct = streaming.separate(loaded, prepared.mix, tmp_path / "engine", "wav", nothing, nothing)
    floats = streaming.separate_to_floats(loaded, prepared.mix, tmp_path / "floats", nothing, nothing)
    stems = FloatStems({name: tmp_path / "floats" / f"{name}.wav" for name in floats.names}, loaded.residual)
    done = finished(tmp_path, stems, prepared.source)
    assert done.gain == direct.gain
    for name, stem in done.stems.items():
        assert stem.path.read_bytes() == (tmp_path / "engine" / f"{name}.wav").read_bytes()


def test_one_gain_for_all_stems_where_one_would_clip(tmp_path, at_44100):
    prepared, stems = at_44100
    loud = audio.read(stems.paths["vocals"]) * 8
    stems = FloatStems({"vocals": audio.write(tmp_path / "loud.wav", loud)}, INSTRUMENTAL)
    done = finished(tmp_path, stems, prepared.source)
    assert 0 < done.gain < 1
    parts = [audio.read_int16(stem.path) for stem in done.stems.values()]
    assert max(np.abs(part).max() for part in parts) == 32767
    assert np.abs(sum(parts) - done.gain * audio.read(prepared.mix) * 32768.0).max() <= 1
    alone = finished(tmp_path / "alone", stems, prepared.source, ("vocals",))
    assert alone.gain == done.gain
    floats = finished(tmp_path / "floats", stems, prepared.source, bit_depth=32)
    assert floats.gain == 1
    assert np.array_equal(audio.read(floats.stems["vocals"].path), loud)


def test_the_rest_of_an_earlier_stem_is_made_from_that_stem(tmp_path, at_44100):
    prepared, stems = at_44100
    lead = audio.write(tmp_path / "lead.wav", audio.read(stems.paths["vocals"]) * np.float32(0.5))
    split = FloatStems({"lead": lead}, loaded_model.Residual("backing", "lead"), stems.paths["vocals"])
    done = finished(tmp_path, split, prepared.source, bit_depth=32)
    assert np.array_equal(audio.read(done.stems["backing"].path), audio.read(lead))


def test_stems_that_will_not_fit_are_not_begun(tmp_path, at_44100, monkeypatch):
    prepared, stems = at_44100
    needed = 2 * prepared.frames * 4
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=needed - 1))
    with pytest.raises(TransientError, match=f"need {needed} bytes") as caught:
        finished(tmp_path, stems, prepared.source)
    assert caught.value.code == ErrorCode.DISK_FULL
    assert not list((tmp_path / "finished").iterdir())


def test_a_stem_that_is_not_there_is_named_with_those_that_are(tmp_path, at_44100):
    prepared, stems = at_44100
    with pytest.raises(PermanentError, match="no stem drums: the stems are vocals, instrumental") as caught:
        finished(tmp_path, stems, prepared.source, ("vocals", "drums"))
    assert caught.value.code == ErrorCode.STEM_UNKNOWN

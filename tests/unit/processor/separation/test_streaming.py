"""Streaming separation: stems equal the library's, add up to the mix, and are whole or absent."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import scipy.signal  # noqa: F401 - before the engine postpones it: the library's own way needs it whole
import soundfile
from audio_separator.separator.architectures.mdx_separator import MDXSeparator

from common.errors import Cancelled, ErrorCode, PermanentError
from processor.models import model_files
from processor.separation import device, loaded_model, streaming
from processor.separation.architectures import library
from tests.support import audio
from tests.support.processor.centre_model import write_centre_model
from tests.support.processor.mixes import as_mix

LSB = 1 / 32768
# A quarter of what people's models have, so that the songs of these tests can be short.
FRAMES_EXPONENT = 6
CHUNK, TRIM = 1024 * (2**FRAMES_EXPONENT - 1), 3072
STEP = CHUNK * 3 // 4


def load(directory: Path, name: str) -> loaded_model.LoadedModel:
    return loaded_model.load(model_files.ensure(name, directory, fetch=False), device.CPU)


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> Path:
    directory = tmp_path_factory.mktemp("models")
    write_centre_model(directory, frames_exponent=FRAMES_EXPONENT)
    return directory


@pytest.fixture(scope="module")
def centre(models) -> loaded_model.LoadedModel:
    return load(models, "centre")


def separate(loaded, tmp_path: Path, mix: np.ndarray, format="wav") -> tuple[streaming.Stems, dict]:
    source = audio.write(tmp_path / "mix.wav", mix)
    target = tmp_path / "stems"
    target.mkdir(exist_ok=True)
    stems = streaming.separate(loaded, source, target, format, lambda fraction: None, lambda: None)
    files = [*(f"{name}.{format}" for name in stems.names), "peaks.json"]
    assert sorted(path.name for path in target.iterdir()) == sorted(files)
    return stems, {name: target / f"{name}.{format}" for name in stems.names}


@pytest.fixture(scope="module")
def library_demix(models) -> Callable[[np.ndarray], np.ndarray]:
    """The library's own whole-file separation of [frame, 2]."""
    files = model_files.ensure("centre", models, fetch=False)
    segment = 2 ** files.parameters["mdx_dim_t_set"]
    assert segment == 2**FRAMES_EXPONENT
    options = {"hop_length": 1024, "segment_size": segment, "overlap": 0.25, "batch_size": 1}
    model = MDXSeparator(library.common_config(files, device.CPU), options | {"enable_denoise": False})
    model.initialize_model_settings()
    return lambda mix: model.demix(np.ascontiguousarray(mix.T)).T


_USABLE = CHUNK - 2 * TRIM
GRID_EDGES = (1, 2, 1000, TRIM, CHUNK - TRIM, STEP, _USABLE, _USABLE + 1, 2 * CHUNK - 11, 5 * CHUNK + 17)


@pytest.mark.parametrize("frames", GRID_EDGES)
def test_streaming_equals_the_librarys_whole_file_result(centre, library_demix, frames):
    mix = audio.noise(frames / audio.SAMPLE_RATE, seed=frames)[:frames]
    parts = list(centre.estimate(as_mix(mix)))
    streamed = np.concatenate(parts, axis=2)[0].T
    assert streamed.shape == (frames, 2)
    assert np.abs(streamed - library_demix(mix)).max() < 0.01 * LSB


@pytest.mark.parametrize("peak", [1.0, 0.1])
def test_stems_are_the_librarys_result_brought_back_to_the_mixs_level(centre, library_demix, tmp_path, peak):
    mix = audio.noise(2, peak=peak)
    stems, paths = separate(centre, tmp_path, mix)
    scale = np.float32(streaming.NETWORK_PEAK / np.abs(mix).max())
    expected = library_demix(mix * scale) / scale * stems.gain
    assert np.abs(audio.read(paths["vocals"]) - expected).max() <= LSB


@pytest.mark.parametrize("seconds", [1 / 44100, 0.1, 3])
def test_stems_add_up_to_the_mix(centre, tmp_path, seconds):
    mix = audio.noise(seconds, peak=0.7)
    stems, paths = separate(centre, tmp_path, mix)
    total = sum(audio.read_int16(path) for path in paths.values())
    assert stems.gain == 1
    assert len(total) == len(mix) == stems.frames
    assert np.abs(total - mix * 32768.0).max() <= 1


def test_one_gain_for_all_stems_prevents_clipping(centre, tmp_path):
    mix = audio.noise(3, peak=3.0)  # float files may exceed full scale
    stems, paths = separate(centre, tmp_path, mix)
    parts = [audio.read_int16(path) for path in paths.values()]
    assert 0 < stems.gain < 1
    assert max(np.abs(part).max() for part in parts) == 32767
    assert np.abs(sum(parts) - stems.gain * mix * 32768.0).max() <= 1


@pytest.mark.parametrize("level", [0.0, 1e-12])
def test_silence_gives_silence(centre, tmp_path, level):
    mix = np.full((100_000, 2), level, np.float32)
    stems, paths = separate(centre, tmp_path, mix)
    assert stems.gain == 1
    for path in paths.values():
        assert len(audio.read_int16(path)) == len(mix)
        assert not audio.read_int16(path).any()


def test_a_models_own_factor_applies_to_both_stems(tmp_path, centre):
    name = write_centre_model(
        tmp_path / "models", name="louder", compensate=1.25, frames_exponent=FRAMES_EXPONENT
    )
    mix = audio.noise(2, peak=0.3)
    _, plain = separate(centre, tmp_path, mix)
    vocals = audio.read(plain["vocals"])
    _, louder = separate(load(tmp_path / "models", name), tmp_path, mix)
    assert np.abs(audio.read(louder["vocals"]) - 1.25 * vocals).max() <= 2 * LSB
    total = sum(audio.read_int16(path) for path in louder.values())
    assert np.abs(total - mix * 32768.0).max() <= 1


def test_flac_stems_hold_the_same_samples_as_wav(centre, tmp_path):
    mix = audio.noise(3)
    wav = {n: audio.read_int16(p) for n, p in separate(centre, tmp_path, mix)[1].items()}
    shutil.rmtree(tmp_path / "stems")
    _, flac = separate(centre, tmp_path, mix, "flac")
    for name, path in flac.items():
        assert soundfile.info(path).format == "FLAC"
        assert np.array_equal(audio.read_int16(path), wav[name])


def test_mp3_stems_are_320_kbit(centre, tmp_path):
    mix = audio.feelings(0.8).mix[: 10 * audio.SAMPLE_RATE]
    stems, paths = separate(centre, tmp_path, mix, "mp3")
    for path in paths.values():
        assert soundfile.info(path).format == "MP3"
        assert path.stat().st_size * 8 / 10 == pytest.approx(320_000, rel=0.02)
    total = sum(audio.read(path) for path in paths.values())
    assert audio.sdr_db(mix * stems.gain, total[: len(mix)]) > 30


def test_progress_rises_to_one(centre, tmp_path):
    source = audio.write(tmp_path / "mix.wav", audio.noise(5))
    seen: list[float] = []
    streaming.separate(centre, source, tmp_path, "wav", seen.append, lambda: None)
    assert seen == sorted(seen)
    assert len(seen) > 4
    assert seen[-1] == 1


@pytest.fixture(scope="module")
def long_mix(tmp_path_factory) -> Path:
    return audio.write(tmp_path_factory.mktemp("long") / "mix.wav", audio.noise(30))


@pytest.mark.parametrize("calls", [1, 10, 60])
def test_a_stopped_separation_leaves_nothing(centre, tmp_path, long_mix, calls):
    left = calls

    def check() -> None:
        nonlocal left
        left -= 1
        if not left:
            raise Cancelled

    (tmp_path / "stems").mkdir()
    with pytest.raises(Cancelled):
        streaming.separate(centre, long_mix, tmp_path / "stems", "wav", lambda fraction: None, check)
    assert not list((tmp_path / "stems").iterdir())


def test_a_mix_that_was_not_prepared_is_refused(centre, tmp_path):
    source = audio.write(tmp_path / "mix.wav", np.zeros((100, 1), np.float32))
    with pytest.raises(PermanentError) as caught:
        streaming.separate(centre, source, tmp_path, "wav", lambda fraction: None, lambda: None)
    assert caught.value.code == ErrorCode.NOT_AUDIO

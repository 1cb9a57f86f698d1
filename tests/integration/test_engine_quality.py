"""A real song with known stems through prepare and engine, with a real pretrained model."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from processor.audio.prepare import AudioLimits, prepare
from processor.engine.engine import Engine
from processor.engine.protocol import EngineConfig, Separation
from processor.models.model_files import SPLEETER
from tests.support import audio
from tests.support.processor.models import spleeter_directory

LEAST_DB = {"vocals": 9.5, "instrumental": 11.5}
# With vocals throughout, in two of the network's chunks. The whole song has four, which cost twice as much.
PART_S = (12, 24)


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    engine = Engine(EngineConfig(SPLEETER, spleeter_directory(), device="cpu"))
    engine.start()
    state = engine.wait_ready(120)
    assert state.ok, state.detail
    yield engine
    engine.stop()


def separate(engine: Engine, source: Path) -> Separation:
    prepared = prepare(source, source.parent / "prepared.out", AudioLimits(600, 8), lambda: None)
    target = source.parent / "stems"
    target.mkdir(exist_ok=True)
    return engine.separate(prepared.path, target, lambda: None, lambda fraction: None)


def sdr(result: Separation, song: audio.Song) -> dict[str, float]:
    found = {}
    for name, stem in result.stems.items():
        reference, estimate = getattr(song, name), audio.read(stem.path) / result.gain
        shared = min(len(reference), len(estimate))
        found[name] = audio.sdr_db(reference[:shared], estimate[:shared])
    return found


@pytest.mark.slow
def test_quality_is_the_same_at_every_level(engine, tmp_path):
    at = {}
    for peak in (1.0, 0.5, 0.1):
        song = audio.feelings(peak).part(*PART_S)
        at[peak] = sdr(separate(engine, audio.write(tmp_path / "mix.wav", song.mix)), song)
        assert at[peak]["vocals"] >= LEAST_DB["vocals"]
        assert at[peak]["instrumental"] >= LEAST_DB["instrumental"]
    for name in LEAST_DB:
        levels = [values[name] for values in at.values()]
        assert max(levels) - min(levels) <= 0.1


def write_flac_24(path: Path, mix) -> Path:
    return audio.write(path.with_suffix(".flac"), mix, "PCM_24")


def write_48_khz(path: Path, mix) -> Path:
    return audio.write(path.with_suffix(".wav"), audio.resampled(mix, 48000), rate=48000)


def write_mp3(path: Path, mix) -> Path:
    return audio.encode(path.with_suffix(".mp3"), mix, "libmp3lame", bit_rate=320_000)


def write_ogg(path: Path, mix) -> Path:
    return audio.write(path.with_suffix(".ogg"), mix, "VORBIS")


def write_m4a(path: Path, mix) -> Path:
    return audio.encode(path.with_suffix(".m4a"), mix, "aac", bit_rate=256_000)


@pytest.mark.slow
@pytest.mark.parametrize("write", [write_flac_24, write_48_khz, write_mp3, write_ogg, write_m4a])
def test_quality_holds_for_each_kind_of_input(engine, tmp_path, write):
    song = audio.feelings(0.9).part(*PART_S)
    found = sdr(separate(engine, write(tmp_path / "mix", song.mix)), song)
    assert found["vocals"] >= LEAST_DB["vocals"]
    assert found["instrumental"] >= LEAST_DB["instrumental"]


@pytest.mark.slow
def test_a_mono_song_keeps_its_stems(engine, tmp_path):
    song = audio.feelings(0.9)
    mono = audio.Song(
        *(part.mean(axis=1, keepdims=True) for part in (song.mix, song.vocals, song.instrumental))
    )
    result = separate(engine, audio.write(tmp_path / "mix.wav", mono.mix, "PCM_16"))
    # With nothing between the sides to tell it by, the voice is harder to find: the library's own
    # demix() reaches 7.22 and 8.83 dB.
    found = sdr(result, mono)
    assert found["vocals"] >= 7.1
    assert found["instrumental"] >= 8.7

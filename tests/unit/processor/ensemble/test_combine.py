"""Stems that are combined in blocks are those of the library, which combines whole stems."""

import logging

import numpy as np
import pytest
import soundfile

from common.errors import Cancelled
from processor.audio.wav import SAMPLE_RATE
from processor.ensemble import combine
from processor.ensemble.spectra import HOP
from processor.ensemble.stem_source import StemSource
from processor.output.finish import FloatStems
from tests.support import audio
from tests.support.processor import songs
from tests.support.processor.finishing import INSTRUMENTAL, finished, song

LSB = 2.0**-15
# Shorter than a frame of the spectra, a multiple of their hop, and several blocks with a rest.
LENGTHS = (700, 4096, 3 * 65536 + 333)


def library(way: str, stems: list[np.ndarray], weights) -> np.ndarray:
    """The library's own answer, [frame, 2]."""
    from audio_separator.separator.ensembler import Ensembler

    ensembler = Ensembler(logging.getLogger(__name__), way, weights)
    return np.asarray(ensembler.ensemble([np.asfortranarray(stem.T) for stem in stems])).T


def files(directory, stems) -> list[StemSource]:
    for number, stem in enumerate(stems):
        soundfile.write(directory / f"{number}.wav", stem, SAMPLE_RATE, subtype="FLOAT")
    return [StemSource(directory / f"{number}.wav") for number in range(len(stems))]


def noise(frames: int, count: int) -> list[np.ndarray]:
    generator = np.random.default_rng(frames + count)
    common = generator.standard_normal((frames, 2)) * 0.2
    return [(common + 0.1 * generator.standard_normal((frames, 2))).astype(np.float32) for _ in range(count)]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:n_fft=2048 is too large")  # the library's, for a short stem
@pytest.mark.parametrize("frames", LENGTHS)
@pytest.mark.parametrize("way", combine.WAYS)
def test_a_combined_stem_is_that_of_the_library(tmp_path, way, frames):
    for count, weights in ((2, None), (3, [1.0, 0.5, 2.5])):
        stems = noise(frames, count)
        combine.combine(files(tmp_path, stems), way, weights or [1.0] * count, tmp_path / "out.wav")
        found, rate = soundfile.read(tmp_path / "out.wav", dtype="float32")
        expected = library(way, stems, weights)
        assert (len(found), rate) == (frames, SAMPLE_RATE)
        # The library's spectral ways of UVR lose the end that fills no hop. Its others cover that end by one
        # frame. They divide by the frame's window, which falls to zero: what differs becomes a click.
        whole = frames // HOP * HOP if way in combine._SPECTRA else frames
        assert len(expected) == (whole if way.startswith("uvr") else frames)
        assert np.abs(found[:whole] - expected[:whole]).max(initial=0) <= LSB


# The last hop of the stems lacks all, half, a few or one of its samples, or none.
@pytest.mark.parametrize("rest", [1, 512, 1016, 1023, 0])
@pytest.mark.parametrize("way", combine._SPECTRA)
def test_a_combined_stem_is_no_louder_at_its_end_than_the_models_stems(tmp_path, way, rest):
    for hops in range(4, 12):
        stems = noise(hops * HOP + rest, 2)
        combine.combine(files(tmp_path, stems), way, [1.0, 1.0], tmp_path / "out.wav")
        found = soundfile.read(tmp_path / "out.wav")[0]
        assert np.abs(found).max() < 1.5 * max(np.abs(stem).max() for stem in stems)


@pytest.mark.parametrize("way", combine._SPECTRA)
def test_stems_of_an_ensemble_are_as_loud_as_the_song(tmp_path, way):
    # As many samples in the last hop as 30 s have, which many users ask for.
    frames = 40 * HOP + 30 * SAMPLE_RATE % HOP
    prepared = song(tmp_path, songs.music(1)[:frames], SAMPLE_RATE, keep_source=False)
    vocals = [audio.read(prepared.mix) * 0.5 + 0.2 * stem for stem in noise(frames, 2)]
    combine.combine(files(tmp_path, vocals), way, [1.0, 1.0], tmp_path / "vocals.wav")
    stems = FloatStems({"vocals": tmp_path / "vocals.wav"}, INSTRUMENTAL)
    assert finished(tmp_path, stems, prepared.source).gain == 1


def test_the_rest_of_the_mix_is_combined_without_a_file_of_its_own(tmp_path):
    mix, first, second = files(tmp_path, noise(5000, 3))
    rests = [StemSource(mix.path, first.path), StemSource(mix.path, second.path)]
    combine.combine(rests, "avg_wave", [1.0, 1.0], tmp_path / "out.wav")
    read = [soundfile.read(source.path, dtype="float64")[0] for source in (mix, first, second)]
    found = soundfile.read(tmp_path / "out.wav", dtype="float64")[0]
    assert np.abs(found - (read[0] - (read[1] + read[2]) / 2)).max() <= LSB


def test_a_job_that_is_called_off_leaves_no_file(tmp_path):
    def stop() -> None:
        raise Cancelled

    sources = files(tmp_path, noise(5000, 2))
    with pytest.raises(Cancelled):
        combine.combine(sources, "max_fft", [1.0, 1.0], tmp_path / "out.wav", stop)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0.wav", "1.wav"]

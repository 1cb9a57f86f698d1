"""The bands of VR networks are joined and taken apart as the library does, without torch and librosa."""

from pathlib import Path

import numpy as np
import pytest
from audio_separator.separator.architectures.vr_separator import VRSeparator
from audio_separator.separator.uvr_lib_v5 import spec_utils

from processor.models.model_files import ModelFiles
from processor.separation.architectures import library
from processor.separation.architectures.vr_bands import VrBands
from processor.separation.architectures.vr_parameters import VrParameters
from processor.separation.device import CPU

NEAREST_DB = 110
VERSION_51 = {"nout": 8, "nout_lstm": 8}


def level_db(expected: np.ndarray, found: np.ndarray) -> float:
    error = np.square(np.abs(expected - found).astype(np.float64)).sum()
    return 10 * np.log10(np.square(np.abs(expected).astype(np.float64)).sum() / error)


def both(directory: Path, entry: dict) -> tuple[VRSeparator, VrParameters]:
    path = directory / "model.pth"
    path.write_bytes(bytes(1024))
    files = ModelFiles("model", "VR", directory, path, entry, "0")
    theirs = VRSeparator(library.common_config(files, CPU), {"window_size": 512, "aggression": 5})
    theirs.wav_subtype = "FLOAT"
    return theirs, VrParameters.of(files)


# Each way to mix channels and to resample, one to four bands, and a rate that is not the song's.
@pytest.mark.parametrize(
    ("layout", "version"),
    [
        ("1band_sr33075_hl384", {}),
        ("2band_48000", {}),
        ("3band_44100_msb2", {}),
        ("4band_44100_mid", {}),
        ("4band_44100_reverse", {}),
        ("4band_v3", VERSION_51),
        ("4band_v2_sn", VERSION_51),
        ("4band_v4_ms_fullband", VERSION_51),
    ],
)
def test_both_ways_give_what_the_library_gives(tmp_path, layout, version):
    theirs, parameters = both(tmp_path, {"vr_model_param": layout, "primary_stem": "Vocals", **version})
    ours = VrBands(parameters)
    samples = np.random.default_rng(0).standard_normal((2, 50_000), np.float32) * np.float32(0.1)
    theirs.audio_file_path = np.ascontiguousarray(samples.T)
    expected = theirs.loading_mix()
    found = ours.spectrogram(samples)
    assert found.shape == expected.shape
    assert level_db(expected, found) > NEAREST_DB
    if theirs.model_samplerate == 44100:
        wave = theirs.spec_to_wav(expected.copy())
        back = ours.samples(expected)
        assert back.shape == wave.shape
        assert level_db(wave, back) > NEAREST_DB


@pytest.mark.parametrize("stem", ["Vocals", "Instrumental", "No Drums", "lead_only"])
@pytest.mark.parametrize("version", [{}, VERSION_51], ids=["5", "5.1"])
def test_stems_and_masks_are_the_librarys(tmp_path, stem, version):
    theirs, ours = both(tmp_path, {"vr_model_param": "4band_44100", "primary_stem": stem, **version})
    assert (ours.primary, ours.secondary) == (theirs.primary_stem_name, theirs.secondary_stem_name)
    assert (ours.is_v51, ours.rate_hz) == (theirs.is_vr_51_model, theirs.model_samplerate)
    mask = np.random.default_rng(1).random((2, ours.bins + 1, 3), np.float32)
    is_voice = stem in theirs.NON_ACCOM_STEMS
    expected = spec_utils.adjust_aggr(mask.copy(), is_voice, theirs.aggressiveness)
    assert np.abs(ours.adjusted(mask) - expected).max() < 1e-6

"""A Roformer's settings are read as the library reads them."""

import pytest
from audio_separator.separator.roformer.configuration_normalizer import ConfigurationNormalizer
from audio_separator.separator.roformer.parameter_validation_error import ParameterValidationError

from processor.separation.architectures.roformer_settings import Settings, is_roformer, settings_of

BS = {"dim": 8, "depth": 1, "freqs_per_bands": [1] * 1025}
MEL = {"dim": 8, "depth": 1, "num_bands": 60}
CASES = {
    "defaults of bs": ({"model": BS}, "any.ckpt"),
    "defaults of mel": ({"model": MEL}, "any.ckpt"),
    "numbers as text": ({"model": {**BS, "stft_hop_length": "441", "num_stems": "4"}}, "any.ckpt"),
    "mel's own": (
        {"model": {**MEL, "stft_normalized": "yes", "match_input_audio_length": True}},
        "any.ckpt",
    ),
    "not for bs": ({"model": {**BS, "stft_normalized": True, "match_input_audio_length": True}}, "any.ckpt"),
    "aliases": (
        {
            "model": {
                "dim": 8,
                "depth": 1,
                "mel_bands": 60,
                "n_fft": 4096,
                "hop_length": 1024,
                "win_length": 4000,
            }
        },
        "any.ckpt",
    ),
    "normalized by its alias": ({"model": {**MEL, "normalized": "off"}}, "any.ckpt"),
    "other sections": (
        {"architecture": MEL, "inference": {"hop_length": 300, "dim_t": 8}, "audio": {"hop_length": 99}},
        "any.ckpt",
    ),
    "later sections win": ({"model": {**BS, "hop_length": 441}, "training": {"hop_length": 300}}, "any.ckpt"),
    "named type": ({"model_type": "Mel-Band-Roformer", "model": {"dim": 8, "depth": 1}}, "bs_roformer.ckpt"),
    "file's name": ({"model": {"dim": 8, "depth": 1, "stft_normalized": True}}, "MelBandRoformer.ckpt"),
    "nothing known": ({"model": {"dim": 8, "depth": 1, "stft_normalized": True}}, "roformer.ckpt"),
}


@pytest.mark.parametrize("case", CASES)
def test_settings_are_those_of_the_librarys_normalizer(case):
    configuration, filename = CASES[case]
    normal = ConfigurationNormalizer().normalize_from_file_path(configuration, filename, validate=False)
    # The library hands the last two to Mel-Band Roformers only, which have `num_bands`.
    mel_band = "num_bands" in normal
    assert settings_of(configuration, filename) == Settings(
        n_fft=normal.get("stft_n_fft", 2048),
        hop=normal.get("stft_hop_length", 512),
        win_length=normal.get("stft_win_length", 2048),
        normalized=mel_band and normal.get("stft_normalized", False),
        stems=normal.get("num_stems", 2),
        keeps_length=mel_band and normal.get("match_input_audio_length", False),
    )


CONFLICTS = {
    "bands of both": {"model": {**BS, **MEL}},
    "type and bands": {"type": "bs_roformer", "model": MEL},
    "two types": {"type": "bs_roformer", "model_type": "mel_band_roformer", "model": {"dim": 8}},
}


@pytest.mark.parametrize("case", CONFLICTS)
def test_a_configuration_of_two_families_is_refused(case):
    with pytest.raises(ParameterValidationError):
        ConfigurationNormalizer().detect_model_type(CONFLICTS[case])
    with pytest.raises(ValueError, match="that of a Mel-Band Roformer"):
        is_roformer(CONFLICTS[case], "any.ckpt")


@pytest.mark.parametrize(
    ("configuration", "filename", "expected"),
    [
        ({"model": BS}, "any.ckpt", True),
        ({"model": {"act": "gelu"}}, "any.ckpt", False),
        ({"model": {"act": "gelu"}, "is_roformer": True}, "any.ckpt", True),
        ({"model": {"act": "gelu"}}, "Some_RoFormer.ckpt", True),
        ({"type": "bs_roformer", "model": {"act": "gelu"}}, "any.ckpt", True),
    ],
)
def test_roformers_are_told_apart(configuration, filename, expected):
    assert is_roformer(configuration, filename) is expected

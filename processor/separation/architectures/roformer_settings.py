"""Reads the settings of a Roformer outside of its network from its configuration, as the library does.

The rules are those of the library's `ConfigurationNormalizer`, which cannot be imported without torch.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

CHANNELS = 2
Family = Literal["bs", "mel"]

_FLATTENED = ("model", "architecture", "params")
_PICKED = ("training", "inference")
_PICKED_KEYS = ("dim_t", "hop_length", "n_fft", "sample_rate")
_ALIASES = {
    "n_fft": "stft_n_fft",
    "hop_length": "stft_hop_length",
    "win_length": "stft_win_length",
    "normalized": "stft_normalized",
    "freq_bands": "freqs_per_bands",
    "frequency_bands": "freqs_per_bands",
    "mel_bands": "num_bands",
    "n_mels": "num_bands",
}
_MARKS: Mapping[str, Family] = {"freqs_per_bands": "bs", "num_bands": "mel"}
_TYPE_KEYS = ("model_type", "type", "architecture")
_TRUE = ("true", "1", "yes", "on")
_NAMES: Mapping[Family, tuple[str, ...]] = {
    "bs": ("bs_roformer", "bs-roformer", "bsroformer"),
    "mel": (
        "mel_band_roformer",
        "mel-band-roformer",
        "melband_roformer",
        "melband-roformer",
        "melbandroformer",
        "mel_roformer",
        "mel-roformer",
    ),
}


@dataclass(frozen=True)
class Settings:
    """The settings of a Roformer outside of its core. `keeps_length` fills the answer up to the input."""

    n_fft: int
    hop: int
    win_length: int
    normalized: bool
    stems: int
    keeps_length: bool

    @property
    def values(self) -> int:
        """The number of real values in a frame of the spectra, both channels together."""
        return 2 * CHANNELS * (self.n_fft // 2 + 1)


def settings_of(configuration: Mapping[str, Any], filename: str) -> Settings:
    """Return what the library makes of a model's configuration; `filename` is that of the model's file.

    Raises ValueError for a configuration of both families, and for a value that is no number.
    """
    found = _flat(configuration)
    # The library hands the last two to Mel-Band Roformers only.
    is_mel = (family_of(configuration) or _family_by_name(filename) or "bs") == "mel"
    return Settings(
        n_fft=_integer(found.get("stft_n_fft", 2048)),
        hop=_integer(found.get("stft_hop_length", 512)),
        win_length=_integer(found.get("stft_win_length", 2048)),
        normalized=is_mel and _truth(found.get("stft_normalized", False)),
        stems=_integer(found.get("num_stems", 2)),
        keeps_length=is_mel and bool(found.get("match_input_audio_length", False)),
    )


def is_roformer(configuration: Mapping[str, Any], filename: str) -> bool:
    """Tell whether the library takes an MDXC model for a Roformer. Raises ValueError as `family_of` does."""
    marked = configuration.get("is_roformer") or family_of(configuration)
    return bool(marked) or "roformer" in filename.lower()


def family_of(configuration: Mapping[str, Any]) -> Family | None:
    """Return the family that a configuration tells; None for none. Raises ValueError for two."""
    found = _flat(configuration)
    by_bands = {family for key, family in _MARKS.items() if key in found}
    by_type = {family for key in _TYPE_KEYS if (family := _named_family(found.get(key)))}
    if len(by_bands) > 1 or len(by_type) > 1 or (by_bands and by_type and by_bands != by_type):
        raise ValueError("its configuration is that of a BS-Roformer and that of a Mel-Band Roformer")
    return next(iter(by_bands | by_type), None)


def _named_family(value: object) -> Family | None:
    if not isinstance(value, str) or "roformer" not in value.lower():
        return None
    name = value.lower()
    return "bs" if "bs" in name else "mel" if "mel" in name else None


def _family_by_name(filename: str) -> Family | None:
    name = filename.lower()
    return next((family for family, marks in _NAMES.items() if any(mark in name for mark in marks)), None)


def _flat(configuration: Mapping[str, Any]) -> dict[str, Any]:
    """Return the configuration with the model's section at the top, and each value by its usual name."""
    found: dict[str, Any] = {}
    for key, value in configuration.items():
        if isinstance(value, Mapping) and key in _FLATTENED:
            found.update(value)
        elif isinstance(value, Mapping) and key in _PICKED:
            found.update({picked: value[picked] for picked in value if picked in _PICKED_KEYS})
        else:
            found[key] = value
    return {_ALIASES.get(key, key): value for key, value in found.items()}


def _integer(value: Any) -> int:
    return int(float(value)) if isinstance(value, str) else int(value)


def _truth(value: object) -> bool:
    return value.lower() in _TRUE if isinstance(value, str) else bool(value)

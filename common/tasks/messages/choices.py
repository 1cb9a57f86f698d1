"""What a user chooses for one song: models, stems, output and the part of the song."""

import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from common.tasks.messages.fields import MessageModel

Format = Literal["wav", "flac", "mp3", "m4a", "ogg"]
LOSSLESS: tuple[Format, ...] = ("wav", "flac")
# audio-separator 0.44 has these ways to combine the answers of several models.
Ensemble = Literal[
    "avg_wave",
    "median_wave",
    "min_wave",
    "max_wave",
    "avg_fft",
    "median_fft",
    "min_fft",
    "max_fft",
    "uvr_max_spec",
    "uvr_min_spec",
]
MAX_ENSEMBLE_MODELS = 5
MAX_STEMS = 16
SAMPLE_RATES_HZ = (8000, 11025, 16000, 22050, 24000, 32000, 44100, 48000, 88200, 96000, 176400, 192000)
BITRATES_KBPS = (96, 128, 160, 192, 224, 256, 320)
# Above these rates a format has no other; no format lacks a lower one of SAMPLE_RATES_HZ.
HIGHEST_RATES_HZ: dict[Format, int] = {"mp3": 48000, "m4a": 96000}
_LUFS = re.compile(r"lufs:(-\d{1,2}(\.\d)?)")
_LOWEST_LUFS, _HIGHEST_LUFS = -40.0, -5.0


def target_lufs(normalize: str) -> float | None:
    """Return the loudness in LUFS that `lufs:-14` asks for; None for any other text."""
    found = _LUFS.fullmatch(normalize)
    return float(found[1]) if found else None


def _normalize(given: str) -> str:
    lufs = target_lufs(given)
    if given in ("none", "peak") or (lufs is not None and _LOWEST_LUFS <= lufs <= _HIGHEST_LUFS):
        return given
    raise ValueError(f"must be none, peak, or lufs:N with N from {_LOWEST_LUFS:g} to {_HIGHEST_LUFS:g}")


def _sample_rate(given: str | int) -> str | int:
    if given == "source" or given in SAMPLE_RATES_HZ:
        return given
    raise ValueError(f"must be source, or one of {', '.join(map(str, SAMPLE_RATES_HZ))}")


def _bitrate(given: int) -> int:
    if given in BITRATES_KBPS:
        return given
    raise ValueError(f"must be one of {', '.join(map(str, BITRATES_KBPS))}")


ModelName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._ ()&+-]*$", max_length=200)]
PresetName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]*$", max_length=64)]
StemName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9_-]+$", max_length=64)]
SampleRate = Annotated[Literal["source"] | Annotated[int, Field(strict=True)], AfterValidator(_sample_rate)]
Seconds = Annotated[float, Field(strict=True, le=1e6)]


class Output(MessageModel):
    """How the stems are written. None: the operator's default, or the format's.

    `bit_depth` 32 is float, neither clipped nor scaled. `sample_rate` is in Hz; `source` is the song's own.
    `normalize` is `none`, `peak` or `lufs:N`. `tags` `keep` copies the song's tags and cover.
    """

    format: Format | None = None
    bit_depth: Literal[16, 24, 32] | None = None
    sample_rate: SampleRate | None = None
    bitrate_kbps: Annotated[int, Field(strict=True), AfterValidator(_bitrate)] | None = None
    normalize: Annotated[str, AfterValidator(_normalize)] | None = None
    tags: Literal["keep", "none"] | None = None

    @model_validator(mode="after")
    def _fits_format(self) -> Self:
        lossless = self.format in (None, *LOSSLESS)
        if self.bitrate_kbps is not None and (self.format is None or lossless):
            raise ValueError("bitrate_kbps goes with the formats mp3, m4a and ogg: name one of them")
        if self.bit_depth is not None and not lossless:
            raise ValueError(f"bit_depth goes with the formats wav and flac, not with {self.format}")
        highest_hz = HIGHEST_RATES_HZ.get(self.format or "wav")
        if highest_hz and isinstance(self.sample_rate, int) and self.sample_rate > highest_hz:
            raise ValueError(
                f"{self.format} has no sample rate above {highest_hz} Hz: choose a lower one, or source"
            )
        if self.bit_depth == 32 and self.format == "flac":
            raise ValueError("bit_depth 32 goes with the format wav: flac has 16 and 24 bits")
        if self.bit_depth == 32 and self.normalize not in (None, "none"):
            raise ValueError("normalize goes with bit_depth 16 and 24: 32-bit stems are never scaled")
        return self


class Choices(MessageModel):
    """What the user chose; a field of None leaves the choice to the operator's settings.

    `preset`, `model` or `models` with `ensemble` say what separates. `stems` are the stems that the user
    wants. `start_s` and `duration_s` name the part of the song, in seconds.
    """

    preset: PresetName | None = None
    model: ModelName | None = None
    models: Annotated[tuple[ModelName, ...], Field(min_length=2, max_length=MAX_ENSEMBLE_MODELS)] | None = (
        None
    )
    ensemble: Ensemble | None = None
    weights: (
        Annotated[
            tuple[Annotated[float, Field(strict=True, gt=0, le=1000)], ...],
            Field(min_length=2, max_length=MAX_ENSEMBLE_MODELS),
        ]
        | None
    ) = None
    stems: Annotated[tuple[StemName, ...], Field(min_length=1, max_length=MAX_STEMS)] | None = None
    output: Output | None = None
    start_s: Annotated[Seconds, Field(ge=0)] | None = None
    duration_s: Annotated[Seconds, Field(gt=0)] | None = None

    @model_validator(mode="after")
    def _agree(self) -> Self:
        given = [name for name in ("preset", "model", "models") if getattr(self, name) is not None]
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)} cannot be given together: choose one")
        if self.ensemble is not None and self.models is None:
            raise ValueError("ensemble goes with models: name at least two")
        if self.weights is not None and (self.models is None or len(self.weights) != len(self.models)):
            raise ValueError("weights go with models: give one for each")
        for name in ("models", "stems"):
            values = getattr(self, name) or ()
            if len(set(values)) != len(values):
                raise ValueError(f"{name} names one of them twice")
        return self

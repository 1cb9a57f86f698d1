"""Holds what a user chooses for one song: models, stems, output and the part of the song."""

import re
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, ConfigDict, Field, StringConstraints, WithJsonSchema, model_validator

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
_MODEL_FILES = (".onnx", ".pth", ".ckpt", ".yaml", ".safetensors")
_LUFS = re.compile(r"lufs:(-\d{1,2}(\.\d)?)")
_LOWEST_LUFS, _HIGHEST_LUFS = -40.0, -5.0


def target_lufs(normalize: str) -> float | None:
    """Return the loudness in LUFS that `lufs:-14` asks for; None for any other text."""
    found = _LUFS.fullmatch(normalize)
    return float(found[1]) if found else None


def _normalize(given: object) -> object:
    lufs = target_lufs(given) if isinstance(given, str) else None
    if given in (None, "none", "peak") or (lufs is not None and _LOWEST_LUFS <= lufs <= _HIGHEST_LUFS):
        return given
    raise ValueError(f"must be none, peak, or lufs:N with N from {_LOWEST_LUFS:g} to {_HIGHEST_LUFS:g}")


# The numbers are compared with their type: JSON's 44100.0 is no sample rate.
def _sample_rate(given: object) -> object:
    if given in (None, "source") or (type(given) is int and given in SAMPLE_RATES_HZ):
        return given
    raise ValueError(f"must be source, or one of {', '.join(map(str, SAMPLE_RATES_HZ))}")


def _bitrate(given: object) -> object:
    if given is None or (type(given) is int and given in BITRATES_KBPS):
        return given
    raise ValueError(f"must be one of {', '.join(map(str, BITRATES_KBPS))}")


def bare_model_name(name: str) -> str:
    """Return the name without the extension of a model's file: users may leave it out."""
    return next((name.removesuffix(end) for end in _MODEL_FILES if name.endswith(end)), name)


ModelName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._ ()&+-]*$", max_length=200)]
PresetName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]*$", max_length=64)]
StemName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9_-]+$", max_length=64)]
SampleRate = Annotated[
    Literal["source"] | int,
    WithJsonSchema({"enum": ["source", *SAMPLE_RATES_HZ]}),
    BeforeValidator(_sample_rate),
]
BitRate = Annotated[int, WithJsonSchema({"enum": [*BITRATES_KBPS]}), BeforeValidator(_bitrate)]
Normalize = Annotated[
    str,
    WithJsonSchema({"type": "string", "pattern": r"^(none|peak|lufs:-(([5-9]|[1-3][0-9])(\.[0-9])?|40))$"}),
    BeforeValidator(_normalize),
]
Seconds = Annotated[float, Field(strict=True, le=1e6)]


class Output(MessageModel):
    """Says how the stems are written. None: the operator's default, or the format's.

    `bit_depth` 32 is float, neither clipped nor scaled. `sample_rate` is in Hz; `source` is the song's own.
    `normalize` is `none`, `peak` or `lufs:N`. `tags` `keep` copies the song's tags and cover.
    """

    # For the OpenAPI document, here and below: further fields are accepted.
    model_config = ConfigDict(json_schema_extra={"additionalProperties": True})

    format: Format | None = None
    bit_depth: Literal[16, 24, 32] | None = Field(
        default=None, description="of wav and flac; 32 is float, wav only"
    )
    sample_rate: SampleRate | None = Field(
        default=None, description="in Hz; source: the song's own rate and samples"
    )
    bitrate_kbps: BitRate | None = Field(default=None, description="of mp3, m4a and ogg")
    normalize: Normalize | None = Field(
        default=None,
        description="one factor for all stems: peak, or a loudness in LUFS",
        examples=["lufs:-14"],
    )
    tags: Literal["keep", "none"] | None = Field(
        default=None, description="keep: the stems get the song's text tags, and its cover of at most 2 MB"
    )

    # Each message begins with the name of a field: the api puts the object's path before it.
    @model_validator(mode="after")
    def _fits_format(self) -> Self:
        lossless = self.format in (None, *LOSSLESS)
        if self.bitrate_kbps is not None and (self.format is None or lossless):
            raise ValueError("bitrate_kbps goes with the formats mp3, m4a and ogg: name one of them")
        if self.bit_depth is not None and not lossless:
            raise ValueError(f"bit_depth goes with the formats wav and flac, not with {self.format}")
        highest_hz = HIGHEST_RATES_HZ.get(self.format or "wav")
        if highest_hz and isinstance(self.sample_rate, int) and self.sample_rate > highest_hz:
            had = f"{self.format} has no sample rate above {highest_hz} Hz"
            raise ValueError(f"sample_rate is too high: {had}; choose a lower one, or source")
        if self.bit_depth == 32 and self.format == "flac":
            raise ValueError("bit_depth 32 goes with the format wav: flac has 16 and 24 bits")
        if self.bit_depth == 32 and self.normalize not in (None, "none"):
            raise ValueError("normalize goes with bit_depth 16 and 24: 32-bit stems are never scaled")
        return self


class Choices(MessageModel):
    """Says what the user chose; a field of None leaves the choice to the operator's settings.

    `preset`, `model` or `models` with `ensemble` say what separates. `stems` are the stems that the user
    wants. `start_s` and `duration_s` name the part of the song, in seconds.
    """

    preset: PresetName | None = Field(default=None, description="one of `GET /presets`", examples=["best"])
    model: ModelName | None = Field(
        default=None, description="one of `GET /models`", examples=["UVR-MDX-NET-Inst_HQ_4"]
    )
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

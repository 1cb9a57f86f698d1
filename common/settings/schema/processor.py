"""The settings of a processor."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AliasChoices, Field, FilePath, field_validator, model_validator

from common.settings.schema.uploads import UploadSettings
from common.settings.schema.worker import PROCESSOR_GROUP_ID, WorkerSettings
from common.settings.types import MODEL_NAME, ModelNames, Port, Positive, PositiveFloat, Slots, split


class ProcessorSettings(WorkerSettings, UploadSettings):
    """The settings of a processor's process."""

    kafka_group_id: str = Field(
        PROCESSOR_GROUP_ID, validation_alias=AliasChoices("KAFKA_PROCESSOR_GROUP_ID", "kafka_group_id")
    )
    """The processors' consumer group."""
    kafka_max_poll_interval_ms: Positive = Field(
        600000,
        validation_alias=AliasChoices("KAFKA_PROCESSOR_MAX_POLL_INTERVAL_MS", "kafka_max_poll_interval_ms"),
    )
    """How long the worker may go without a poll, in milliseconds. Jobs may take longer."""
    slots: Slots = Field(2, validation_alias=AliasChoices("PROCESSOR_SLOTS", "slots"))
    """How many jobs work at once. The engine separates one of them at a time."""
    download_slots: Slots | None = None
    """How many slow downloads run beside those jobs. Unset: 4 times DOWNLOAD_SLOTS_PER_USER."""
    download_slots_per_user: Slots | None = None
    """How many of them are for one user's tasks. Unset: PROCESSOR_SLOTS, but at least 2."""
    health_port: Port = 8001

    model_name: str = Field("UVR-MDX-NET-Inst_HQ_4", pattern=MODEL_NAME)
    """The model that separates: a name of audio-separator's catalogue, or spleeter-2stems."""
    models: ModelNames = ()
    """Further models that tasks may name, with commas between them."""
    engine_models: Slots = 2
    """How many models stay loaded at once. The one that was used least recently makes room."""
    presets_file: FilePath | None = None
    """A TOML file of presets beside the product's own."""
    model_file_dir: Path = Path("models")
    """The directory of the models' files. A missing model is fetched into it at the start."""
    temp_dir: Path = Path("temp")
    """The directory of songs and stems in progress."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """The device that separates. auto takes a GPU if there is one that works."""
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """The precision of the networks. auto takes a faster one where a known song's stems hardly change."""
    output_format: Literal["wav", "flac", "mp3", "m4a", "ogg"] = "wav"
    """The format of the stems where a request names none. m4a is AAC, and ogg is Vorbis."""
    max_audio_duration_s: PositiveFloat = 4 * 3600.0
    """The longest song, in seconds."""
    max_audio_channels: Positive = 8
    """The most channels that a song may have."""
    download_deadline_s: PositiveFloat = 3600.0
    """How long a download may take in all, in seconds."""
    min_download_bytes_per_s: Annotated[int, Field(ge=0)] = 8192
    """A download slower than this over a whole minute is ended and tried again later. 0 allows any rate."""
    result_cache_s: Annotated[int, Field(ge=0)] = 0
    """How long a user's stems serve for the same song with the same choices, in seconds. 0: not at all."""
    engine_max_jobs: Positive = 200
    """After how many jobs the engine's process is replaced."""
    engine_job_timeout_s: PositiveFloat = 4 * 3600.0
    """How long the engine may take for one song, in seconds."""

    @model_validator(mode="after")
    def _stage_has_a_bucket(self) -> Self:
        if self.stage == "s3" and self.s3_bucket_name is None:
            raise ValueError("S3_BUCKET_NAME: expected the bucket's name, since STAGE=s3 needs one")
        return self

    @field_validator("models", mode="before")
    @classmethod
    def _names(cls, value: object) -> object:
        return split(value)

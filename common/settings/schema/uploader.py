"""The settings of an uploader."""

from pathlib import Path
from typing import Annotated, Self

from pydantic import AliasChoices, Field, SecretStr, model_validator

from common.settings.schema.store import BUCKET_NAME
from common.settings.schema.uploads import UploadSettings
from common.settings.schema.worker import UPLOADER_GROUP_ID, WorkerSettings
from common.settings.types import Port, Positive, PositiveFloat, Slots


class UploaderSettings(WorkerSettings, UploadSettings):
    """The settings of an uploader's process."""

    kafka_group_id: str = Field(
        UPLOADER_GROUP_ID, validation_alias=AliasChoices("KAFKA_UPLOADER_GROUP_ID", "kafka_group_id")
    )
    """The uploaders' consumer group."""
    kafka_max_poll_interval_ms: Positive = Field(
        300000,
        validation_alias=AliasChoices("KAFKA_UPLOADER_MAX_POLL_INTERVAL_MS", "kafka_max_poll_interval_ms"),
    )
    """How long the worker may go without a poll, in milliseconds. Jobs may take longer."""
    slots: Slots = Field(4, validation_alias=AliasChoices("UPLOADER_SLOTS", "slots"))
    """How many jobs work at once."""
    health_port: Port = 8002

    s3_bucket_name: str = Field(pattern=BUCKET_NAME)
    """The bucket, which must exist. An uploader does not start without one."""
    webhook_secret: SecretStr | None = None
    """The secret that signs callbacks. Unset, callbacks are not signed."""
    webhook_secret_file: Path | None = None
    """A file with that secret, in place of WEBHOOK_SECRET."""
    webhook_signing_key: SecretStr | None = None
    """The Ed25519 key that signs callbacks besides, whsk_…. Unset, they have no v1a signature."""
    webhook_signing_key_file: Path | None = None
    """A file with that key, in place of WEBHOOK_SIGNING_KEY."""
    callback_timeout_s: PositiveFloat = 30.0
    """How long one try of a callback may take, in seconds."""
    callback_retries: Annotated[int, Field(ge=0)] = 26
    """How often a callback is tried again after its first try."""
    callback_slots: Slots | None = None
    """How many callbacks are sent at once, beside the uploads. Unset: 4 times CALLBACK_SLOTS_PER_USER."""
    callback_slots_per_user: Slots | None = None
    """How many of them are one user's. Unset: twice CALLBACK_SLOTS_PER_HOST."""
    callback_slots_per_host: Slots | None = None
    """How many of one user's go to the same host and port. Unset: UPLOADER_SLOTS."""
    result_retention_s: Annotated[int, Field(ge=0)] = 0
    """How long stems are kept after their task has ended, in seconds. 0: until somebody deletes them."""
    stage_retention_s: Positive = 8 * 24 * 3600
    """How long staged stems wait for an uploader, in seconds. Until then a replay may still need them."""

    @model_validator(mode="after")
    def _waiting_stems_are_kept(self) -> Self:
        if self.stage_retention_s * 1000 < self.kafka_retention_ms:
            raise ValueError(
                "STAGE_RETENTION_S: expected at least KAFKA_RETENTION_MS, or results outlive their stems"
            )
        return self

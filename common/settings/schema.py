"""Every setting, validated, and frozen. Each is read from the environment variable of its name."""

import os
import socket
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AliasChoices, Field, FilePath, IPvAnyAddress, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from common.settings.secrets import with_secrets_from_files
from common.settings.types import (
    Authorities,
    Delays,
    Names,
    Origins,
    Ports,
    Positive,
    PositiveFloat,
    Slots,
    checked_hosts,
    checked_origins,
    split,
)

PROCESSOR_GROUP_ID = "uvr_processor_group"
UPLOADER_GROUP_ID = "uvr_uploader_group"
_BUCKET = r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$"


class _Settings(BaseSettings):
    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True)

    log_dir: Path = Path("logs")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    log_format: Literal["text", "json"] = "text"

    @model_validator(mode="before")
    @classmethod
    def _secrets_from_files(cls, values):
        return with_secrets_from_files(cls.model_fields, values)


class KafkaSettings(_Settings):
    """How to reach Kafka, and what its topics look like when we create them."""

    kafka_bootstrap_servers: str = Field("localhost:9092", pattern=r"^[^\s,]+:\d+(,[^\s,]+:\d+)*$")
    kafka_task_topic: str = "uvr_tasks"
    kafka_result_topic: str = "uvr_results"
    kafka_dead_letter_topic: str = "uvr_dead_letters"
    kafka_delivery_topic: str = "uvr_deliveries"
    kafka_status_topic: str = "uvr_status"
    kafka_control_topic: str = "uvr_control"
    kafka_topic_partitions: Positive = 12
    kafka_replication_factor: Annotated[int, Field(ge=1)] | None = None
    kafka_retention_ms: Positive = 7 * 24 * 3600 * 1000
    # each has its retry topics, so that a change leaves the old ones to be emptied by running workers
    retry_delays_s: Delays = (30, 300, 3600)

    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None = None
    kafka_sasl_username: str | None = None
    kafka_sasl_password: SecretStr | None = None
    kafka_sasl_password_file: Path | None = None
    kafka_ssl_cafile: FilePath | None = None
    kafka_ssl_certfile: FilePath | None = None
    kafka_ssl_keyfile: FilePath | None = None
    kafka_ssl_check_hostname: bool = True

    _split_delays = field_validator("retry_delays_s", mode="before")(split)

    @field_validator("retry_delays_s")
    @classmethod
    def _ascending(cls, value):
        if list(value) != sorted(set(value)):
            raise ValueError("expected ascending numbers of seconds, such as 30,300,3600")
        return value

    @model_validator(mode="after")
    def _waiting_records_are_kept(self) -> Self:
        # A topic's records go when they are older than that, whether they have been due or not.
        if self.retry_delays_s[-1] * 1000 >= self.kafka_retention_ms:
            raise ValueError("RETRY_DELAYS_S: expected delays that are shorter than KAFKA_RETENTION_MS")
        return self

    @model_validator(mode="after")
    def _sign_in_is_whole(self) -> Self:
        if self.kafka_security_protocol.startswith("SASL"):
            for name in ("kafka_sasl_mechanism", "kafka_sasl_username", "kafka_sasl_password"):
                if getattr(self, name) is None:
                    raise ValueError(f"{name.upper()} is not set, and KAFKA_SECURITY_PROTOCOL needs it")
        return self


class AddressSettings(_Settings):
    """Which addresses users may name."""

    allowed_url_ports: Ports = (80, 443, 8080, 8443)
    trusted_url_prefixes: Origins = ()

    _split = field_validator("allowed_url_ports", "trusted_url_prefixes", mode="before")(split)
    _origins = field_validator("trusted_url_prefixes")(checked_origins)


class StoreSettings(_Settings):
    """The bucket, and how links to what is in it are made."""

    aws_access_key_id: str | None = None
    aws_secret_access_key: SecretStr | None = None
    aws_secret_access_key_file: Path | None = None
    aws_region: str = "us-east-1"
    s3_bucket_name: str | None = Field(None, pattern=_BUCKET)
    s3_endpoint_url: str | None = Field(None, pattern=r"^https?://[^/\s]+/?$")
    s3_presign_endpoint_url: str | None = Field(None, pattern=r"^https?://[^/\s]+/?$")
    s3_public_domain: str | None = Field(
        None, pattern=r"^(https?://)?[A-Za-z0-9.-]+(:\d{1,5})?(/[A-Za-z0-9/._~%-]*)?$"
    )
    s3_addressing_style: Literal["auto", "path", "virtual"] = "auto"
    s3_url_expires_s: Annotated[int, Field(gt=0, le=7 * 24 * 3600)] = 7 * 24 * 3600

    @model_validator(mode="after")
    def _keys_are_a_pair(self) -> Self:
        if (self.aws_access_key_id is None) != (self.aws_secret_access_key is None):
            raise ValueError(
                "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY: expected both, or neither for the "
                "credentials that boto3 finds by itself"
            )
        return self


class ApiSettings(KafkaSettings, AddressSettings, StoreSettings):
    basic_auth_username: str = "admin"
    basic_auth_password: SecretStr = SecretStr("password")
    basic_auth_password_file: Path | None = None
    # more users, see api/users
    basic_auth_users_file: Path | None = None
    # they see and steer everybody's tasks
    admin_usernames: Names = ()
    api_docs: bool = True
    api_metrics: bool = True
    api_host: str = "127.0.0.1"
    api_port: Annotated[int, Field(ge=0, le=65535)] = 8000
    # docker compose: the host's address that a container's port is published on
    api_published_host: IPvAnyAddress | None = None
    kafka_ack_timeout_s: Annotated[float, Field(ge=1)] = 10.0
    max_body_bytes: Positive = 64 * 1024
    max_connections: Positive = 4000
    # not of the proxies in FORWARDED_ALLOW_IPS, which have everybody's
    max_connections_per_address: Positive = 1200
    auth_failures_per_minute: Positive = 20
    # by one user; of one task see api/redelivery
    redeliveries_per_minute: Positive = 60
    # 0: as many as come
    max_queued_tasks: Annotated[int, Field(ge=0)] = 0
    max_queued_tasks_per_user: Annotated[int, Field(ge=0)] = 0
    # the proxies whose X-Forwarded-For is believed, as uvicorn takes them; with none it is ignored
    forwarded_allow_ips: str = ""
    # the names that the api may be asked by; none: on loopback localhost alone, else every name
    allowed_hosts: Names = ()
    # pages of these origins may use the api
    cors_origins: Origins = ()
    # what is known of tasks; each api has its own, and may lose it
    view_file: Path = Path("temp/view.sqlite3")

    _split_lists = field_validator("admin_usernames", "allowed_hosts", "cors_origins", mode="before")(split)
    _hosts = field_validator("allowed_hosts")(checked_hosts)
    _cors_origins = field_validator("cors_origins")(checked_origins)

    @field_validator("api_published_host", mode="before")
    @classmethod
    def _without_brackets(cls, value):
        # docker compose wants an IPv6 address in brackets
        return value.removeprefix("[").removesuffix("]") if isinstance(value, str) else value

    @field_validator("basic_auth_username", "basic_auth_password")
    @classmethod
    def _ascii(cls, value):
        text = value.get_secret_value() if isinstance(value, SecretStr) else value
        if not text or not text.isascii() or not text.isprintable():
            raise ValueError("expected printable ASCII, not empty")
        return value

    @model_validator(mode="before")
    @classmethod
    def _empty_is_not_default(cls, values):
        # Elsewhere an empty variable counts as unset; here that would mean the well-known default.
        for name in ("BASIC_AUTH_USERNAME", "BASIC_AUTH_PASSWORD"):
            if os.environ.get(name) == "":
                raise ValueError(f"{name} is empty: expected printable ASCII")
        return values

    @field_validator("basic_auth_username")
    @classmethod
    def _no_colon(cls, value):
        if ":" in value:
            raise ValueError("expected no colon: HTTP Basic ends the name at the first one")
        return value


class TransactionSettings(KafkaSettings):
    """For whoever writes in transactions."""

    kafka_transaction_timeout_ms: Annotated[int, Field(ge=1000)] = 5000


class CommandSettings(TransactionSettings):
    """What the commands beside the services read, whichever service's environment they get.

    The slots are here so that a value that no worker starts with is told by the commands as well.
    """

    kafka_processor_group_id: str = PROCESSOR_GROUP_ID
    kafka_uploader_group_id: str = UPLOADER_GROUP_ID
    processor_slots: Slots = 2
    uploader_slots: Slots = 4


class WorkerSettings(TransactionSettings, AddressSettings):
    """What both consumers share."""

    worker_id: str = Field(
        default_factory=socket.gethostname, pattern=r"^[A-Za-z0-9_-][A-Za-z0-9._-]{0,199}$"
    )
    kafka_session_timeout_ms: Annotated[int, Field(ge=6000)] = 15000
    shutdown_grace_s: Annotated[float, Field(ge=0)] = 30.0
    keep_membership: bool = False
    # how long a running job may keep its partition that another worker is to have; 0: not at all
    drain_on_rebalance_s: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 3600.0
    max_attempts: Positive = 3
    health_host: str = "127.0.0.1"
    # of song hosts and receivers, beside the public ones
    outbound_ca_file: Authorities | None = None
    output_dir: Path = Path("outputs")


class ProcessorSettings(WorkerSettings):
    kafka_group_id: str = Field(
        PROCESSOR_GROUP_ID, validation_alias=AliasChoices("KAFKA_PROCESSOR_GROUP_ID", "kafka_group_id")
    )
    kafka_max_poll_interval_ms: Positive = Field(
        600000,
        validation_alias=AliasChoices("KAFKA_PROCESSOR_MAX_POLL_INTERVAL_MS", "kafka_max_poll_interval_ms"),
    )
    slots: Slots = Field(2, validation_alias=AliasChoices("PROCESSOR_SLOTS", "slots"))
    # downloads at once, beside what is separated; those that are not set follow from `slots`
    download_slots: Slots | None = None
    download_slots_per_user: Slots | None = None
    health_port: Annotated[int, Field(ge=0, le=65535)] = 8001

    model_name: str = Field("UVR-MDX-NET-Inst_HQ_4", pattern=r"^[A-Za-z0-9][A-Za-z0-9._ ()&+-]*$")
    model_file_dir: Path = Path("models")
    temp_dir: Path = Path("temp")
    device: Literal["auto", "cpu", "cuda"] = "auto"
    output_format: Literal["wav", "flac", "mp3"] = "wav"
    max_audio_bytes: Positive = 2 * 1024**3
    max_audio_duration_s: PositiveFloat = 4 * 3600.0
    max_audio_channels: Positive = 8
    download_deadline_s: PositiveFloat = 3600.0
    # over each minute; 0: any rate
    min_download_bytes_per_s: Annotated[int, Field(ge=0)] = 8192
    engine_max_jobs: Positive = 200
    engine_job_timeout_s: PositiveFloat = 4 * 3600.0


class UploaderSettings(WorkerSettings, StoreSettings):
    kafka_group_id: str = Field(
        UPLOADER_GROUP_ID, validation_alias=AliasChoices("KAFKA_UPLOADER_GROUP_ID", "kafka_group_id")
    )
    kafka_max_poll_interval_ms: Positive = Field(
        300000,
        validation_alias=AliasChoices("KAFKA_UPLOADER_MAX_POLL_INTERVAL_MS", "kafka_max_poll_interval_ms"),
    )
    slots: Slots = Field(4, validation_alias=AliasChoices("UPLOADER_SLOTS", "slots"))
    health_port: Annotated[int, Field(ge=0, le=65535)] = 8002

    s3_bucket_name: str = Field(pattern=_BUCKET)
    s3_prefix: str = Field("", pattern=r"^([A-Za-z0-9!_.*'()-]+/)*$")
    webhook_secret: SecretStr | None = None
    webhook_secret_file: Path | None = None
    callback_timeout_s: PositiveFloat = 30.0
    callback_retries: Annotated[int, Field(ge=0)] = 26
    # callbacks at once, beside the uploads; those that are not set follow from `slots`
    callback_slots: Slots | None = None
    callback_slots_per_user: Slots | None = None
    callback_slots_per_host: Slots | None = None
    # longer than the topics are kept: until then a result, or a replay of it, may still want its stems
    stage_retention_s: Positive = 8 * 24 * 3600

    @model_validator(mode="after")
    def _waiting_stems_are_kept(self) -> Self:
        if self.stage_retention_s * 1000 < self.kafka_retention_ms:
            raise ValueError(
                "STAGE_RETENTION_S: expected at least KAFKA_RETENTION_MS, or stems go that a result names"
            )
        return self

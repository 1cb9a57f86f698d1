"""The settings of whoever talks to Kafka."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, FilePath, SecretStr, field_validator, model_validator

from common.settings.schema.base import CommonSettings
from common.settings.types import Delays, Positive, Topic, split


class KafkaSettings(CommonSettings):
    """The way to Kafka, the topics, and the properties of topics that are missing and created."""

    kafka_bootstrap_servers: str = Field("localhost:9092", pattern=r"^[^\s,]+:\d+(,[^\s,]+:\d+)*$")
    """Brokers as host:port, with commas between them. One that answers is enough to find the others."""
    kafka_task_topic: Topic = "uvr_tasks"
    """The topic of submitted tasks, read by processors. Those of other priorities are named after it."""
    kafka_result_topic: Topic = "uvr_results"
    """The topic of results and redeliveries, read by uploaders."""
    kafka_dead_letter_topic: Topic = "uvr_dead_letters"
    """The topic of records that were given up."""
    kafka_delivery_topic: Topic = "uvr_deliveries"
    """The topic with one record for each try of a callback."""
    kafka_status_topic: Topic = "uvr_status"
    """The topic of the tasks' statuses, compacted."""
    kafka_control_topic: Topic = "uvr_control"
    """The topic of cancels and of the uploaders' stages, compacted."""
    kafka_models_topic: Topic = "uvr_models"
    """The topic in which processors announce their models, compacted."""
    kafka_batch_topic: Topic = "uvr_batches"
    """The topic of batches, compacted."""
    kafka_topic_partitions: Positive = 12
    """How many partitions a new topic gets."""
    kafka_replication_factor: Annotated[int, Field(ge=1)] | None = None
    """How many brokers keep a copy of a new topic. Unset, the broker's own default decides."""
    kafka_retention_ms: Positive = 7 * 24 * 3600 * 1000
    """How long a new topic keeps its records, in milliseconds."""
    retry_delays_s: Delays = (30, 300, 3600)
    """Seconds to wait before each retry of a temporary error, ascending.

    Each delay has retry topics of its own. After a change, running workers still empty the old ones.
    """

    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    """Whether connections to Kafka use TLS (SSL), a sign-in (SASL), both or neither."""
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None = None
    """How to sign in. Needed with a SASL protocol."""
    kafka_sasl_username: str | None = None
    """The user who signs in. Needed with a SASL protocol."""
    kafka_sasl_password: SecretStr | None = None
    """The user's password. Needed with a SASL protocol."""
    kafka_sasl_password_file: Path | None = None
    """A file with that password, in place of KAFKA_SASL_PASSWORD."""
    kafka_ssl_cafile: FilePath | None = None
    """Certificate authorities of the brokers, in PEM format. Unset, the system's count."""
    kafka_ssl_certfile: FilePath | None = None
    """The client's certificate, in PEM format, where the brokers ask for one."""
    kafka_ssl_keyfile: FilePath | None = None
    """The private key of the client's certificate, in PEM format."""
    kafka_ssl_check_hostname: bool = True
    """Whether a broker's certificate must be for the name by which it was reached."""

    _split_delays = field_validator("retry_delays_s", mode="before")(split)

    @field_validator("retry_delays_s")
    @classmethod
    def _ascending(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if list(value) != sorted(set(value)):
            raise ValueError("expected ascending numbers of seconds, such as 30,300,3600")
        return value

    @model_validator(mode="after")
    def _waiting_records_are_kept(self) -> Self:
        # Kafka removes a record after the retention time, even if its retry is not due yet.
        if self.retry_delays_s[-1] * 1000 >= self.kafka_retention_ms:
            raise ValueError("RETRY_DELAYS_S: expected delays that are shorter than KAFKA_RETENTION_MS")
        return self

    @model_validator(mode="after")
    def _topics_differ(self) -> Self:
        topics = {name: topic for name, topic in self if name.endswith("_topic")}
        for topic in topics.values():
            same = [name.upper() for name, other in topics.items() if other == topic]
            if len(same) > 1:
                raise ValueError(f"{' and '.join(same)} are both {topic}: name a topic of its own for each")
        return self

    @model_validator(mode="after")
    def _sign_in_is_whole(self) -> Self:
        if self.kafka_security_protocol.startswith("SASL"):
            for name in ("kafka_sasl_mechanism", "kafka_sasl_username", "kafka_sasl_password"):
                if getattr(self, name) is None:
                    raise ValueError(f"{name.upper()} is not set, and KAFKA_SECURITY_PROTOCOL needs it")
        return self


class TransactionSettings(KafkaSettings):
    """The settings of whoever writes in transactions: the workers, and the replay of dead letters."""

    kafka_transaction_timeout_ms: Annotated[int, Field(ge=1000)] = 5000
    """How long the broker lets a transaction stay open before it ends it, in milliseconds."""

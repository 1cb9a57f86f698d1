"""What the uploader's jobs need of its settings."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from common.jobs.retry import RetryPolicy
from common.settings.schema import UploaderSettings


@dataclass(frozen=True)
class UploaderConfig:
    result_topic: str
    dead_letter_topic: str
    delivery_topic: str
    retries: RetryPolicy
    callback_retries: int
    s3_prefix: str
    webhook_secrets: Sequence[str]
    callback_timeout_s: float

    @classmethod
    def from_settings(cls, settings: UploaderSettings, webhook_secrets: Sequence[str]) -> Self:
        return cls(
            settings.kafka_result_topic,
            settings.kafka_dead_letter_topic,
            settings.kafka_delivery_topic,
            RetryPolicy(settings.kafka_result_topic, settings.retry_delays_s),
            settings.callback_retries,
            settings.s3_prefix,
            webhook_secrets,
            settings.callback_timeout_s,
        )

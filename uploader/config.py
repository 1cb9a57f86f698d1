"""Holds the settings that the uploader's jobs need."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from common.settings.schema import UploaderSettings


@dataclass(frozen=True)
class UploaderConfig:
    """`job_retries` and `callback_retries` are numbers; `callback_timeout_s` is for a POST altogether."""

    result_topic: str
    delivery_topic: str
    job_retries: int
    callback_retries: int
    s3_prefix: str
    webhook_secrets: Sequence[str]
    callback_timeout_s: float
    task_topic: str = "uvr_tasks"

    @classmethod
    def from_settings(cls, settings: UploaderSettings, webhook_secrets: Sequence[str]) -> Self:
        return cls(
            settings.kafka_result_topic,
            settings.kafka_delivery_topic,
            len(settings.retry_delays_s),
            settings.callback_retries,
            settings.s3_prefix,
            webhook_secrets,
            settings.callback_timeout_s,
            settings.kafka_task_topic,
        )

"""Every setting, validated and frozen: a file for each service and concern."""

from common.settings.schema.addresses import AddressSettings
from common.settings.schema.api import ApiSettings
from common.settings.schema.command import CommandSettings
from common.settings.schema.kafka import KafkaSettings, TransactionSettings
from common.settings.schema.processor import ProcessorSettings
from common.settings.schema.store import StoreSettings
from common.settings.schema.uploader import UploaderSettings
from common.settings.schema.worker import WorkerSettings

__all__ = [
    "AddressSettings",
    "ApiSettings",
    "CommandSettings",
    "KafkaSettings",
    "ProcessorSettings",
    "StoreSettings",
    "TransactionSettings",
    "UploaderSettings",
    "WorkerSettings",
]

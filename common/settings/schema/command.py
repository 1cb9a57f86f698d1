"""The settings of the commands beside the services."""

from common.settings.schema.kafka import TransactionSettings
from common.settings.schema.worker import PROCESSOR_GROUP_ID, UPLOADER_GROUP_ID
from common.settings.types import Slots


class CommandSettings(TransactionSettings):
    """The settings of `common.lag` and `common.deadletter`, which run in any service's environment.

    The slots are read only to refuse, as a worker would, a value that no worker starts with.
    """

    kafka_processor_group_id: str = PROCESSOR_GROUP_ID
    """The processors' consumer group."""
    kafka_uploader_group_id: str = UPLOADER_GROUP_ID
    """The uploaders' consumer group."""
    processor_slots: Slots = 2
    """How many jobs work at once in a processor."""
    uploader_slots: Slots = 4
    """How many jobs work at once in an uploader."""

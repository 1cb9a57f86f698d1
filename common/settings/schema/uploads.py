"""The settings of whoever takes, reads or removes uploaded songs."""

from common.settings.schema.store import StoreSettings
from common.settings.types import Positive


class UploadSettings(StoreSettings):
    """The bucket, and the limits of the songs that users upload to it."""

    max_audio_bytes: Positive = 2 * 1024**3
    """The largest song file, in bytes."""
    upload_retention_s: Positive = 24 * 3600
    """How long an upload is kept after its last task has ended, or if no task uses it, in seconds."""

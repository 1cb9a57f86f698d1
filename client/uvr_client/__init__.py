"""A client of UVR API: `UvrClient` for programs, the command `uvr` for people and scripts.

The client is installed alone, so it imports nothing from the services' packages.
"""

from uvr_client.batch_models import Batch, BatchCallback, BatchItem, BatchSubmission
from uvr_client.choices import Choices
from uvr_client.client import UvrClient
from uvr_client.errors import (
    BadRequest,
    Conflict,
    DownloadFailed,
    NoResult,
    NotFound,
    RequestError,
    ServerError,
    StemMismatch,
    StemsDeleted,
    TooManyRequests,
    Unauthorized,
    Unavailable,
    Unreachable,
    UploadFailed,
    UvrError,
    WaitTimeout,
    WebhookError,
    WebhookExpired,
    WebhookForged,
    WebhookKeyInvalid,
    WebhookMalformed,
)
from uvr_client.models import (
    DayUsage,
    Delivery,
    Result,
    Space,
    State,
    Stem,
    Submission,
    Task,
    TaskEvent,
    UserUsage,
)
from uvr_client.offers import OfferedModel, OfferedPreset
from uvr_client.transport import Patience
from uvr_client.version import __version__
from uvr_client.webhooks import Webhook, verify_webhook

__all__ = [
    "BadRequest",
    "Batch",
    "BatchCallback",
    "BatchItem",
    "BatchSubmission",
    "Choices",
    "Conflict",
    "DayUsage",
    "Delivery",
    "DownloadFailed",
    "NoResult",
    "NotFound",
    "OfferedModel",
    "OfferedPreset",
    "Patience",
    "RequestError",
    "Result",
    "ServerError",
    "Space",
    "State",
    "Stem",
    "StemMismatch",
    "StemsDeleted",
    "Submission",
    "Task",
    "TaskEvent",
    "TooManyRequests",
    "Unauthorized",
    "Unavailable",
    "Unreachable",
    "UploadFailed",
    "UserUsage",
    "UvrClient",
    "UvrError",
    "WaitTimeout",
    "Webhook",
    "WebhookError",
    "WebhookExpired",
    "WebhookForged",
    "WebhookKeyInvalid",
    "WebhookMalformed",
    "__version__",
    "verify_webhook",
]

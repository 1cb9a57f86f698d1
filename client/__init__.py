"""UVR API from the other side: `UvrClient` for programs, the command `uvr` for people and scripts.

It is installed alone, so it takes nothing from the services' packages.
"""

from client.errors import (
    BadRequest,
    Conflict,
    DownloadFailed,
    NoResult,
    NotFound,
    RequestError,
    ServerError,
    StemMismatch,
    TooManyRequests,
    Unauthorized,
    Unavailable,
    Unreachable,
    UvrError,
    WaitTimeout,
)
from client.models import Delivery, Result, State, Stem, Submission, Task, TaskEvent
from client.transport import Patience
from client.uvr_client import UvrClient
from client.version import __version__

__all__ = [
    "BadRequest",
    "Conflict",
    "Delivery",
    "DownloadFailed",
    "NoResult",
    "NotFound",
    "Patience",
    "RequestError",
    "Result",
    "ServerError",
    "State",
    "Stem",
    "StemMismatch",
    "Submission",
    "Task",
    "TaskEvent",
    "TooManyRequests",
    "Unauthorized",
    "Unavailable",
    "Unreachable",
    "UvrClient",
    "UvrError",
    "WaitTimeout",
    "__version__",
]

"""Fields that several messages share, each with bounds that no right message comes near."""

import re
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

SCHEMA_VERSION = 1
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")


def request_id_or_empty(given: Any) -> str:
    """`given` if it can stand in any log line as it is, else nothing."""
    return given if isinstance(given, str) and _REQUEST_ID.fullmatch(given) else ""


# A line in a log is no reason to refuse a task.
RequestId = Annotated[str, BeforeValidator(request_id_or_empty)]

# Bounds that no right message comes near. Beyond them a reader's arithmetic, or its database, would fail.
# Each replay is a run, and the uploader looks for the stems of all runs before.
MAX_RUN = 1000
_MAX_COUNT = 1_000_000
_MAX_BYTES = 2**53
_MAX_DURATION_S = 1e9
# Seconds since the epoch, up to the year 9999.
Moment = Annotated[float, Field(ge=0, le=253_402_300_799)]
Duration = Annotated[float, Field(ge=0, le=_MAX_DURATION_S)]
Run = Annotated[int, Field(ge=1, le=MAX_RUN)]
Count = Annotated[int, Field(ge=0, le=_MAX_COUNT)]
Bytes = Annotated[int, Field(ge=0, le=_MAX_BYTES)]
Gain = Annotated[float, Field(ge=0, le=1e9)]


class UndecodableMessage(ValueError):
    """The record is not a message of a schema that we know."""


class MessageModel(BaseModel):
    """What every message and callback has in common."""

    # JSON has no infinity: written it is null, which no reader takes.
    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)

    def to_bytes(self) -> bytes:
        return self.model_dump_json(exclude_none=True).encode()

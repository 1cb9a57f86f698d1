"""Defines the fields that several messages share."""

import json
import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

SCHEMA_VERSION: Literal[1] = 1
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")


def request_id_or_empty(given: Any) -> str:
    """Returns `given` if it can stand in a log line as it is, else an empty text."""
    return given if isinstance(given, str) and _REQUEST_ID.fullmatch(given) else ""


# A wrong request id only spoils a log line, so the message is still accepted.
RequestId = Annotated[str, BeforeValidator(request_id_or_empty)]

# No correct message comes near these bounds. Beyond them a reader's arithmetic, or its database, would fail.
# Each replay is a run, and the uploader looks for the stems of all earlier runs.
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


DEFAULT_PRIORITY = 3
# 5 is the most urgent. Left out of a message's bytes where nothing is said, as in messages of old versions.
Priority = Annotated[
    int, Field(strict=True, ge=1, le=5, exclude_if=lambda priority: bool(priority == DEFAULT_PRIORITY))
]
MAX_LABEL_CHARS = 200
MAX_METADATA_BYTES = 2048
Label = Annotated[str, Field(min_length=1, max_length=MAX_LABEL_CHARS)]
MAX_FILE_NAME_CHARS = 255
# As the user's machine calls an uploaded file, without its directories.
FileName = Annotated[str, Field(max_length=MAX_FILE_NAME_CHARS)]


def _within_bytes(given: dict[str, Any]) -> dict[str, Any]:
    size_bytes = len(json.dumps(given, ensure_ascii=False, separators=(",", ":")).encode(errors="replace"))
    if size_bytes > MAX_METADATA_BYTES:
        raise ValueError(f"has {size_bytes} bytes as JSON, and {MAX_METADATA_BYTES} are allowed")
    return given


# Any JSON object.
Metadata = Annotated[dict[str, Any], AfterValidator(_within_bytes)]


class UndecodableMessage(ValueError):
    """The record is not a message of a schema that we know."""


class MessageModel(BaseModel):
    """The base of every message and callback."""

    # JSON has no infinity. It would be written as null, which no reader accepts.
    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)

    def to_bytes(self) -> bytes:
        return self.model_dump_json(exclude_none=True).encode()

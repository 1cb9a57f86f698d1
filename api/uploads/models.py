"""The bodies of requests and answers about uploads."""

import re
import unicodedata
from enum import StrEnum
from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, BaseModel, Field, StringConstraints

from common.storage.upload_record import SHA256
from common.tasks.messages.fields import MAX_FILE_NAME_CHARS

_SONG = UUID("5f0c6a4e-9d0b-4f63-8f0a-0c7b8f1d2a3e")


def clean_file_name(given: str) -> str:
    """Returns the name of a file without its directories and control characters; it can be empty."""
    name = re.split(r"[/\\]", given)[-1]
    visible = "".join(char for char in name if unicodedata.category(char) not in ("Cc", "Cs", "Zl", "Zp"))
    return visible.strip()[:MAX_FILE_NAME_CHARS]


class UploadErrorCode(StrEnum):
    """The values of `error_code` in problems about uploads."""

    UNKNOWN = "upload_unknown"
    INCOMPLETE = "upload_incomplete"
    EXPIRED = "upload_expired"
    MISMATCH = "upload_mismatch"
    IN_USE = "upload_in_use"
    TOO_MUCH = "too_many_uploaded_bytes"
    TOO_MANY = "too_many_uploads"
    TOO_LARGE = "too_large"
    EMPTY = "empty_file"
    OFF = "uploads_off"
    STORE_UNAVAILABLE = "store_unavailable"


class NewUpload(BaseModel):
    """The body of `POST /uploads`."""

    filename: Annotated[
        str, StringConstraints(max_length=MAX_FILE_NAME_CHARS), AfterValidator(clean_file_name)
    ] = Field(description="the file's name, which names the stems", examples=["song.mp3"])
    bytes: Annotated[int, Field(strict=True)] = Field(
        description="the file's size, at most MAX_AUDIO_BYTES", examples=[8_400_000]
    )
    sha256: Annotated[str, StringConstraints(pattern=SHA256)] | None = Field(
        None, description="the file's checksum in hexadecimal; the processor compares it"
    )


class UploadPart(BaseModel):
    """One part: its bytes follow those of the part before."""

    number: int
    url: str = Field(description="PUT the part to this address, without credentials")
    bytes: int


class UploadState(StrEnum):
    """The states of an upload."""

    INCOMPLETE = "incomplete"
    COMPLETE = "complete"
    EXPIRED = "expired"


class UploadStatus(BaseModel):
    """An upload. Points in time are in seconds since the epoch."""

    upload_id: UUID
    audio: str = Field(description="the value for `audio` in `POST /generate`")
    state: UploadState
    filename: str
    bytes: int
    sha256: str | None = None
    created_at: float
    expires_at: float = Field(description="no new task can use the song from then on; each task moves it")
    tasks: list[UUID] = Field(default_factory=list, description="the tasks that still need the song")


class BegunUpload(UploadStatus):
    """An upload that waits for its bytes."""

    url: str | None = Field(None, description="PUT the file to this address, without credentials")
    url_expires_at: float | None = Field(
        None, description="the store takes nothing by `url`, or the parts' addresses, from then on"
    )
    headers: dict[str, str] | None = Field(None, description="the headers that the PUT must have")
    parts: list[UploadPart] | None = Field(
        None, description="PUT each part to its address, and name the ETags that come back at `complete`"
    )


class PartEtag(BaseModel):
    """A part that the store has."""

    number: Annotated[int, Field(ge=1, le=10_000)]
    etag: Annotated[str, StringConstraints(min_length=1, max_length=200)]


class CompletedParts(BaseModel):
    """The body of `POST /uploads/{upload_id}/complete`, empty for an upload without parts."""

    # No upload has more than 128.
    parts: Annotated[list[PartEtag], Field(max_length=500)] = Field(default_factory=list)


EXAMPLE = UploadStatus(
    upload_id=_SONG,
    audio=f"upload:{_SONG}",
    state=UploadState.COMPLETE,
    filename="song.mp3",
    bytes=8_400_000,
    created_at=1764374400.0,
    expires_at=1764460800.0,
)
EXAMPLE_BEGUN = BegunUpload(
    **EXAMPLE.model_dump(exclude={"state", "tasks"}),
    state=UploadState.INCOMPLETE,
    url="https://store.example/uvr-stems/uploads/…/audio?X-Amz-Signature=…",
    url_expires_at=1764460800.0,
    headers={"Content-Length": "8400000"},
)

"""The models of the requests and answers about dead letters, with their examples."""

from enum import StrEnum
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

MAX_LETTERS = 100
LETTER_ID = r"^[0-9]{1,10}/[0-9]{1,19}$"

LetterIdText = Annotated[str, Field(pattern=LETTER_ID)]


class LetterSummary(BaseModel):
    """A dead letter: a record that was given up. Times are in seconds since the epoch."""

    id: str = Field(description="partition and offset in the topic, such as `3/17`")
    written_at: float
    kind: str = Field(
        description="task, result, callback, redelivery, deletion, batch, hook test or undecodable"
    )
    task_uuid: UUID | None = None
    run: int | None = None
    name: str | None = Field(
        default=None, description="the task's label, its file's name, or its song's address without the query"
    )
    user: str | None = Field(default=None, description="whose task it is; absent where the letter says not")
    error_code: str
    reason: str
    tries: int
    failed_tries: dict[str, int] = Field(description="how often each kind of error came")
    first_error: str | None = None
    last_error: str | None = None
    origin: str = Field(description="topic/partition/offset of the record that was given up")
    replayed_as: int | None = Field(
        default=None, description="the run that has replaced it; absent while it was not replayed"
    )


class Header(BaseModel):
    """A header of the record."""

    name: str
    value: str


class Letter(LetterSummary):
    """A dead letter with what is in it."""

    headers: list[Header]
    message: dict[str, Any] | None = Field(
        default=None, description="the task or result; queries and passwords of addresses are left out"
    )
    excerpt: str | None = Field(
        default=None, description="the beginning of the record's bytes, where they are no message"
    )
    size_bytes: int


class LetterPage(BaseModel):
    """Some dead letters, the newest first."""

    letters: list[LetterSummary]
    next: str | None = Field(default=None, description="the address of the next page, if there is one")


class ReplayRequest(BaseModel):
    """The letters to replay."""

    model_config = ConfigDict(extra="forbid")

    ids: Annotated[list[LetterIdText], Field(min_length=1, max_length=MAX_LETTERS)]
    again: bool = Field(default=False, description="also letters that were replayed before")
    dry_run: bool = Field(default=False, description="only say what would be done")


class ReplayResult(StrEnum):
    """The results that a replay can have for a letter."""

    REPLAYED = "replayed"
    WOULD_BE_REPLAYED = "would_be_replayed"
    ALREADY_REPLAYED = "already_replayed"
    OUTDONE = "outdone"
    REFUSED = "refused"
    UNKNOWN = "unknown"


class ReplayedLetter(BaseModel):
    """The result of a replay for one letter."""

    id: str
    result: ReplayResult = Field(
        description="`outdone`: another letter of the same task is replayed instead; `refused`: it cannot be "
        "replayed, `reason` says why; `unknown`: there is no such letter"
    )
    task_uuid: UUID | None = None
    run: int | None = Field(default=None, description="the run that replaces the letter's")
    outdone_by: str | None = None
    reason: str | None = None
    succeeded_run: int | None = Field(
        default=None, description="a later run of the task that had succeeded already"
    )


class Replays(BaseModel):
    """The results of a replay, for each letter that was asked for."""

    letters: list[ReplayedLetter]


_TASK = UUID("7c9e6679-7425-40de-944b-e07fc1f90ae7")
_SUMMARY = LetterSummary(
    id="3/17",
    written_at=1750000000.0,
    kind="task",
    task_uuid=_TASK,
    run=1,
    name="Artist - Title",
    user="alice",
    error_code="http_error",
    reason="HTTP error: 503",
    tries=4,
    failed_tries={"download": 4},
    first_error="HTTP error: 503",
    last_error="HTTP error: 503",
    origin="uvr_tasks/5/9",
)
EXAMPLE_PAGE = LetterPage(letters=[_SUMMARY])
EXAMPLE_LETTER = Letter(
    **_SUMMARY.model_dump(),
    headers=[Header.model_validate({"name": "uvr-error-code", "value": "http_error"})],
    message={"task_uuid": str(_TASK), "audio": "https://example.com/song.mp3", "run": 1},
    size_bytes=212,
)
EXAMPLE_REPLAYS = Replays(
    letters=[ReplayedLetter(id="3/17", result=ReplayResult.REPLAYED, task_uuid=_TASK, run=2)]
)

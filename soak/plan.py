"""Says what a soak's plan has in it: jobs, batches and disturbances. soak.planning makes the plan.

Times are in seconds since the start of the disturbances.
"""

import dataclasses
import json
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from soak.accounts import ACCOUNTS
from soak.disturbances import Disturbance


class Song(StrEnum):
    """The ways of serving a job's song; those at first end after the job's `song_failures` requests."""

    HEALTHY = "healthy"
    SLOW = "slow"
    UNAVAILABLE_AT_FIRST = "unavailable at first"
    CUT_AT_FIRST = "cut at first"
    MISSING = "missing"
    UNAVAILABLE = "unavailable"
    DEAD = "dead"


class Hook(StrEnum):
    """The ways of answering a job's callback; those at first end after the job's `hook_failures` requests."""

    HEALTHY = "healthy"
    ERRORS_AT_FIRST = "errors at first"
    SILENT_AT_FIRST = "silent at first"
    RESETS_AT_FIRST = "resets at first"
    DEAD = "dead"
    GONE = "gone"


class Choice(StrEnum):
    """Says what a job's user chooses; see soak.choices."""

    NOTHING = "nothing"
    ONE_STEM = "one stem"
    OTHER_MODEL = "the other model"
    ENSEMBLE = "an ensemble"
    PRESET = "a preset of two steps"
    FLAC = "flac"
    MP3 = "mp3"
    OWN_RATE = "24 bit at the song's own rate"
    WINDOW = "a part of the song"


class Way(StrEnum):
    """The ways in which a job's song comes to the service."""

    LINK = "link"
    FORM = "form"
    BROKEN_FORM = "form, first broken off"
    TWO_STEPS = "presigned URL"


LOST_SONGS = {Song.MISSING: "http_error", Song.UNAVAILABLE: "http_error", Song.DEAD: "network_error"}
"""The songs that can never be downloaded, with the error code of their failure."""
LOST_HOOKS = {Hook.DEAD: "callback_failed", Hook.GONE: "callback_gone"}
"""The receivers that never accept a callback, with the error code of the dead letter."""


@dataclass(frozen=True)
class Job:
    """One song to submit. Its first `song_failures` downloads and `hook_failures` callbacks may fail.

    It has the song and the choice of the job `repeats`, which may save it the separation. Its user deletes it
    at its end if `is_deleted`. It may be an item of a `batch`.
    """

    number: int
    at_s: float
    seconds: float
    song: Song
    hook: Hook
    song_failures: int
    hook_failures: int
    choice: Choice = Choice.NOTHING
    priority: int = 3
    way: Way = Way.LINK
    repeats: int | None = None
    is_deleted: bool = False
    user: str = ACCOUNTS[0].name
    batch: int | None = None

    @property
    def song_number(self) -> int:
        """The number of the job that first has this song."""
        return self.number if self.repeats is None else self.repeats


@dataclass(frozen=True)
class Batch:
    """Songs that a user submits together: `jobs` has their numbers, in order.

    Without a `hook` nobody is called for the batch. If `is_answer_lost`, its user hangs up before the answer
    comes and asks again. The user cancels it `cancelled_after_s` seconds after the answer.
    """

    number: int
    user: str
    at_s: float
    jobs: tuple[int, ...]
    hook: Hook | None = None
    hook_failures: int = 1
    is_answer_lost: bool = False
    cancelled_after_s: float | None = None


class Wrong(StrEnum):
    """The reasons for which a batch is refused."""

    ITEM = "a wrong item"
    CEILING = "an item above the user's ceiling"


@dataclass(frozen=True)
class RefusedBatch:
    """A batch of `count` songs that the api must refuse as a whole, since item `wrong_item` is wrong."""

    number: int
    user: str
    at_s: float
    count: int
    wrong_item: int
    why: Wrong


@dataclass(frozen=True)
class Options:
    """The options of a soak: `rate` is jobs submitted per second; `calm` leaves the disturbances out.

    After the disturbances the soak waits for records until `patience_s` seconds bring no callback.
    """

    jobs: int = 1000
    seed: int = 1
    processors: int = 3
    uploaders: int = 2
    rate: float = 2.0
    real_engine: bool = False
    calm: bool = False
    faults: tuple[str, ...] = ()
    patience_s: float = 120.0
    stage: Literal["path", "s3"] = "path"

    @property
    def horizon_s(self) -> float:
        """The seconds for which jobs are submitted and processes disturbed."""
        return self.jobs / self.rate


@dataclass(frozen=True)
class Plan:
    options: Options
    jobs: tuple[Job, ...]
    disturbances: tuple[Disturbance, ...]
    batches: tuple[Batch, ...] = ()
    refused: tuple[RefusedBatch, ...] = ()

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self), indent=1)


def workers(options: Options) -> list[str]:
    """Return the names of all workers."""
    processors = [f"processor-{n}" for n in range(1, options.processors + 1)]
    return processors + [f"uploader-{n}" for n in range(1, options.uploaders + 1)]

"""Plans a soak's jobs and disturbances, as a pure function of the options and the seed.

Times are in seconds since the start of the disturbances.
"""

import dataclasses
import json
import random
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal

from soak.chance import one_of
from soak.disturbances import Disturbance, plan_disturbances


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

_SONGS = {
    Song.HEALTHY: 70,
    Song.SLOW: 8,
    Song.UNAVAILABLE_AT_FIRST: 7,
    Song.CUT_AT_FIRST: 6,
    Song.MISSING: 3,
    Song.UNAVAILABLE: 3,
    Song.DEAD: 3,
}
_HOOKS = {
    Hook.HEALTHY: 76,
    Hook.ERRORS_AT_FIRST: 8,
    Hook.SILENT_AT_FIRST: 4,
    Hook.RESETS_AT_FIRST: 5,
    Hook.DEAD: 4,
    Hook.GONE: 3,
}
_CHOICES = {
    Choice.NOTHING: 50,
    Choice.ONE_STEM: 8,
    Choice.OTHER_MODEL: 8,
    Choice.ENSEMBLE: 6,
    Choice.PRESET: 6,
    Choice.FLAC: 6,
    Choice.MP3: 4,
    Choice.OWN_RATE: 6,
    Choice.WINDOW: 6,
}
_PRIORITIES = {1: 10, 2: 10, 3: 60, 4: 10, 5: 10}
# Songs of hosts that fail come by their links.
_WAYS = {Way.LINK: 72, Way.FORM: 14, Way.BROKEN_FORM: 4, Way.TWO_STEPS: 10}
_DELETED_SHARE = 0.12
_REPEATED_SHARE = 0.12
# A song is repeated after so many others at least, so that the first one's stems may be there.
_REPEATED_AFTER = 12
# 100 s of 16-bit stereo: the stems are too large for one request to the store
LONG_SONG_S = 100.0
_LONG_SONG_EVERY = 100


@dataclass(frozen=True)
class Job:
    """One song to submit. Its first `song_failures` downloads and `hook_failures` callbacks may fail.

    It has the song and the choice of the job `repeats`, which may save it the separation. Its user deletes it
    at its end if `is_deleted`.
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

    @property
    def song_number(self) -> int:
        """The number of the job that first has this song."""
        return self.number if self.repeats is None else self.repeats


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

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self), indent=1)


def make_plan(options: Options) -> Plan:
    """Return the plan for `options`."""
    # Use a generator for each, so that the number of workers does not change the jobs.
    seeds = (f"{what} {options.seed}" for what in ("jobs", "choices", "priorities"))
    jobs = _jobs(options, *map(random.Random, seeds))
    jobs = _with_lives(jobs, random.Random(f"lives {options.seed}"))
    events = random.Random(f"events {options.seed}")
    disturbances = () if options.calm else plan_disturbances(workers(options), options.horizon_s, events)
    return Plan(options, jobs, disturbances)


def workers(options: Options) -> list[str]:
    """Return the names of all workers."""
    processors = [f"processor-{n}" for n in range(1, options.processors + 1)]
    return processors + [f"uploader-{n}" for n in range(1, options.uploaders + 1)]


def _jobs(
    options: Options, rnd: random.Random, choosing: random.Random, ordering: random.Random
) -> tuple[Job, ...]:
    return tuple(
        Job(
            number,
            at_s=round(number / options.rate, 3),
            seconds=_seconds(number, options, rnd),
            song=one_of(_SONGS, rnd),
            hook=one_of(_HOOKS, rnd),
            song_failures=rnd.randint(1, 2),
            hook_failures=rnd.randint(1, 3),
            choice=one_of(_CHOICES, choosing),
            priority=one_of(_PRIORITIES, ordering),
        )
        for number in range(options.jobs)
    )


def _with_lives(jobs: tuple[Job, ...], rnd: random.Random) -> tuple[Job, ...]:
    """Say how each song comes, which ones are those of earlier jobs, and which are deleted."""
    found: list[Job] = []
    for job in jobs:
        way, is_repeated, is_deleted = one_of(_WAYS, rnd), rnd.random(), rnd.random()
        earlier = rnd.choice(found[:-_REPEATED_AFTER]) if len(found) > _REPEATED_AFTER else None
        changes: dict[str, Any] = {}
        if job.song is Song.HEALTHY:
            changes["way"] = way
        if job.hook not in LOST_HOOKS and is_deleted < _DELETED_SHARE:
            changes["is_deleted"] = True
        if earlier is not None and is_repeated < _REPEATED_SHARE:
            repeated = {"seconds": earlier.seconds, "choice": earlier.choice}
            changes |= {"repeats": earlier.song_number, **repeated}
        found.append(dataclasses.replace(job, **changes))
    return tuple(found)


def _seconds(number: int, options: Options, rnd: random.Random) -> float:
    seconds = round(rnd.uniform(0.3, 2.0), 2)
    is_long = number % _LONG_SONG_EVERY == 10 and not options.real_engine
    return LONG_SONG_S if is_long else seconds

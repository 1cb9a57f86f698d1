"""Plans a soak's jobs, batches and disturbances, as a pure function of the options and the seed."""

import dataclasses
import random
from typing import Any

from soak.accounts import ACCOUNTS, BY_NAME
from soak.batch_planning import api_kills, gathered, refused_batches
from soak.chance import one_of
from soak.disturbances import Disturbance, plan_disturbances
from soak.plan import LOST_HOOKS, Batch, Choice, Hook, Job, Options, Plan, Song, Way, workers

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
# A batch has no form: its songs come by other ways.
_FORMS = (Way.FORM, Way.BROKEN_FORM)
_DELETED_SHARE = 0.12
_REPEATED_SHARE = 0.12
# A song is repeated after so many others at least, so that the first one's stems may be there.
_REPEATED_AFTER = 12
# Of the repeated songs, so many may be other users' too, whose stems must not be used.
_OTHERS_SHARE = 0.25
# 100 s of 16-bit stereo: the stems are too large for one request to the store
LONG_SONG_S = 100.0
_LONG_SONG_EVERY = 100


def make_plan(options: Options) -> Plan:
    """Return the plan for `options`."""
    # Use a generator for each, so that the number of workers does not change the jobs.
    seeds = (f"{what} {options.seed}" for what in ("jobs", "choices", "priorities"))
    jobs = _jobs(options, *map(random.Random, seeds))
    jobs = _with_users(jobs, random.Random(f"users {options.seed}"))
    batching = random.Random(f"batches {options.seed}")
    jobs, batches = gathered(jobs, batching)
    jobs = _with_lives(_below_ceilings(jobs), random.Random(f"lives {options.seed}"))
    refused = refused_batches(jobs, batching)
    return Plan(options, jobs, _disturbances(options, batches), batches, refused)


def _disturbances(options: Options, batches: tuple[Batch, ...]) -> tuple[Disturbance, ...]:
    if options.calm:
        return ()
    events = random.Random(f"events {options.seed}")
    found = plan_disturbances(workers(options), options.horizon_s, events)
    kills = api_kills(batches, random.Random(f"api {options.seed}"))
    return tuple(sorted([*found, *kills], key=lambda disturbance: disturbance.at_s))


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


def _with_users(jobs: tuple[Job, ...], rnd: random.Random) -> tuple[Job, ...]:
    return tuple(dataclasses.replace(job, user=rnd.choice(ACCOUNTS).name) for job in jobs)


def _below_ceilings(jobs: tuple[Job, ...]) -> tuple[Job, ...]:
    """Lower the priorities that the jobs' users may not ask for."""
    return tuple(
        dataclasses.replace(job, priority=min(job.priority, BY_NAME[job.user].max_priority)) for job in jobs
    )


def _with_lives(jobs: tuple[Job, ...], rnd: random.Random) -> tuple[Job, ...]:
    """Say how each song comes, which ones are those of earlier jobs, and which are deleted."""
    found: list[Job] = []
    for job in jobs:
        way, is_repeated, is_deleted = one_of(_WAYS, rnd), rnd.random(), rnd.random()
        of_others = rnd.random() < _OTHERS_SHARE
        known = [one for one in found[:-_REPEATED_AFTER] if of_others or one.user == job.user]
        earlier = rnd.choice(known) if known else None
        changes: dict[str, Any] = {}
        if job.song is Song.HEALTHY:
            changes["way"] = Way.TWO_STEPS if job.batch is not None and way in _FORMS else way
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

"""What a job is given and what it ends in: values that the worker turns into one transaction."""

from collections.abc import Callable
from dataclasses import dataclass, field

from common.errors import JobError
from common.jobs.places import Claim
from common.kafka.records import Message


def nothing() -> None:
    """No effect to follow the transaction."""


@dataclass(frozen=True)
class Done:
    """The job is done: publish `messages` and the offset together, then run `after_commit`.

    `after_commit` runs only once the transaction is known to have committed, so what it removes is
    needed by nobody; `undo` only once it is known that it never will. Where neither is known, or after a
    kill, neither runs, so nothing may depend on them.
    """

    messages: tuple[Message, ...] = ()
    after_commit: Callable[[], None] = field(default=nothing, compare=False)
    undo: Callable[[], None] = field(default=nothing, compare=False)


@dataclass(frozen=True)
class Failed:
    """The job has failed, for good or for now, as its error's type tells.

    `messages` are published with what the worker makes of it, the record that waits for the next try or
    what `give_up` says; `after_commit` as in Done.
    """

    error: JobError
    messages: tuple[Message, ...] = ()
    after_commit: Callable[[], None] = field(default=nothing, compare=False)


@dataclass(frozen=True)
class RetrySchedule:
    """How often a transient failure is tried again; its name tells the counts of several apart.

    The delays between are the retry topics' own, one after the other; once there is no longer one, the last.
    A failure under it shows that what the schedules of `resets` are for has gone well: they begin anew.

    A brief schedule waits `retry.BRIEF_DELAY_S` each time instead. Its failures count under the schedule that
    `also` names too.
    """

    name: str
    retries: int
    resets: tuple[str, ...] = ()
    is_brief: bool = False
    also: str | None = None


@dataclass(frozen=True)
class Poison:
    """The record is no job at all: its bytes go to the dead letters."""

    reason: str


@dataclass(frozen=True)
class Dropped:
    """The lease was lost, or the job was cancelled: publish nothing, commit nothing."""


@dataclass(frozen=True)
class Deferred:
    """The job needs a place that it could not take. It is begun again once it has one.

    Neither an attempt nor a try counts. `messages` are published when the record begins to wait.
    """

    claim: Claim
    messages: tuple[Message, ...] = ()


Outcome = Done | Failed | Poison | Dropped | Deferred

"""What a job is given and what it ends in: values that the worker turns into one transaction."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from common.errors import JobError, TransientError
from common.jobs.places import Claim
from common.kafka.records import Message, Record
from common.waiting import StopCheck


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


class JobContext(Protocol):
    """What the worker lends a running job."""

    @property
    def attempt(self) -> int:
        """How often this record has been begun, this time included: 1 the first time.

        A retry is a record of its own, and counts from 1 again.
        """

    @property
    def counted(self) -> int:
        """Those of the attempts that count against the record: not those that were stopped in good order."""

    def check(self) -> None:
        """Raises Cancelled once the job must stop. Cheap; call it at least every 200 ms of work."""

    def wait(self, timeout_s: float) -> None:
        """Sleeps, and raises Cancelled as soon as the job must stop."""

    def take_place(self, claim: Claim) -> bool:
        """Takes one of the worker's places, unless the job has it already. False: end in Deferred.

        The job may have lost its slot then.
        """

    def leave_place(self) -> None:
        """Gives the place back. The end of the job does so too."""

    def leave_slot(self) -> None:
        """Lets another job begin: this one waits for somebody else's network and does little beside it.

        A worker's death from here on counts against the record once at most.
        """

    def regain_slot(self, check: StopCheck | None = None) -> None:
        """Waits for a slot again, before any record that is not begun.

        Raises Cancelled, and what `check` raises, which is asked several times a second.
        """


class Handler(Protocol):
    """A service's work. Called from several threads at once."""

    def run(self, record: Record, context: JobContext) -> Outcome:
        """Does the job. May raise JobError (taken as Failed) and Cancelled (taken as Dropped)."""

    def schedule(self, error: TransientError) -> RetrySchedule:
        """How often a job is tried again that has failed with `error`."""

    def waiting(
        self, record: Record, error: TransientError, next_try_at: float, context: JobContext
    ) -> tuple[Message, ...]:
        """What is published beside the record that waits until `next_try_at` (seconds since the epoch)."""

    def give_up(self, record: Record, error: JobError, context: JobContext) -> Done:
        """What is published for a job that has failed and is not tried again. May raise Cancelled.

        Unless the error is a PermanentError, the worker puts a dead letter beside it, for a replay.
        """

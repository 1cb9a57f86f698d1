"""The interfaces between the worker and a service: Handler does the work, JobContext serves it."""

from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from common.errors import TransientError
from common.jobs.outcome import Done, Failed, Outcome, Poison
from common.jobs.places import Claim
from common.jobs.retry import Decision, History, RetrySchedule
from common.kafka.records import Record
from common.waiting import StopCheck

Content = TypeVar("Content")


@dataclass(frozen=True)
class Job(Generic[Content]):
    """One record, decoded once: `content` is its message, `history` has its earlier tries."""

    record: Record
    content: Content
    history: History


class JobContext(Protocol):
    """Lends a running job what only the worker has: attempt numbers, places, slots, the order to stop."""

    @property
    def attempt(self) -> int:
        """The number of this attempt at the record, from 1.

        A retry is a record of its own, so its attempts are numbered from 1 again.
        """

    @property
    def counted_attempts(self) -> int:
        """The number of attempts, this one included, that count toward MAX_ATTEMPTS.

        An attempt that was stopped in good order does not count.
        """

    def check(self) -> None:
        """Raises Cancelled once the job must stop. Cheap; call it at least every 200 ms of work."""

    def wait(self, timeout_s: float) -> None:
        """Sleeps, and raises Cancelled as soon as the job must stop."""

    def take_place(self, claim: Claim) -> bool:
        """Takes one of the worker's places, unless the job has one already.

        Returns False when no place is free: the job must end in Deferred, and may have lost its slot.
        """

    def leave_place(self) -> None:
        """Gives the place back. The end of the job gives it back too."""

    def leave_slot(self) -> None:
        """Lets another job begin, because this one mostly waits for somebody else's network.

        If the worker dies after this call, the death counts against the record once at most.
        """

    def regain_slot(self, check: StopCheck | None = None) -> None:
        """Waits for a slot unless the job has one, ahead of every record that has not begun.

        A job that waited for its place begins without a slot, and takes turns for it with these. Calls
        `check` (the context's own if None) several times a second. Raises Cancelled, and what `check` raises.
        """


class Handler(Protocol[Content]):
    """A service's work on records whose message is a `Content`. Several threads call it at once.

    The worker decodes each record once, runs the job, and decides about a retry. Only then does it ask for
    the messages of a failure, so all of them report the same decision.
    """

    def decode(self, record: Record) -> Content | Poison:
        """Returns the record's message, or Poison for a record that holds none."""

    def run(self, job: Job[Content], context: JobContext) -> Outcome:
        """Does the job. A JobError that it raises is taken as Failed, Cancelled as Dropped."""

    def schedule(self, error: TransientError) -> RetrySchedule:
        """Returns the schedule under which a job that failed with `error` is tried again."""

    def after_failure(
        self, job: Job[Content], failed: Failed, decision: Decision, context: JobContext
    ) -> Done:
        """Returns what is published for a failed attempt, and what follows the commit.

        `run` may not have been called: after MAX_ATTEMPTS crashes the worker gives the record up unrun.
        The worker adds the record that waits for a Retry. It does not add a GivenUp's dead letter: publish
        `decision.letter` unless nobody could want a replay. May raise Cancelled when the record is given up.
        """

"""The interfaces between the worker and a service: Handler does the work, JobContext serves it."""

from collections.abc import Callable
from typing import Protocol

from common.errors import JobError, TransientError
from common.jobs.outcome import Done, Outcome, RetrySchedule
from common.jobs.places import Claim
from common.kafka.records import Message, Record


class JobContext(Protocol):
    """What the worker lends a running job."""

    @property
    def attempt(self) -> int:
        """How often this record has been begun, this time included: 1 the first time.

        A retry is a record of its own, and counts from 1 again.
        """

    @property
    def counted_attempts(self) -> int:
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

    def regain_slot(self, check: Callable[[], None] | None = None) -> None:
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

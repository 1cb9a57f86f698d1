"""What job threads ask of the committer, and what they get to know."""

import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto

from common.lease import Lease
from common.outcome import Message
from common.progress import Step
from common.publish import Unpublishable


class End(Enum):
    """What is known of a request's transaction. Only the first two are for certain."""

    COMMITTED = auto()
    NOT_COMMITTED = auto()
    UNKNOWN = auto()


@dataclass(eq=False)
class CommitRequest:
    """What a job's thread asks of the committer, and waits for."""

    step: Step
    lease: Lease
    messages: Sequence[Message] = ()
    generation: int | None = None
    end: End = End.UNKNOWN
    refusal: Unpublishable | None = None
    answered: threading.Event = field(default_factory=threading.Event)

    def permitted(self, generation: int) -> bool:
        """A job that was stopped may still hand its attempt back, while its partition is nobody else's."""
        if self.step is not Step.HAND_BACK:
            return self.lease.live
        assignment = self.lease.assignment
        return not assignment.is_unclear and (assignment.live or self.generation == generation)

    def answer(self, end: End) -> None:
        self.end = end
        self.answered.set()

    def refuse(self, refusal: Unpublishable) -> None:
        self.refusal = refusal
        self.answered.set()


def steps(batch: Iterable[CommitRequest]) -> list[tuple[Step, Lease]]:
    return [(request.step, request.lease) for request in batch]

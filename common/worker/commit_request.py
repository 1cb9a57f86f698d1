"""What job threads ask of the committer, and what they get to know."""

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto

from common.jobs.outcome import nothing
from common.kafka.records import Message
from common.kafka.transaction import Unpublishable
from common.worker.committed_state import Step
from common.worker.lease import Lease


class CommitResult(Enum):
    """What is known of a request's transaction. Only the first two are for certain."""

    COMMITTED = auto()
    NOT_COMMITTED = auto()
    UNKNOWN = auto()


@dataclass(eq=False)
class CommitRequest:
    """What a job's thread asks of the committer, and waits for.

    `undo` is called, on a thread of its own, if it is found not to be committed when nobody waits any more.
    """

    step: Step
    lease: Lease
    messages: Sequence[Message] = ()
    generation: int | None = None
    undo: Callable[[], None] = nothing
    result: CommitResult = CommitResult.UNKNOWN
    refusal: Unpublishable | None = None
    answered: threading.Event = field(default_factory=threading.Event)
    _is_left: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def permitted(self, generation: int) -> bool:
        """A partition that was revoked is nobody else's in that generation.

        A job that was stopped for it may still hand its attempt back, and a result that was waiting is done.
        """
        if self.step is not Step.HAND_BACK:
            return self.lease.live or self.lease.revoked_in == generation
        assignment = self.lease.assignment
        return not assignment.may_be_behind_broker and (assignment.live or self.generation == generation)

    def answer(self, result: CommitResult) -> None:
        with self._lock:
            self.result = result
            self.answered.set()
            is_left = self._is_left
        if is_left and result is CommitResult.NOT_COMMITTED:
            threading.Thread(target=self.undo, name=f"undo {self.lease}", daemon=True).start()

    def refuse(self, refusal: Unpublishable) -> None:
        self.refusal = refusal
        self.answer(CommitResult.NOT_COMMITTED)

    def leave(self) -> CommitResult:
        """What is known now; nobody waits any more. Raises Unpublishable if it was refused."""
        with self._lock:
            if self.refusal is not None:
                raise self.refusal
            self._is_left = not self.answered.is_set()
            return self.result


def steps(batch: Iterable[CommitRequest]) -> list[tuple[Step, Lease]]:
    return [(request.step, request.lease) for request in batch]


def messages(batch: Iterable[CommitRequest]) -> list[Message]:
    return [message for request in batch for message in request.messages]

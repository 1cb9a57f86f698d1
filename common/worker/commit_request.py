"""Requests of the job threads to the committer, and the answers."""

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
    """The known end of a request's transaction. Only the first two values are certain."""

    COMMITTED = auto()
    NOT_COMMITTED = auto()
    UNKNOWN = auto()


@dataclass(eq=False)
class CommitRequest:
    """One step of one record, to be committed with `messages`. The thread that asks waits for the answer.

    `undo` is called on a thread of its own if nothing was committed, and the thread that asked waits no
    longer. `generation` is the one that revokes the partition of a HAND_BACK.

    The fields up to `undo` are constant. The lock guards the answer: `result`, `refusal` and `_is_left`.
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
        """Return whether the lease still allows the commit in the group's `generation`.

        A revoked partition is nobody else's in the generation that revokes it. In that generation a job that
        was stopped may still hand its attempt back, and a result that was waiting may still be committed.
        """
        if self.step is not Step.HAND_BACK:
            return self.lease.live or self.lease.revoked_in == generation
        assignment = self.lease.assignment
        return not assignment.may_be_behind_broker and (assignment.live or self.generation == generation)

    def refuse(self, refusal: Unpublishable) -> None:
        self.answer(CommitResult.NOT_COMMITTED, refusal)

    def answer(self, result: CommitResult, refusal: Unpublishable | None = None) -> None:
        with self._lock:
            self.result, self.refusal = result, refusal
            self.answered.set()
            is_left = self._is_left
        if is_left and result is CommitResult.NOT_COMMITTED:
            threading.Thread(target=self.undo, name=f"undo {self.lease}", daemon=True).start()

    def leave(self) -> CommitResult:
        """End the wait, and return what is known now. Raises Unpublishable if the messages were refused."""
        with self._lock:
            if self.refusal is not None:
                raise self.refusal
            self._is_left = not self.answered.is_set()
            return self.result


def steps(batch: Iterable[CommitRequest]) -> list[tuple[Step, Lease]]:
    return [(request.step, request.lease) for request in batch]


def messages(batch: Iterable[CommitRequest]) -> list[Message]:
    return [message for request in batch for message in request.messages]

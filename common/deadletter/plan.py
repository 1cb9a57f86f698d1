"""Which letters a replay takes, and what each of them becomes: computed apart from Kafka."""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from uuid import UUID

from common.deadletter.dead_letter import DeadLetter, LetterId
from common.deadletter.mailbox import Mailbox
from common.deadletter.marks import ReplayMark
from common.jobs.dead_letters import TRUNCATED
from common.kafka.records import Message
from common.tasks.messages import Redelivery, Separated, Task


@dataclass(frozen=True)
class Replay:
    """The letter is published again, to `topic`, as `run` of its task: the next one, a redelivery as its own.

    `earlier_run` is the one that was begun for it before, if any.
    """

    letter: DeadLetter
    task_uuid: UUID
    topic: str
    run: int
    earlier_run: int | None = None

    def messages(self, dead_letter_topic: str) -> tuple[Message, Message]:
        """The task or result as it was, but for its run and without history and deadline; and the mark."""
        letter = self.letter
        # Not the decoded message, which lacks the fields that a newer version may have put in.
        fields = json.loads(letter.value) | {"run": self.run}
        fields.pop("cancel_at", None)
        value = json.dumps(fields, separators=(",", ":")).encode()
        key = str(self.task_uuid).encode() if letter.key is None else letter.key
        again = Message(self.topic, key, value, letter.foreign_headers)
        return again, ReplayMark(letter.id, self.task_uuid, self.run).message(dead_letter_topic, key)


@dataclass(frozen=True)
class Replayed:
    """It was replayed before, as `run`, or a later run of its task has taken its place."""

    letter: DeadLetter
    run: int


@dataclass(frozen=True)
class Outdone:
    """Another letter of the same task is taken instead."""

    letter: DeadLetter
    by: LetterId


@dataclass(frozen=True)
class Refused:
    letter: DeadLetter
    reason: str


Decision = Replay | Replayed | Outdone | Refused


@dataclass(frozen=True)
class Filter:
    """What the operator asked for; None asks for nothing. `since_s` is since the epoch."""

    task_uuid: UUID | None = None
    since_s: float | None = None
    error_code: str | None = None
    ids: frozenset[LetterId] | None = None

    def __call__(self, letter: DeadLetter) -> bool:
        return (
            (self.task_uuid is None or letter.task_uuid == self.task_uuid)
            and (self.since_s is None or letter.written_at_s >= self.since_s)
            and (self.error_code is None or letter.error_code == self.error_code)
            and (self.ids is None or letter.id in self.ids)
        )


def plan(mailbox: Mailbox, wanted: Callable[[DeadLetter], bool], again: bool) -> list[Decision]:
    """What becomes of each wanted letter, the oldest first. `again`: what was replayed is so once more."""
    selected = [letter for letter in reversed(mailbox.letters) if wanted(letter)]
    taken = _one_a_task(selected)
    return [_decide(letter, mailbox, taken, again) for letter in selected]


def _one_a_task(selected: Iterable[DeadLetter]) -> dict[UUID, DeadLetter]:
    """The newest letter of each task that can be replayed at all.

    Within one run a letter that holds the work comes before one that holds only the news of a failure, and
    that before one that only asks for a run's callback.
    """
    taken: dict[UUID, DeadLetter] = {}
    for letter in selected:
        if _why_not(letter) is not None:
            continue
        best = taken.get(letter.message.task_uuid)
        if best is None or _rank(letter) >= _rank(best):
            taken[letter.message.task_uuid] = letter
    return taken


def _rank(letter: DeadLetter) -> tuple[int, bool, bool, float]:
    has_work = isinstance(letter.message, Task | Separated)
    return letter.run or 0, has_work, not isinstance(letter.message, Redelivery), letter.written_at_s


def _decide(letter: DeadLetter, mailbox: Mailbox, taken: dict[UUID, DeadLetter], again: bool) -> Decision:
    reason = _why_not(letter)
    if reason is not None:
        return Refused(letter, reason)
    task_uuid = letter.message.task_uuid
    if taken[task_uuid] is not letter:
        return Outdone(letter, taken[task_uuid].id)
    earlier_run = mailbox.replayed_as(letter)
    if earlier_run is not None and not again:
        return Replayed(letter, earlier_run)
    # A redelivery is of a run that is over, and begins no other.
    is_of_its_run = isinstance(letter.message, Redelivery)
    run = letter.message.run if is_of_its_run else mailbox.runs[task_uuid] + 1
    return Replay(letter, task_uuid, letter.base_topic, run, earlier_run)


def _why_not(letter: DeadLetter) -> str | None:
    """Why a letter cannot be replayed; None when it can."""
    kept_of = letter.header(TRUNCATED)
    if kept_of is not None:
        return (
            f"only the beginning of its {kept_of} bytes was kept; the record was at {letter.history.origin}"
        )
    if letter.message is None:
        return f"it holds no message that could be done ({letter.reason or 'no reason given'})"
    if letter.base_topic is None:
        return f"it comes from {letter.history.origin}, which is in neither the task nor the result topic"
    return None

"""Decides which letters a replay takes and what each becomes, without any access to Kafka."""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from uuid import UUID

from common.deadletter.dead_letter import Content, DeadLetter, LetterId
from common.deadletter.mailbox import Mailbox
from common.deadletter.marks import ReplayMark
from common.jobs.dead_letters import TRUNCATED
from common.kafka import lanes
from common.kafka.records import Message
from common.tasks.messages import BatchEnded, Deletion, HookTest, Redelivery, Separated, Task


@dataclass(frozen=True)
class Replay:
    """Publishes the letter's message to `topic` again, as `run` of its task.

    That is the task's next run; for a redelivery or deletion it is the run that is redelivered or deleted.
    `earlier_run` is the run by which the letter was replayed before, if it was.
    """

    letter: DeadLetter
    task_uuid: UUID
    topic: str
    run: int
    earlier_run: int | None = None

    def messages(self, dead_letter_topic: str) -> tuple[Message, Message]:
        """Returns the task or result with its new run, without history and deadline; and the mark."""
        letter = self.letter
        # Start from the bytes: the decoded message lacks the fields that a newer version may have added.
        fields = json.loads(letter.value) | {"run": self.run}
        fields.pop("cancel_at", None)
        value = json.dumps(fields, separators=(",", ":")).encode()
        key = str(self.task_uuid).encode() if letter.key is None else letter.key
        again = Message(self.topic, key, value, letter.foreign_headers)
        return again, ReplayMark(letter.id, self.task_uuid, self.run).message(dead_letter_topic, key)


@dataclass(frozen=True)
class Replayed:
    """Leaves the letter: it was replayed before as `run`, or a later run of its task has replaced it."""

    letter: DeadLetter
    run: int


@dataclass(frozen=True)
class Outdone:
    """Leaves the letter: letter `by` of the same task is replayed instead."""

    letter: DeadLetter
    by: LetterId


@dataclass(frozen=True)
class Refused:
    """Leaves the letter: it cannot be replayed, for `reason`."""

    letter: DeadLetter
    reason: str


Decision = Replay | Replayed | Outdone | Refused


@dataclass(frozen=True)
class Filter:
    """The letters that the operator asked for. None sets no condition. `since_s` is since the epoch."""

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
    """Returns the decision on each wanted letter, oldest first. `again`: replays replayed letters, too."""
    selected = [letter for letter in reversed(mailbox.letters) if wanted(letter)]
    taken = _one_a_task(selected)
    return [_decide(letter, mailbox, taken, again) for letter in selected]


def _one_a_task(selected: Iterable[DeadLetter]) -> dict[UUID, DeadLetter]:
    """Chooses the one letter of each task that is replayed, out of the letters that can be.

    A later run comes first. Within a run, a deletion comes before a letter that holds the work, this before
    the result of a failure, and that before a redelivery. Among equals the newest letter comes first.
    """
    taken: dict[UUID, DeadLetter] = {}
    for letter in selected:
        found = _replayable(letter)
        if isinstance(found, Refused):
            continue
        task_uuid = found[0].task_uuid
        best = taken.get(task_uuid)
        if best is None or _rank(letter) >= _rank(best):
            taken[task_uuid] = letter
    return taken


def _rank(letter: DeadLetter) -> tuple[int, bool, bool, bool, float]:
    has_work = isinstance(letter.message, Task | Separated)
    is_deletion, is_redelivery = (isinstance(letter.message, kind) for kind in (Deletion, Redelivery))
    return letter.run or 0, is_deletion, has_work, not is_redelivery, letter.written_at_s


def _decide(letter: DeadLetter, mailbox: Mailbox, taken: dict[UUID, DeadLetter], again: bool) -> Decision:
    found = _replayable(letter)
    if isinstance(found, Refused):
        return found
    message, topic = found
    task_uuid = message.task_uuid
    if taken[task_uuid] is not letter:
        return Outdone(letter, taken[task_uuid].id)
    earlier_run = mailbox.replayed_as(letter)
    if earlier_run is not None and not again:
        return Replayed(letter, earlier_run)
    # A redelivery or deletion belongs to a run that is over, and begins no new run.
    run = (
        message.run
        if isinstance(message, Redelivery | Deletion | BatchEnded | HookTest)
        else mailbox.runs[task_uuid] + 1
    )
    return Replay(letter, task_uuid, topic, run, earlier_run)


def _replayable(letter: DeadLetter) -> tuple[Content, str] | Refused:
    """Returns the letter's message and the topic to publish it to, if the letter can be replayed."""
    kept_of, origin = letter.header(TRUNCATED), letter.history.origin
    if kept_of is not None:
        return Refused(
            letter, f"only the beginning of its {kept_of} bytes was kept; the record was at {origin}"
        )
    if letter.message is None:
        return Refused(
            letter, f"it holds no message that could be done ({letter.reason or 'no reason given'})"
        )
    if letter.base_topic is None:
        return Refused(letter, f"it comes from {origin}, which is in neither the task nor the result topic")
    if isinstance(letter.message, Task):
        return letter.message, lanes.topic(letter.base_topic, letter.message.priority)
    return letter.message, letter.base_topic

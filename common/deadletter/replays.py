"""Replays letters, for the command and the api alike: reads, plans, publishes, and tells the outcome."""

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from uuid import UUID

from common.deadletter.dead_letter import DeadLetter, LetterId
from common.deadletter.mailbox import Mailbox
from common.deadletter.plan import Decision, Filter, Replay, plan
from common.deadletter.replayer import publisher, succeeded_runs
from common.deadletter.topic_reader import records
from common.kafka.records import Record
from common.settings.schema import KafkaSettings, TransactionSettings

Check = Callable[[], None]
"""Raises to end a replay between two letters: what was published before is done, and nothing after."""


@dataclass(frozen=True)
class Outcome:
    """The decision on a letter, which was carried out; `decision` is None where there is no such letter.

    `later_success` is a later run of the task that has succeeded, where the letter was replayed before.
    """

    letter_id: LetterId
    decision: Decision | None
    later_success: int | None = None


def replay(
    settings: TransactionSettings, wanted: Filter, again: bool, dry_run: bool, check: Check = lambda: None
) -> Generator[Outcome]:
    """Replays the `wanted` letters, and yields what became of each, as soon as that is certain.

    `dry_run` only tells what would be done. Raises KafkaError, Overtaken, and what `check` raises.
    """
    # Begin the publisher first: it ends the transaction of an earlier replay, whose marks are then read
    # below.
    with nullcontext() if dry_run else publisher(settings) as publish:
        decisions = plan(read(settings, wanted, check=check), wanted, again)
        for letter_id in sorted((wanted.ids or frozenset()) - {one.letter.id for one in decisions}):
            yield Outcome(letter_id, None)
        succeeded = _succeeded(decisions, settings)
        for decision in decisions:
            if isinstance(decision, Replay) and publish is not None:
                check()
                publish(decision.messages(settings.kafka_dead_letter_topic))
            yield Outcome(decision.letter.id, decision, _later_success(decision, succeeded))


def read(
    settings: KafkaSettings,
    wanted: Callable[[DeadLetter], bool] = Filter(),  # noqa: B008  # it cannot be changed
    most: int | None = None,
    with_replayed: bool = True,
    check: Check = lambda: None,
) -> Mailbox:
    """Reads the whole topic, and keeps the letters as `Mailbox.of` does. Raises KafkaError."""
    found = _checked(records(settings, settings.kafka_dead_letter_topic), check)
    return Mailbox.of(found, settings, wanted, most, with_replayed)


def _checked(found: Iterable[Record], check: Check) -> Iterator[Record]:
    for record in found:
        check()
        yield record


def _succeeded(decisions: Sequence[Decision], settings: TransactionSettings) -> dict[UUID, int]:
    """Returns the succeeded runs of tasks that were replayed before. Others have no later run to look for."""
    again = [d for d in decisions if isinstance(d, Replay) and d.earlier_run is not None]
    if not again:
        return {}
    since_s = min(decision.letter.written_at_s for decision in again)
    return succeeded_runs(settings, [decision.task_uuid for decision in again], since_s)


def _later_success(decision: Decision, succeeded: dict[UUID, int]) -> int | None:
    if not isinstance(decision, Replay) or decision.earlier_run is None:
        return None
    run = succeeded.get(decision.task_uuid, 0)
    return run if run > (decision.letter.run or 0) else None

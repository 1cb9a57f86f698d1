"""Holds the whole dead letter topic: its letters, and the replays of them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar
from uuid import UUID

from common.deadletter import dead_letter, marks
from common.deadletter.dead_letter import DeadLetter, LetterId
from common.kafka.records import Record
from common.settings.schema import KafkaSettings

K = TypeVar("K")


@dataclass(frozen=True)
class Mailbox:
    """The letters, newest first, and the runs by which they were replayed.

    `runs` has the highest run of each task that a letter or a mark names. `replayed_letters` and
    `replayed_tasks` have the highest run of each replayed letter and of its task.
    """

    letters: tuple[DeadLetter, ...]
    runs: Mapping[UUID, int]
    replayed_letters: Mapping[LetterId, int]
    replayed_tasks: Mapping[UUID, int]

    @classmethod
    def of(cls, records: Iterable[Record], settings: KafkaSettings) -> "Mailbox":
        """Sorts the records of the topic into letters and marks of replays."""
        found: list[DeadLetter] = []
        runs: dict[UUID, int] = {}
        by_letter: dict[LetterId, int] = {}
        by_task: dict[UUID, int] = {}
        for record in records:
            mark = marks.parse(record)
            if mark is not None:
                _raise_to(by_letter, mark.letter, mark.run)
                _raise_to(by_task, mark.task_uuid, mark.run)
                _raise_to(runs, mark.task_uuid, mark.run)
                continue
            letter = dead_letter.parse(record, settings)
            found.append(letter)
            if letter.message is not None:
                _raise_to(runs, letter.message.task_uuid, letter.message.run)
        found.sort(key=lambda letter: (letter.written_at_s, letter.id), reverse=True)
        return cls(tuple(found), runs, by_letter, by_task)

    def replayed_as(self, letter: DeadLetter) -> int | None:
        """Returns the run that replaced the letter: its own replay or a later run of its task; else None."""
        if letter.message is None:
            return None
        own = self.replayed_letters.get(letter.id)
        run = max(own or 0, self.replayed_tasks.get(letter.message.task_uuid, 0))
        # The letter's own replay counts even if its run is not later: a redelivery keeps its run.
        return run if own is not None or run > letter.message.run else None


def _raise_to(highest: dict[K, int], key: K, run: int) -> None:
    highest[key] = max(run, highest.get(key, 0))

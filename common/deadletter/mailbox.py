"""Holds the dead letter topic: its letters, or the wanted ones of them, and all replays."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TypeVar
from uuid import UUID

from common.deadletter import dead_letter, marks
from common.deadletter.dead_letter import DeadLetter, LetterId
from common.kafka.records import Record
from common.settings.schema import KafkaSettings
from common.tasks.messages import Deletion

K = TypeVar("K")
Place = tuple[float, LetterId]
"""When a letter was written, and its id: the list's order."""

# As many letters are held in any case: marks come later, and letters that they replace are left out.
_MIN_HELD = 500


def place(letter: DeadLetter) -> Place:
    return letter.written_at_s, letter.id


@dataclass(frozen=True)
class Mailbox:
    """The letters, newest first, and the runs by which they were replayed.

    `runs` has the highest run of each task that a letter or a mark names. `replayed_letters` and
    `replayed_tasks` have the highest run of each replayed letter and of its task. `cut_at` is the place
    behind which letters were left out, if any were.
    """

    letters: tuple[DeadLetter, ...]
    runs: Mapping[UUID, int]
    replayed_letters: Mapping[LetterId, int]
    replayed_tasks: Mapping[UUID, int]
    cut_at: "Place | None" = None

    @classmethod
    def of(
        cls,
        records: Iterable[Record],
        settings: KafkaSettings,
        wanted: Callable[[DeadLetter], bool] = lambda _: True,
        most: int | None = None,
        with_replayed: bool = True,
    ) -> "Mailbox":
        """Sorts the records of the topic into letters and marks of replays.

        Only `wanted` letters are kept: the newest `most` of them, if that is given, and without
        `with_replayed` none that was replayed. The runs are those of the whole topic.
        """
        found: list[DeadLetter] = []
        cut_at: Place | None = None
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
            if letter.message is not None:
                _raise_to(runs, letter.message.task_uuid, letter.message.run)
            if wanted(letter):
                found.append(letter)
                # Now and then only, since sorting takes time.
                if most is not None and len(found) >= 2 * max(most, _MIN_HELD):
                    found = sorted(found, key=place, reverse=True)[: max(most, _MIN_HELD)]
                    cut_at = place(found[-1])
        if cut_at is not None:
            # What is behind the cut is on a later page, together with what was left out there.
            found = [letter for letter in found if place(letter) >= cut_at]
        box = cls((), runs, by_letter, by_task, cut_at)
        kept = [letter for letter in found if with_replayed or box.replayed_as(letter) is None]
        kept.sort(key=place, reverse=True)
        if most is not None and len(kept) > most:
            kept = kept[:most]
            box = replace(box, cut_at=place(kept[-1]))
        return replace(box, letters=tuple(kept))

    def replayed_as(self, letter: DeadLetter) -> int | None:
        """Returns the run that replaced the letter: its own replay or a later run of its task; else None.

        A deletion is replaced by its own replay alone.
        """
        if letter.message is None:
            return None
        own = self.replayed_letters.get(letter.id)
        if isinstance(letter.message, Deletion):
            return own  # no run of a task does what a deletion was to do
        run = max(own or 0, self.replayed_tasks.get(letter.message.task_uuid, 0))
        # The letter's own replay counts even if its run is not later: a redelivery keeps its run.
        return run if own is not None or run > letter.message.run else None


def _raise_to(highest: dict[K, int], key: K, run: int) -> None:
    highest[key] = max(run, highest.get(key, 0))

"""The mark that a replay leaves in the dead letter topic, in the transaction that publishes the message."""

from dataclasses import dataclass
from uuid import UUID

from common.deadletter.dead_letter import LetterId
from common.jobs import dead_letters
from common.kafka.records import Message, Record
from common.tasks.messages import MAX_RUN

REPLAYED_LETTER = "uvr-replayed-letter"
REPLAYED_TASK = "uvr-replayed-task"
REPLAYED_RUN = "uvr-replayed-run"


@dataclass(frozen=True)
class ReplayMark:
    """Says that `letter` was replayed as `run` of the task."""

    letter: LetterId
    task_uuid: UUID
    run: int

    def message(self, topic: str, key: bytes) -> Message:
        """Returns the record of the mark, which has headers and no value."""
        headers = (
            (REPLAYED_LETTER, str(self.letter).encode()),
            (REPLAYED_TASK, str(self.task_uuid).encode()),
            (REPLAYED_RUN, str(self.run).encode()),
        )
        return Message(topic, key, None, headers)


def parse(record: Record) -> ReplayMark | None:
    """Returns the mark in a record; None for a letter, even if its record had a mark's headers."""
    headers = {name: (value or b"").decode(errors="replace") for name, value in record.headers}
    if REPLAYED_LETTER not in headers or dead_letters.ERROR_CODE in headers:
        return None
    try:
        task_uuid, run = UUID(headers.get(REPLAYED_TASK, "")), int(headers.get(REPLAYED_RUN, ""))
        if not 1 <= run <= MAX_RUN:
            return None
        return ReplayMark(LetterId.parse(headers[REPLAYED_LETTER]), task_uuid, run)
    except ValueError:
        return None

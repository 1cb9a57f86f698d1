"""Reads a dead letter from its record: its place, its headers, and the message in it."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID

from common.errors import ErrorCode
from common.jobs import dead_letters, retry
from common.jobs.retry import History
from common.kafka import lanes, retry_topics
from common.kafka.records import Record
from common.settings.schema import KafkaSettings
from common.tasks import messages
from common.tasks.messages import (
    AnyResultRecord,
    BatchEnded,
    Deletion,
    HookTest,
    Redelivery,
    Task,
    UndecodableMessage,
)

_OWN_HEADERS = {
    *retry.HEADERS,
    dead_letters.ERROR_CODE,
    dead_letters.REASON,
    dead_letters.ATTEMPT,
    dead_letters.TRUNCATED,
    dead_letters.DROPPED_KEY,
    dead_letters.DROPPED_HEADERS,
}
_CALLBACK_CODES = (ErrorCode.CALLBACK_FAILED, ErrorCode.CALLBACK_GONE)
# How much is kept of bytes that are no message. There may be many, and people only look at them.
_MAX_EXCERPT_BYTES = 2_000

Content = Task | AnyResultRecord


class LetterId(NamedTuple):
    """The place of a letter in the dead letter topic."""

    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.partition}/{self.offset}"

    @classmethod
    def parse(cls, text: str) -> "LetterId":
        """Reads an id such as 3/17. Raises ValueError."""
        if not re.fullmatch(r"[0-9]{1,10}/[0-9]{1,19}", text):
            raise ValueError(f"expected partition/offset such as 3/17, got {text!r}")
        partition, offset = text.split("/")
        return cls(int(partition), int(offset))


_MAX_DIGITS = 9


@dataclass(frozen=True)
class DeadLetter:
    """A record of the dead letter topic. `headers` are all of the record's.

    `message` is None if the value cannot be decoded. Then `value` is only the value's beginning.
    `base_topic` is the task or the result topic, whichever the record came from; None if it is neither.
    """

    id: LetterId
    written_at_s: float
    key: bytes | None
    value: bytes
    size_bytes: int
    headers: tuple[tuple[str, bytes], ...]
    history: History
    base_topic: str | None
    message: Content | None

    def header(self, name: str) -> str | None:
        """Returns the text of a header, or None if the record has no such header."""
        value = dict(self.headers).get(name)
        return None if value is None else value.decode(errors="replace")

    @property
    def foreign_headers(self) -> tuple[tuple[str, bytes], ...]:
        """The headers that the record had before it became a dead letter."""
        return tuple((name, value) for name, value in self.headers if name not in _OWN_HEADERS)

    @property
    def error_code(self) -> str:
        return self.header(dead_letters.ERROR_CODE) or ""

    @property
    def reason(self) -> str:
        return self.header(dead_letters.REASON) or ""

    @property
    def tries(self) -> int:
        """The number of tries of the job. A crash adds an attempt at the record, a retry adds a record."""
        attempt = self.header(dead_letters.ATTEMPT) or ""
        is_number = attempt.isdecimal() and len(attempt) <= _MAX_DIGITS
        return max(sum(self.history.failed_tries.values()), int(attempt) if is_number else 1)

    @property
    def kind(self) -> str:
        """One of task, result, callback, redelivery, deletion, batch, hook test and undecodable."""
        match self.message:
            case None:
                return "undecodable"
            case Task():
                return "task"
            case Redelivery():
                return "redelivery"
            case Deletion():
                return "deletion"
            case HookTest():
                return "hook test"
            case BatchEnded():
                return "batch"
        return "callback" if self.error_code in _CALLBACK_CODES else "result"

    @property
    def task_uuid(self) -> UUID | None:
        if self.message is not None:
            return self.message.task_uuid
        try:
            return UUID((self.key or b"").decode())
        except ValueError:
            return None

    @property
    def run(self) -> int | None:
        return None if self.message is None else self.message.run


def parse(record: Record, settings: KafkaSettings) -> DeadLetter:
    """Reads any record of the dead letter topic that is no mark of a replay."""
    past = retry.history(record)
    base = _base_topic(past.origin, settings)
    message = _decode(record.value, base, settings)
    value = record.value or b""
    return DeadLetter(
        id=LetterId(record.partition, record.offset),
        written_at_s=record.timestamp_ms / 1000,
        key=record.key,
        value=value if message is not None else value[:_MAX_EXCERPT_BYTES],
        size_bytes=len(value),
        headers=tuple((name, content or b"") for name, content in record.headers),
        history=past,
        base_topic=base,
        message=message,
    )


def _base_topic(origin: str, settings: KafkaSettings) -> str | None:
    topic = origin.rpartition("/")[0].rpartition("/")[0]
    bases = (settings.kafka_task_topic, settings.kafka_result_topic)
    if topic in lanes.topics(settings.kafka_task_topic):
        return settings.kafka_task_topic
    return next((base for base in bases if topic in retry_topics.family(base, [topic])), None)


def _decode(value: bytes | None, base: str | None, settings: KafkaSettings) -> Content | None:
    """Decodes as the readers of topic `base` do. For any other topic, tries all decoders."""
    decoders: dict[str, tuple[Callable[[bytes | None], Content], ...]] = {
        settings.kafka_task_topic: (messages.decode_task,),
        settings.kafka_result_topic: (messages.decode_result_record,),
    }
    for decode in decoders.get(base or "", (messages.decode_task, messages.decode_result_record)):
        try:
            return decode(value)
        except UndecodableMessage:
            continue
    return None

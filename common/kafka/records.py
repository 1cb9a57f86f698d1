"""A record that was read, and a message that is to be published: undecoded."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Record:
    """A record of a topic, undecoded. `timestamp_ms` is since the epoch."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()
    timestamp_ms: int = 0

    @property
    def location(self) -> str:
        """`topic/partition/offset`, for people and for headers."""
        return f"{self.topic}/{self.partition}/{self.offset}"

    @property
    def file_label(self) -> str:
        """`topic-partition-offset`, for names of files and directories: no two records share one."""
        return f"{self.topic}-{self.partition}-{self.offset}"


@dataclass(frozen=True)
class Message:
    """What a job publishes when its transaction commits."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()

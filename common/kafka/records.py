"""Records that were read, and messages that are to be published: both undecoded."""

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
        """Return `topic/partition/offset`, for people and for the headers of later records."""
        return f"{self.topic}/{self.partition}/{self.offset}"

    @property
    def file_label(self) -> str:
        """Return `topic-partition-offset`, for the names of files: no two records have the same."""
        return f"{self.topic}-{self.partition}-{self.offset}"


@dataclass(frozen=True)
class Message:
    """One record that a job publishes when its transaction commits."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()

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
    def origin(self) -> str:
        """Where it lies, for people and for the headers of what comes of it."""
        return f"{self.topic}/{self.partition}/{self.offset}"

    @property
    def place(self) -> str:
        """Where it lies, as a name for files: no two records have the same."""
        return f"{self.topic}-{self.partition}-{self.offset}"


@dataclass(frozen=True)
class Message:
    """What a job publishes when its transaction commits."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()

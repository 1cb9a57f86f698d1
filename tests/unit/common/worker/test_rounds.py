"""How long the poll thread waits for records: never while one that it has taken is yet to begin."""

import threading
from dataclasses import dataclass, field
from typing import Any

import pytest

from common.kafka.consumer import SHORTEST_POLL_MS
from common.worker.rounds import Rounds


@dataclass
class OneBatch:
    """A consumer with a batch of records. Like kafka-python it learns of the batch's end by one more poll."""

    records: list[str]
    waits_ms: list[int] = field(default_factory=list)
    is_amid_batch: bool = False

    def has_fetched(self) -> bool:
        return self.is_amid_batch

    def poll(self, timeout_ms: int) -> list[str]:
        self.waits_ms.append(timeout_ms)
        self.is_amid_batch = bool(self.records)
        return [self.records.pop(0)] if self.records else []

    def check_membership(self) -> None: ...

    def is_joining(self) -> bool:
        return False


@dataclass
class Desk:
    """Intake, leases and partitions in one. Jobs begin as soon as they may."""

    waiting: list[str] = field(default_factory=list)
    begun: list[str] = field(default_factory=list)
    all_positioned: bool = True
    slots_full: bool = False
    running_count: int = 0

    def take(self, record: str) -> None:
        self.waiting.append(record)

    def begin(self) -> None:
        self.begun += self.waiting
        self.waiting.clear()

    def steer(self) -> None: ...


@pytest.mark.parametrize("count", [1, 3])
def test_the_last_record_of_a_batch_begins_without_waiting_for_another(count):
    consumer: Any = OneBatch([f"record {number}" for number in range(count)])
    desk: Any = Desk()
    rounds = Rounds(desk, desk, desk, threading.Event(), threading.Event(), clock=lambda: 0.0)
    rounds.make(consumer)
    assert desk.begun == [f"record {number}" for number in range(count)]
    assert consumer.waits_ms[1:] == [SHORTEST_POLL_MS] * count
    assert consumer.waits_ms[0] > SHORTEST_POLL_MS

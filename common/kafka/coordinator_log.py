"""Reads what a transaction's coordinator decided, from the topic `__transaction_state`, its own log.

Apache Kafka's `TransactionLogValue.json` has the layout of the records. Version 1 is "flexible" (KIP-482).
"""

import contextlib
import struct
import time
from collections.abc import Callable, Iterable
from enum import Enum

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaTimeoutError

from common.kafka.groupless import topic_source
from common.settings.schema import KafkaSettings

TRANSACTION_LOG = "__transaction_state"
# version, producer id, producer epoch, time-out in ms, state
_HEAD = struct.Struct(">hqhib")
_FLEXIBLE_VERSION = 1
# The clock of the machine that wrote the transaction's records may differ from the coordinator's.
_MARGIN_MS = 600_000
_READ_TIMEOUT_S = 30.0


class Decision(Enum):
    """The end of a transaction, as its coordinator decided. The value is the state's number in the log."""

    COMMIT = 2
    ABORT = 3


def decision(value: bytes | None) -> tuple[int, Decision, frozenset[TopicPartition]] | None:
    """Return producer id, decision and partitions of one record; None for a record of any other state."""
    if value is None or len(value) < _HEAD.size:
        return None
    version, producer_id, _, _, state = _HEAD.unpack_from(value)
    if version not in (0, _FLEXIBLE_VERSION) or state not in (Decision.COMMIT.value, Decision.ABORT.value):
        return None
    reader = _Reader(value, _HEAD.size, version == _FLEXIBLE_VERSION)
    return producer_id, Decision(state), frozenset(reader.partitions())


class _Reader:
    """Reads the partitions in a record, from byte `at` on."""

    def __init__(self, data: bytes, at: int, flexible: bool):
        self._data, self._at, self._flexible = data, at, flexible

    def partitions(self) -> Iterable[TopicPartition]:
        for _ in range(self._length(">i")):
            topic = self._take(self._length(">h")).decode()
            yield from [TopicPartition(topic, self._number(">i")) for _ in range(self._length(">i"))]
            self._skip_tags()

    def _length(self, form: str) -> int:
        """Read the length of an array or a string: 0 also for null."""
        return max(0, self._varint() - 1 if self._flexible else self._number(form))

    def _number(self, form: str) -> int:
        (number,) = struct.unpack(form, self._take(struct.calcsize(form)))
        return int(number)

    def _varint(self) -> int:
        value = shift = 0
        while True:
            (byte,) = self._take(1)
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    def _skip_tags(self) -> None:
        for _ in range(self._varint() if self._flexible else 0):
            self._varint()
            self._take(self._varint())

    def _take(self, count: int) -> bytes:
        taken = self._data[self._at : self._at + count]
        self._at += count
        return taken


def partition_of(transactional_id: str, partition_count: int) -> int:
    """Return the partition of the log that has this id, by the absolute value of Java's `String.hashCode`."""
    code = 0
    for (unit,) in struct.iter_unpack(">H", transactional_id.encode("utf-16-be")):
        code = (31 * code + unit) & 0xFFFFFFFF
    if code == 0x80000000:  # Kafka's `Utils.abs`
        return 0
    return min(code, 0x100000000 - code) % partition_count


def last_decision(
    settings: KafkaSettings,
    transactional_id: str,
    concerns: Callable[[int, frozenset[TopicPartition]], bool],
    since_ms: int,
) -> Decision | None:
    """Return the last decision whose producer id and partitions `concerns` accepts, None if there is none.

    `since_ms` (epoch) is when the transaction last wrote. Raises KafkaError.
    """
    with contextlib.closing(topic_source(settings)) as consumer:
        count = len(consumer.partitions_for_topic(TRANSACTION_LOG) or ())
        if not count:
            return None
        partition = TopicPartition(TRANSACTION_LOG, partition_of(transactional_id, count))
        last = None
        for value in _values(consumer, partition, max(0, since_ms - _MARGIN_MS)):
            if (found := decision(value)) and concerns(found[0], found[2]):
                last = found[1]
        return last


def _values(consumer: KafkaConsumer, partition: TopicPartition, since_ms: int) -> Iterable[bytes | None]:
    consumer.assign([partition])
    first = consumer.offsets_for_times({partition: since_ms})[partition]
    end = consumer.end_offsets([partition])[partition]
    consumer.seek(partition, first.offset if first else end)
    deadline_s = time.monotonic() + _READ_TIMEOUT_S
    while consumer.position(partition) < end:
        if time.monotonic() > deadline_s:
            raise KafkaTimeoutError(f"{TRANSACTION_LOG} could not be read in {_READ_TIMEOUT_S:.0f} s")
        for record in consumer.poll(timeout_ms=500).get(partition, ()):
            yield record.value

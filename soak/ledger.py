"""Reads what Kafka holds after a soak, as a reader of committed records sees it."""

import struct
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from kafka.structs import OffsetAndMetadata

from common.jobs import dead_letters
from common.kafka import lanes, retry_topics
from common.lag import lags
from common.settings.schema import KafkaSettings, ProcessorSettings, UploaderSettings
from common.tasks import messages
from common.tasks.messages import (
    BatchEnded,
    DeliveryAttempt,
    Separated,
    SeparationFailed,
    Task,
    TaskBatch,
)
from common.worker import committed_state
from tests.support.common.kafka.group import OFFSETS_TOPIC, read_all

_OFFSET_KEY_VERSIONS = (0, 1)


@dataclass(frozen=True)
class Letter:
    """A dead letter."""

    task_uuid: str
    error_code: str


@dataclass(frozen=True)
class Ledger:
    """All committed records. `backward` describes each offset commit that was followed by a smaller one.

    `orders` are those to call the hooks of batches.
    """

    tasks: list[Task]
    results: list[Separated | SeparationFailed]
    deliveries: list[DeliveryAttempt]
    letters: list[Letter]
    retried: Counter[str]
    backward: list[str] = field(default_factory=list)
    commits: int = 0
    batches: list[TaskBatch] = field(default_factory=list)
    orders: list[BatchEnded] = field(default_factory=list)


def settings_of(environment: dict[str, str]) -> KafkaSettings:
    """Return the settings of services with this environment."""
    delays_s = tuple(map(int, environment["RETRY_DELAYS_S"].split(",")))
    return KafkaSettings(
        kafka_bootstrap_servers=environment["KAFKA_BOOTSTRAP_SERVERS"], retry_delays_s=delays_s
    )


def is_drained(settings: KafkaSettings) -> bool:
    """Tell whether no record waits or runs in any group's topics. Raises KafkaError."""
    processor, uploader = ProcessorSettings.model_fields, UploaderSettings.model_fields
    found = lags(settings, processor["kafka_group_id"].default, lanes.topics(settings.kafka_task_topic))
    if any(lag.waiting or lag.running for lag in found):
        return False
    found = lags(settings, uploader["kafka_group_id"].default, (settings.kafka_result_topic,))
    return not any(lag.waiting or lag.running for lag in found)


def read(settings: KafkaSettings) -> Ledger:
    """Read all topics. Raises KafkaError, and UndecodableMessage for a record that no service has written."""

    def records(topic: str) -> list[Any]:
        return read_all(settings.kafka_bootstrap_servers, topic)

    retried: Counter[str] = Counter()
    for base in (settings.kafka_task_topic, settings.kafka_result_topic):
        for topic in retry_topics.topics(base, settings.retry_delays_s):
            retried[base] += len(records(topic))
    found = [messages.decode_result_record(r.value) for r in records(settings.kafka_result_topic)]
    # Read every offset ever committed: looking now and then would miss some.
    backward, commits = backward_steps(records(OFFSETS_TOPIC))
    return Ledger(
        tasks=[
            messages.decode_task(r.value)
            for lane in lanes.topics(settings.kafka_task_topic)
            for r in records(lane)
        ],
        results=[result for result in found if isinstance(result, Separated | SeparationFailed)],
        deliveries=[
            DeliveryAttempt.model_validate_json(r.value) for r in records(settings.kafka_delivery_topic)
        ],
        letters=[_letter(r) for r in records(settings.kafka_dead_letter_topic)],
        retried=retried,
        backward=backward,
        commits=commits,
        batches=[messages.decode_batch(r.value) for r in records(settings.kafka_batch_topic)],
        orders=[result for result in found if isinstance(result, BatchEnded)],
    )


def _letter(record: Any) -> Letter:
    code = dict(record.headers).get(dead_letters.ERROR_CODE, b"").decode()
    return Letter((record.key or b"").decode(), code)


def backward_steps(records: Iterable[Any]) -> tuple[list[str], int]:
    """Return the commits that went back, in words, and the number of all commits.

    `records` are those of the broker's own topic of offsets.
    """
    last: dict[tuple[str, str, int], tuple[int, int]] = {}
    backward = []
    count = 0
    for record in records:
        key = _offset_key(record.key)
        if key is None or record.value is None:
            continue
        count += 1
        offset, metadata = _offset_value(record.value)
        now = (offset, committed_state.decode(OffsetAndMetadata(offset, metadata, -1)).next_offset)
        before = last.get(key, now)
        if now[0] < before[0] or now[1] < before[1]:
            backward.append(f"{key[0]} went from {before} back to {now} in {key[1]}[{key[2]}]")
        last[key] = now
    return backward, count


def _offset_key(key: bytes | None) -> tuple[str, str, int] | None:
    """Return group, topic and partition; None for a record about a group's members."""
    if not key or struct.unpack_from(">h", key)[0] not in _OFFSET_KEY_VERSIONS:
        return None
    group, at = _string(key, 2)
    topic, at = _string(key, at)
    return group, topic, struct.unpack_from(">i", key, at)[0]


def _offset_value(value: bytes) -> tuple[int, str]:
    """Return offset and metadata. From version 3 an epoch is between them; from 4 strings are compact."""
    version, offset = struct.unpack_from(">hq", value)
    if version >= 4:
        return offset, _compact_string(value, 14)
    return offset, _string(value, 14 if version == 3 else 10)[0]


def _string(data: bytes, at: int) -> tuple[str, int]:
    (length,) = struct.unpack_from(">h", data, at)
    return data[at + 2 : at + 2 + length].decode(), at + 2 + length


def _compact_string(data: bytes, at: int) -> str:
    length = shift = 0
    while True:
        byte = data[at]
        at += 1
        length |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return data[at : at + length - 1].decode()

"""The bytes that members of a group and its leader send each other beside the assignment itself.

A member says which of its partitions are busy. The leader answers which of them the member must give up once
they are idle. Members of earlier versions send nothing. Bytes that cannot be understood count as nothing.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from kafka import TopicPartition


@dataclass(frozen=True)
class Needs:
    """A member's message to the leader: its partitions with running jobs, and those with waiting records.

    `busy` is sorted: the first partition is to be given up first. A member that `leaves` wants no more
    partitions.
    """

    busy: tuple[TopicPartition, ...] = ()
    waiting: tuple[TopicPartition, ...] = ()
    leaves: bool = False

    def encode(self) -> bytes:
        fields = {"busy": _by_topic(self.busy), "waiting": _by_topic(self.waiting), "leaves": self.leaves}
        return json.dumps(fields, separators=(",", ":")).encode()


def decode_needs(data: bytes | None) -> Needs:
    """Never raises: bytes that are no `Needs` give an empty one."""
    fields = _fields(data)
    return Needs(_partitions(fields, "busy"), _partitions(fields, "waiting"), fields.get("leaves") is True)


def encode_drained(partitions: Iterable[TopicPartition]) -> bytes:
    """Return no bytes where nothing is drained, like leaders of earlier versions."""
    by_topic = _by_topic(sorted(partitions))
    return json.dumps({"drained": by_topic}, separators=(",", ":")).encode() if by_topic else b""


def decode_drained(data: bytes | None) -> frozenset[TopicPartition]:
    """Never raises: bytes that cannot be understood name no partition."""
    return frozenset(_partitions(_fields(data), "drained"))


def _by_topic(partitions: Iterable[TopicPartition]) -> dict[str, list[int]]:
    by_topic: dict[str, list[int]] = defaultdict(list)
    for partition in partitions:
        by_topic[partition.topic].append(partition.partition)
    return by_topic


def _fields(data: bytes | None) -> Mapping[str, Any]:
    try:
        fields = json.loads(data or b"{}")
    except (ValueError, RecursionError):
        return {}
    return fields if isinstance(fields, dict) else {}


def _partitions(fields: Mapping[str, Any], name: str) -> tuple[TopicPartition, ...]:
    by_topic = fields.get(name)
    if not isinstance(by_topic, dict):
        return ()
    return tuple(
        TopicPartition(topic, number)
        for topic, numbers in by_topic.items()
        if isinstance(numbers, list)
        for number in numbers
        if type(number) is int
    )

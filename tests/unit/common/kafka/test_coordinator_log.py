"""The transaction coordinator's log: records as Apache Kafka 4.3.1 wrote them, and what is read from them."""

import struct

import pytest
from kafka import TopicPartition

from common.kafka.coordinator_log import Decision, decision, partition_of
from common.kafka.hanging_transactions import Forgotten, OpenTransaction, Scope

OFFSETS = TopicPartition("__consumer_offsets", 1)
RESULTS = TopicPartition("results-7a41e70b", 1)

COMMIT = (
    "000100000000000000010000000013880202135f5f636f6e73756d65725f6f666673657473020000000100000001a214ba38"
    "58000001a214ba38450100080000000000000001"
)
ABORT = (
    "00010000000000000001000100001388030311726573756c74732d3761343165373062020000000100135f5f636f6e73756d"
    "65725f6f666673657473020000000100000001a214ba507c000001a214ba3a00020008000000000000000102020002"
)


def old_version(state: int) -> bytes:
    """The layout before KIP-482."""
    head = struct.pack(">hqhib", 0, 7, 3, 5000, state)
    topic = struct.pack(">ih5sii", 1, 5, b"topic", 1, 4)
    return head + topic + struct.pack(">qq", 0, 0)


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (bytes.fromhex(COMMIT), (1, Decision.COMMIT, {OFFSETS})),
        (bytes.fromhex(ABORT), (1, Decision.ABORT, {OFFSETS, RESULTS})),
        (old_version(2), (7, Decision.COMMIT, {TopicPartition("topic", 4)})),
    ],
)
def test_a_decision_names_its_producer_and_partitions(value, found):
    assert decision(value) == found


@pytest.mark.parametrize(
    "value",
    [None, b"", b"\x00\x01", old_version(1), old_version(5), b"\x00\x02" + bytes.fromhex(COMMIT)[2:]],
    ids=["tombstone", "empty", "cut", "ongoing", "complete", "unknown version"],
)
def test_any_other_record_is_no_decision(value):
    assert decision(value) is None


@pytest.mark.parametrize(
    ("transactional_id", "partition"),
    [("group-23c7082a-w0", 0), ("group-7a41e70b-w0", 3)],
    ids=["hash above zero", "hash below zero"],
)
def test_the_logs_partition_is_the_brokers(transactional_id, partition):
    assert partition_of(transactional_id, 4) == partition


def test_javas_smallest_hash_is_partition_0():
    assert partition_of("polygenelubricants", 50) == 0  # its hash is -2**31


def forgotten(topic: str, transactional_id: str) -> Forgotten:
    return Forgotten(OpenTransaction(TopicPartition(topic, 0), 1, 0, 0, 0, 0), transactional_id)


@pytest.mark.parametrize(
    ("topic", "transactional_id", "covered"),
    [
        ("uvr_tasks", "somebody", True),
        ("__consumer_offsets", "uvr-w0", True),
        ("__consumer_offsets", "uvrother-w0", False),
    ],
)
def test_in_the_offsets_of_all_groups_only_our_own_transactions_are_ended(topic, transactional_id, covered):
    assert Scope(("uvr_tasks",), "uvr").covers(forgotten(topic, transactional_id)) is covered

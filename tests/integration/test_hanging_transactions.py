"""Transactions that their broker has forgotten, on a real broker: what counts as one, and its end.

That a broker forgets one, and that workers then recover, is in `tests/crash/test_broker_restarts.py`.
"""

import contextlib
import time
from collections.abc import Iterator

import pytest
from kafka import KafkaAdminClient, KafkaProducer

from common.kafka import clients, hanging_transactions
from common.kafka.coordinator_log import Decision, last_decision
from common.kafka.hanging_transactions import Forgotten, OpenTransaction, Scope
from tests.support.common.kafka.group import Lab
from tests.support.waiting import wait_for


@pytest.fixture
def admin(lab: Lab) -> Iterator[KafkaAdminClient]:
    with contextlib.closing(clients.admin(lab.settings)) as client:
        yield client


@pytest.fixture
def producer(lab: Lab, closing) -> KafkaProducer:
    """In the middle of a transaction with one record in partition 0 of the results."""
    made = closing(clients.transactional_producer(lab.settings, transactional_id(lab)))
    begin(made, lab)
    return made


def begin(producer: KafkaProducer, lab: Lab) -> None:
    producer.begin_transaction()
    producer.send(lab.settings.kafka_result_topic, b'{"i": 1}', partition=0).get(timeout=30)


def transactional_id(lab: Lab) -> str:
    return f"{lab.settings.kafka_group_id}-w0"


def open_transaction(admin: KafkaAdminClient, lab: Lab) -> OpenTransaction:
    (found,) = hanging_transactions._open(admin, [lab.settings.kafka_result_topic])
    return found


def decision(lab: Lab) -> Decision | None:
    partition = lab.partition(0)._replace(topic=lab.settings.kafka_result_topic)
    now_ms = int(time.time() * 1000)
    return last_decision(lab.settings, transactional_id(lab), lambda _, where: partition in where, now_ms)


def test_a_transaction_that_its_coordinator_knows_is_left_alone(lab, admin, producer):
    assert open_transaction(admin, lab).partition.topic == lab.settings.kafka_result_topic
    scope = Scope((lab.settings.kafka_result_topic,), lab.settings.kafka_group_id)
    assert hanging_transactions.find(admin, scope) == []
    producer.commit_transaction()
    wait_for(lambda: not hanging_transactions._open(admin, scope.topics), 30, "the marker")


@pytest.mark.parametrize(("how", "results"), [(Decision.COMMIT, [{"i": 1}]), (Decision.ABORT, [])])
def test_a_marker_ends_a_transaction_either_way(lab, admin, producer, how, results):
    hanging_transactions._write_marker(admin, open_transaction(admin, lab), how)
    assert hanging_transactions._open(admin, [lab.settings.kafka_result_topic]) == set()
    assert lab.results() == results


def test_the_coordinators_last_decision_is_read_from_its_log(lab, producer):
    assert decision(lab) is None
    producer.commit_transaction()
    assert decision(lab) is Decision.COMMIT
    begin(producer, lab)
    assert decision(lab) is Decision.COMMIT  # of the one before: this one is not decided
    producer.abort_transaction()
    assert decision(lab) is Decision.ABORT


def test_a_transaction_of_which_no_decision_is_known_is_left_open_and_named_once(
    lab, admin, producer, caplog
):
    found = Forgotten(open_transaction(admin, lab), transactional_id(lab))
    named: set[OpenTransaction] = set()
    for _ in range(2):
        hanging_transactions._end_or_name(admin, found, lab.settings, named)
    assert caplog.text.count("does not tell whether") == 1
    assert open_transaction(admin, lab) == found.transaction


def test_one_that_another_worker_has_ended_is_not_named(lab, admin, producer, caplog):
    found = Forgotten(open_transaction(admin, lab), transactional_id(lab))
    hanging_transactions._write_marker(admin, found.transaction, Decision.ABORT)
    hanging_transactions._end_or_name(admin, found, lab.settings, set())
    assert "hangs" not in caplog.text


def test_the_last_decision_about_its_partition_is_carried_out(lab, admin, producer, caplog):
    producer.commit_transaction()
    begin(producer, lab)
    hanging_transactions._end(
        admin, Forgotten(open_transaction(admin, lab), transactional_id(lab)), lab.settings
    )
    assert "ended (commit)" in caplog.text
    assert len(lab.results()) == 2

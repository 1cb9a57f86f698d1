"""The poll thread on a consumer in memory: what it does when the client breaks, and how it ends."""

import json
import threading
from dataclasses import replace

import pytest
from kafka import TopicPartition
from kafka.errors import FencedInstanceIdError, KafkaConnectionError, KafkaError

from common.jobs.outcome import Done
from common.kafka.fencing import Fenced
from common.kafka.records import Message
from tests.support.common.worker.fakes import TOPIC, FakeProducer
from tests.support.common.worker.worker_harness import HURRIED, WorkerHarness
from tests.support.waiting import wait_for


def values(count: int) -> list[bytes]:
    return [b"%d" % n for n in range(count)]


def test_every_record_is_done_once():
    b = WorkerHarness(log=values(20))
    running = b.start()
    assert b.wait_for_results(20) == sorted(values(20))
    wait_for(lambda: b.broker.offsets[TopicPartition(TOPIC, 0)].offset == 20, 10, "committed end")
    b.worker.stop()
    running.result()
    assert len(b.broker.messages) == 20
    assert b.consumer.closed


def test_while_a_result_is_being_committed_the_next_record_has_its_slot():
    commits = []
    go_on = threading.Event()

    def hold_the_first_result(step: str) -> None:
        if step == "commit":
            commits.append(step)
            assert len(commits) != 2 or go_on.wait(20)

    b = WorkerHarness(log=values(3), slots=1)
    b.make_producer = lambda: FakeProducer(b.broker, hold_the_first_result)
    running = b.start()
    wait_for(lambda: len(commits) == 2, 20, "the first result's commit")
    wait_for(lambda: b.worker.running_count == 2, 20, "the next record")
    polls = b.consumer.polls
    wait_for(lambda: b.consumer.polls > polls + 3, 20, "polls that could take more")
    assert b.worker.running_count == 2
    go_on.set()
    assert b.wait_for_results(3) == values(3)
    b.worker.stop()
    running.result()


@pytest.mark.parametrize(
    "error", [KafkaError("odd"), AssertionError(), KeyError("inside"), RuntimeError("closed")]
)
def test_after_a_poll_that_raises_a_new_consumer_goes_on(error):
    b = WorkerHarness(log=values(3))
    running = b.start()
    b.wait_for_results(3)
    b.consumer.errors.append(error)
    wait_for(lambda: len(b.consumers) == 2, 20, "second consumer")
    assert b.consumers[0].closed
    b.log += [b"3", b"4"]
    assert b.wait_for_results(5) == values(5)
    b.worker.stop()
    running.result()


def test_jobs_of_a_consumer_that_broke_are_cancelled_and_done_again():
    first, cancelled, attempts = threading.Event(), threading.Event(), []

    def run(record, context):
        attempts.append(context.attempt)
        if context.attempt == 1:
            first.set()
            try:
                context.wait(60)
            finally:
                cancelled.set()
        return Done((Message("results", b"k", record.value),))

    b = WorkerHarness(run, log=values(1))
    running = b.start()
    assert first.wait(20)
    b.away.set()
    b.consumer.errors.append(KafkaError("odd"))
    assert cancelled.wait(20)
    assert len(b.consumers) == 1  # it was not the next assignment that told the job
    b.away.clear()
    assert b.wait_for_results(1) == [b"0"]
    assert attempts == [1, 2]
    b.worker.stop()
    running.result()


@pytest.mark.parametrize("error", [KafkaConnectionError(), AssertionError(), RuntimeError("inside")])
def test_a_committed_state_that_cannot_be_read_is_asked_for_again(error):
    b = WorkerHarness(log=values(2))
    b.read_errors.append(error)
    running = b.start()
    assert b.wait_for_results(2) == values(2)
    b.worker.stop()
    running.result()


def test_a_committer_that_breaks_ends_an_idle_worker_with_its_error():
    b = WorkerHarness()

    def broken():
        raise ValueError("a bad option")

    b.make_producer = broken
    with pytest.raises(ValueError, match="bad option"):
        b.start().result()
    assert b.consumer.closed


def test_fenced_by_its_poll_the_worker_stops():
    b = WorkerHarness()
    running = b.start()
    wait_for(lambda: b.consumers and b.consumer.polls > 1, 20, "polls")
    b.consumer.errors.append(FencedInstanceIdError())
    with pytest.raises(Fenced):
        running.result()


def test_fenced_by_a_broker_that_may_have_forgotten_it_the_worker_joins_afresh():
    b = WorkerHarness()
    running = b.start()
    wait_for(lambda: b.consumers and b.consumer.polls > 1, 20, "polls")
    b.broker.forgets = True
    b.consumer.errors.append(FencedInstanceIdError())
    wait_for(lambda: len(b.consumers) == 2 and b.consumer.polls > 1, 20, "second consumer")
    b.consumer.silent = True
    polls = b.consumer.polls
    wait_for(lambda: b.consumer.polls > polls + 3, 20, "polls after the first sign")
    b.now_s += 10
    wait_for(lambda: len(b.consumers) == 3, 20, "third consumer")
    b.worker.stop()
    running.result()


def test_fenced_in_silence_the_worker_stops_but_not_at_the_first_sign():
    b = WorkerHarness()
    running = b.start()
    wait_for(lambda: b.consumers and b.consumer.polls > 1, 20, "polls")
    b.consumer.silent = True
    polls = b.consumer.polls
    wait_for(lambda: b.consumer.polls > polls + 3, 20, "polls after the first sign")
    assert running.waits
    b.now_s += 10
    with pytest.raises(Fenced):
        running.result()


def test_a_join_that_never_ends_makes_a_new_consumer():
    b = WorkerHarness()
    running = b.start()
    wait_for(lambda: b.consumers and b.consumer.polls > 1, 20, "polls")
    b.consumer.joining = True
    b.now_s += 61
    wait_for(lambda: len(b.consumers) == 2, 20, "second consumer")
    b.worker.stop()
    running.result()


def test_partitions_that_stay_without_an_owner_are_shared_out_again():
    b = WorkerHarness()
    running = b.start()
    wait_for(lambda: b.consumers and b.consumer.polls > 1, 20, "polls")
    b.consumer.withholds = True
    polls = b.consumer.polls
    wait_for(lambda: b.consumer.polls > polls + 3, 20, "polls in which the next assignment may come")
    assert b.consumer.rejoins == 0
    b.now_s += 6
    wait_for(lambda: b.consumer.rejoins == 1, 20, "another assignment asked for")
    b.worker.stop()
    running.result()
    assert b.consumer.rejoins == 1


def test_a_member_that_is_led_by_its_former_self_asks_for_an_assignment_at_once():
    b = WorkerHarness()
    running = b.start()
    wait_for(lambda: b.consumers and b.consumer.polls > 1, 20, "polls")
    b.consumer.follows_itself = True
    wait_for(lambda: b.consumer.rejoins == 1, 20, "another assignment asked for")
    b.worker.stop()
    running.result()


def test_an_overrun_of_the_poll_interval_is_logged_with_its_name(caplog):
    b = WorkerHarness()
    running = b.start()
    wait_for(lambda: b.consumers and b.consumer.polls > 1, 20, "polls")
    b.now_s += 61
    wait_for(lambda: "max.poll.interval.ms" in caplog.text, 20, "line about the overrun")
    b.worker.stop()
    running.result()


# The end


def test_stopped_before_kafka_was_reached_it_ends():
    b = WorkerHarness()
    b.away.set()
    running = b.start()
    b.worker.stop()
    running.result()
    assert not b.worker.can_leave


def test_a_stop_lets_jobs_finish_while_it_goes_on_polling():
    started, go_on = threading.Event(), threading.Event()

    def run(record, context):
        started.set()
        assert go_on.wait(20)
        return Done((Message("results", b"k", record.value),))

    b = WorkerHarness(run, log=values(1))
    running = b.start()
    assert started.wait(20)
    b.worker.stop()
    b.log += [b"1", b"2"]  # there is a slot for one, and it must stay free
    polls = b.consumer.polls
    wait_for(lambda: b.consumer.polls > polls + 2, 20, "polls after the stop")
    go_on.set()
    running.result()
    assert [message.value for message in b.broker.messages] == [b"0"]
    assert b.worker.can_leave


def test_past_the_grace_a_job_that_notices_nothing_does_not_hold_the_worker():
    started, never = threading.Event(), threading.Event()

    def run(record, context):
        started.set()
        never.wait(60)
        return Done((Message("results", b"k", record.value),))

    b = WorkerHarness(run, log=values(1))
    running = b.start()
    assert started.wait(20)
    b.worker.stop()
    polls = b.consumer.polls
    wait_for(lambda: b.consumer.polls > polls + 1, 20, "polls after the stop")
    assert running.waits
    b.now_s += 21  # the grace
    (lease,) = b.worker._leases._running
    wait_for(lambda: not lease.live, 20, "cancelled job")
    b.now_s += 6
    running.result()
    never.set()
    assert b.broker.messages == []


def test_a_worker_that_lost_its_broker_does_not_try_to_leave_the_group():
    b = WorkerHarness()
    running = b.start()
    wait_for(lambda: b.consumers and b.consumer.polls > 1, 20, "polls")
    b.consumer.cut_off = True
    b.worker.stop()
    running.result()
    assert not b.worker.can_leave


# Readiness


def test_readiness_names_what_is_missing():
    b = WorkerHarness()
    assert "joining" in b.worker.check().detail
    running = b.start()
    wait_for(lambda: b.worker.check().ok, 20, "readiness")
    assert json.dumps(b.worker.check().detail)
    b.consumer.joining = True
    assert "joining" in b.worker.check().detail
    b.consumer.joining, b.consumer.cut_off = False, True
    assert "does not answer" in b.worker.check().detail
    b.worker.stop()
    running.result()


def test_without_a_producer_it_is_not_ready():
    b = WorkerHarness(pace=replace(HURRIED, committer_stop_s=0.1))

    def refuse():
        raise KafkaConnectionError

    b.make_producer = refuse
    running = b.start()
    wait_for(lambda: "producer" in b.worker.check().detail, 20, "word about the producer")
    assert not b.worker.check().ok
    b.worker.stop()
    running.result()


# Not for now


def test_while_it_may_not_begin_it_takes_nothing_gives_its_partitions_up_and_takes_them_again_afterwards():
    b = WorkerHarness(log=[b"1"])
    b.may_begin = False
    running = b.start()
    wait_for(lambda: b.consumers and b.consumer.polls > 3, 20, "polls")
    assert b.broker.messages == []
    b.now_s += 2
    wait_for(lambda: b.consumer.rejoins == 1, 20, "another assignment asked for")
    assert b.consumer.needs(set()).leaves
    b.may_begin = True
    b.wait_for_results(1)
    b.now_s += 2
    wait_for(lambda: b.consumer.rejoins == 2, 20, "its share asked for")
    assert not b.consumer.needs(set()).leaves
    b.worker.stop()
    running.result()

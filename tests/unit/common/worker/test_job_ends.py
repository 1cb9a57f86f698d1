"""How a job's thread ends when it is stopped, and when Kafka never takes what it has to say."""

import pytest

from common.errors import CrashError, ErrorCode
from common.jobs import dead_letters
from common.jobs.outcome import Done, Dropped, Poison
from common.kafka.records import Message
from common.worker.commit_request import CommitResult
from tests.support.common.worker.fakes import FakeHandler
from tests.support.common.worker.job_harness import Desk, returning

RESULT = Message("results", b"k", b"done")


# Attempts that were stopped


def stopped_with(desk: Desk, stop) -> FakeHandler:
    def run(record, context):
        stop()
        context.check()
        raise AssertionError("not stopped")

    return FakeHandler(run)


def test_an_attempt_that_a_shutdown_stops_does_not_count():
    desk = Desk(attempts_before=2)
    assert desk.run(stopped_with(desk, desk.table.cancel_all)) == []
    assert desk.assignment.committed_state.counted_attempts(0) == 2
    assert not desk.done


def test_what_a_shutdown_made_of_the_job_does_not_count_either():
    desk = Desk()

    def run(record, context):
        desk.table.cancel_all()
        raise CrashError(ErrorCode.ENGINE_CRASHED)

    assert desk.run(FakeHandler(run)) == []
    assert desk.assignment.committed_state.counted_attempts(0) == 0


def test_what_a_stopped_job_did_all_the_same_is_undone():
    desk = Desk()
    undone: list[str] = []

    def run(record, context):
        desk.table.cancel_all()
        return Done((RESULT,), undo=lambda: undone.append("undone"))

    assert desk.run(FakeHandler(run)) == []
    assert undone == ["undone"]
    assert desk.assignment.committed_state.counted_attempts(0) == 0


def test_an_attempt_whose_partition_has_left_is_not_handed_back():
    desk = Desk(attempts_before=1)
    desk.run(stopped_with(desk, desk.table.drop))
    assert desk.assignment.committed_state.counted_attempts(0) == 2


def test_a_job_that_stops_unasked_counts_so_that_it_is_not_read_again_for_ever():
    desk = Desk()
    desk.run(FakeHandler(returning(Dropped())))
    assert desk.assignment.committed_state.counted_attempts(0) == 1
    assert desk.will_be_read_again


@pytest.mark.parametrize("end", [CommitResult.UNKNOWN, CommitResult.NOT_COMMITTED])
def test_an_attempt_whose_result_was_sent_is_not_handed_back(end: CommitResult):
    desk = Desk()

    def finish(lease, messages) -> CommitResult:
        desk.table.cancel_all()
        return end

    desk.ledger.finish = finish
    desk.run(FakeHandler(returning(Done((RESULT,)))))
    assert desk.assignment.committed_state.counted_attempts(0) == 1


# What Kafka never takes


def test_a_result_that_kafka_never_takes_is_a_failure():
    desk = Desk(refuse=lambda message: message == RESULT)
    (message,) = desk.run(FakeHandler(returning(Done((RESULT,)))))
    assert message.topic == "results"
    assert b"too large" in message.value
    assert desk.done


def test_if_the_failure_cannot_be_written_either_a_bare_letter_is():
    desk = Desk(refuse=lambda message: message.value != b"")
    (letter,) = desk.run(FakeHandler(returning(Done((RESULT,)))))
    assert letter.topic == "dead"
    assert dict(letter.headers)[dead_letters.ORIGIN] == b"tasks/0/0"
    assert desk.done


def test_poison_that_cannot_be_written_leaves_a_bare_letter():
    def give_up(record, error, context):
        raise ValueError("no message")

    desk = Desk(refuse=lambda message: message.value != b"")
    (letter,) = desk.run(FakeHandler(returning(Poison("not JSON")), give_up))
    assert (letter.topic, letter.value) == ("dead", b"")
    assert desk.done


def test_if_nothing_at_all_can_be_written_the_record_is_read_again():
    desk = Desk(refuse=lambda message: True)
    assert desk.run(FakeHandler(returning(Done((RESULT,))))) == []
    assert not desk.done
    assert desk.will_be_read_again


def test_a_job_that_waits_for_its_turn_does_not_begin_in_a_worker_that_stops():
    desk = Desk(attempts_before=2)
    began: list[object] = []
    with desk.table.quarantine.turn(False, lambda: True):
        desk.run(FakeHandler(lambda record, context: began.append(record)), lambda lease: desk.table.drain())
    assert began == []
    assert desk.assignment.committed_state.attempts(0) == 2

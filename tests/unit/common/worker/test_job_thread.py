"""One job's thread: whatever the handler does, the record has an outcome and the slot is freed."""

import pytest

from common.errors import Cancelled, CrashError, ErrorCode, PermanentError, TransientError
from common.jobs import dead_letters
from common.jobs.outcome import Done, Dropped, Failed, Poison
from common.kafka.records import Message
from common.worker.commit_request import CommitResult
from tests.support.common.worker.fakes import FakeHandler
from tests.support.common.worker.job_harness import Desk, raising, returning

RESULT = Message("results", b"k", b"done")
CRASH = CrashError(ErrorCode.ENGINE_CRASHED)
GONE_WRONG = TransientError(ErrorCode.NETWORK_ERROR, "reset")


def test_a_done_job_publishes_and_then_does_what_follows():
    desk = Desk()
    seen: list[list[Message]] = []
    handler = FakeHandler(returning(Done((RESULT,), lambda: seen.append(list(desk.ledger.published)))))
    assert desk.run(handler) == [RESULT]
    assert seen == [[RESULT]]
    assert desk.done


@pytest.mark.parametrize(
    ("end", "effects"),
    [(CommitResult.COMMITTED, ["after"]), (CommitResult.NOT_COMMITTED, ["undo"]), (CommitResult.UNKNOWN, [])],
)
def test_what_follows_is_done_or_undone_only_for_certain(end: CommitResult, effects: list[str]):
    desk = Desk()
    desk.ledger.finish = lambda lease, messages, undo: end
    seen: list[str] = []
    done = Done((RESULT,), after_commit=lambda: seen.append("after"), undo=lambda: seen.append("undo"))
    desk.run(FakeHandler(returning(done)))
    assert seen == effects


def test_the_first_attempt_is_number_one():
    attempts: list[int] = []

    def run(record, context):
        attempts.append(context.attempt)
        return Done()

    Desk().run(FakeHandler(run))
    Desk(attempts_before=2).run(FakeHandler(run))
    assert attempts == [1, 3]


@pytest.mark.parametrize("run", [raising(GONE_WRONG), returning(Failed(GONE_WRONG))])
def test_a_failed_job_is_given_up_by_its_handler(run):
    desk = Desk()
    result, letter = desk.run(FakeHandler(run))
    assert result == Message("results", b"k", b"reset")
    assert (letter.topic, letter.value) == ("dead", b"v")
    assert desk.done


def test_a_job_that_failed_for_now_waits_for_its_next_try():
    desk = Desk()
    (waiting,) = desk.run(FakeHandler(raising(GONE_WRONG), retries=1))
    assert waiting.topic == "tasks_retry_30s"
    assert desk.done


@pytest.mark.parametrize(
    "error", [ValueError("/srv/secret"), SystemExit("/srv/secret"), MemoryError("/srv/secret")]
)
def test_an_unexpected_error_is_a_failure_that_does_not_tell_strangers_our_paths(error):
    desk = Desk()
    result, letter = desk.run(FakeHandler(raising(error)))
    assert type(error).__name__.encode() in result.value
    assert b"secret" not in result.value
    assert b"secret" not in dict(letter.headers)[dead_letters.REASON]
    assert desk.done


def test_an_unexpected_error_is_tried_again():
    desk = Desk()
    (waiting,) = desk.run(FakeHandler(raising(ValueError("/srv/secret")), retries=1))
    assert waiting.topic == "tasks_retry_30s"
    assert all(b"secret" not in value for _, value in waiting.headers)


def test_a_crash_publishes_nothing_and_the_record_is_read_again_at_once():
    desk = Desk()
    assert desk.run(FakeHandler(raising(CRASH))) == []
    assert desk.assignment.committed_state.attempts(0) == 1
    assert desk.will_be_read_again


def test_poison_is_put_aside():
    desk = Desk()
    (letter,) = desk.run(FakeHandler(returning(Poison("not JSON"))))
    assert (letter.topic, letter.value) == ("dead", b"v")
    assert dict(letter.headers)[dead_letters.ERROR_CODE] == b"invalid_message"
    assert desk.done


@pytest.mark.parametrize(
    "error", [ValueError("second"), SystemExit("second"), PermanentError(ErrorCode.TOO_LONG, "second")]
)
def test_a_job_that_cannot_be_given_up_is_put_aside_with_both_reasons(error):
    def give_up(record, first, context):
        raise error

    desk = Desk()
    (letter,) = desk.run(FakeHandler(raising(GONE_WRONG), give_up))
    reason = dict(letter.headers)[dead_letters.REASON].decode()
    assert "reset" in reason
    assert "second" in reason
    assert desk.done


@pytest.mark.parametrize("run", [raising(Cancelled()), returning(Dropped())])
def test_a_cancelled_job_publishes_nothing(run):
    desk = Desk()
    assert desk.run(FakeHandler(run)) == []
    assert not desk.done


def test_a_job_cancelled_while_it_is_given_up_publishes_nothing():
    def give_up(record, error, context):
        raise Cancelled

    desk = Desk()
    assert desk.run(FakeHandler(raising(GONE_WRONG), give_up)) == []
    assert not desk.done


def test_a_lease_that_is_lost_before_the_start_starts_nothing():
    desk = Desk()
    ran: list[int] = []
    desk.run(FakeHandler(lambda record, context: ran.append(1)), lambda lease: desk.table.drop())
    assert ran == []


def test_a_lease_that_is_lost_during_the_job_stops_it():
    desk = Desk()
    stopped: list[str] = []

    def run(record, context):
        desk.table.drop()
        try:
            context.wait(60)
        except Cancelled:
            stopped.append("wait")
            raise
        return Done((RESULT,))

    assert desk.run(FakeHandler(run)) == []
    assert stopped == ["wait"]


def test_what_follows_does_not_happen_without_the_commit():
    desk = Desk()
    followed: list[int] = []

    def run(record, context):
        desk.table.drop()
        return Done((RESULT,), lambda: followed.append(1))

    assert desk.run(FakeHandler(run)) == []
    assert followed == []


def test_an_error_in_what_follows_costs_neither_slot_nor_result():
    def broken() -> None:
        raise OSError("disk")

    desk = Desk()
    assert desk.run(FakeHandler(returning(Done((RESULT,), broken)))) == [RESULT]
    assert desk.done


def test_after_three_attempts_the_job_is_given_up_unrun():
    ran: list[int] = []
    desk = Desk(attempts_before=3)
    result, letter = desk.run(FakeHandler(lambda record, context: ran.append(1)))
    assert b"3 attempts" in result.value
    assert dict(letter.headers)[dead_letters.ERROR_CODE] == b"engine_crashed"
    assert ran == []


def test_a_third_attempt_is_still_run():
    desk = Desk(attempts_before=2)
    assert desk.run(FakeHandler(returning(Done((RESULT,))))) == [RESULT]

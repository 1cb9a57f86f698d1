"""Each outcome publishes a result, the record of the next try, a dead letter, or nothing."""

import itertools
from dataclasses import replace

import pytest

from common.errors import Cancelled, CrashError, ErrorCode, JobError, PermanentError, TransientError
from common.jobs import dead_letters, retry
from common.jobs.outcome import Done, Dropped, Failed, Outcome, Poison
from common.jobs.retry import Decision, GivenUp, Retry
from common.jobs.settlement import Settlement
from common.kafka.records import Message, Record
from tests.support.common.worker.fakes import FakeContext, FakeHandler, record, rules

NOTE = Message("deliveries", b"k", b"note")
FOR_NOW = TransientError(ErrorCode.NETWORK_ERROR, "reset")
FOR_GOOD = PermanentError(ErrorCode.NOT_AUDIO, "no audio")
CRASH = CrashError(ErrorCode.ENGINE_CRASHED, "died")


def settle(
    outcome: Outcome, *, retries: int = 0, attempt: int = 1, given: Record | None = None, **handler
) -> Done | None:
    fake = FakeHandler(run=lambda record, context: outcome, retries=retries, **handler)
    settlement = Settlement(given or record(7), fake, FakeContext(attempt), rules(now_s=1000.0), "tasks[0]@7")
    return settlement.settle(outcome)


def headers(message: Message) -> dict[str, bytes]:
    return dict(message.headers)


def result(error: JobError) -> Message:
    """Returns the result that FakeHandler publishes when it gives up."""
    return Message("results", b"k", error.message.encode())


def test_what_is_done_is_published_as_it_is():
    done = Done((NOTE,))
    assert settle(done) is done


def test_what_was_dropped_publishes_nothing():
    assert settle(Dropped()) is None


def test_poison_goes_to_the_dead_letters_and_nowhere_else():
    (letter,) = settle(Poison("not JSON"), retries=3).messages
    assert (letter.topic, letter.key, letter.value) == ("dead", b"k", b"v")
    assert headers(letter)[dead_letters.ERROR_CODE] == b"invalid_message"
    assert headers(letter)[dead_letters.REASON] == b"not JSON"


# Failed for now


def test_what_failed_for_now_waits_and_is_not_given_up():
    (waiting,) = settle(Failed(FOR_NOW), retries=1).messages
    assert waiting.topic == "tasks_retry_30s"
    assert headers(waiting)[retry.NOT_BEFORE_MS] == b"1030000"
    assert headers(waiting)[retry.ORIGIN] == b"tasks/0/7"


def test_out_of_tries_it_is_given_up_with_a_letter_that_carries_its_history():
    first = TransientError(ErrorCode.HTTP_ERROR, "HTTP error: 503")
    schedule = FakeHandler(None, retries=1).schedule(first)
    message = rules().retries.next_try(record(7), first, schedule, 0.0).waiting
    given = record(0, topic=message.topic, headers=message.headers)
    published, letter = settle(Failed(FOR_NOW), retries=1, given=given).messages
    assert published == result(FOR_NOW)
    assert headers(letter) == {
        retry.ORIGIN: b"tasks/0/7",
        retry.TRIES: b'{"job":2}',
        retry.FIRST_ERROR: b"http_error: HTTP error: 503",
        retry.LAST_ERROR: b"network_error: reset",
        dead_letters.ERROR_CODE: b"network_error",
        dead_letters.REASON: b"reset",
        dead_letters.ATTEMPT: b"1",
    }


# Failed for good


def test_what_failed_for_good_is_given_up_at_once_without_a_letter():
    assert settle(Failed(FOR_GOOD), retries=3).messages == (result(FOR_GOOD),)


def test_a_failure_that_is_neither_is_given_up_with_a_letter():
    other = JobError(ErrorCode.INTERNAL_ERROR, "odd")
    published, letter = settle(Failed(other), retries=3).messages
    assert published == result(other)
    assert letter.topic == "dead"


# Crashed


@pytest.mark.parametrize("attempt", [1, 2])
def test_a_crash_with_attempts_left_publishes_nothing_so_that_it_is_read_again(attempt):
    assert settle(Failed(CRASH), attempt=attempt, retries=3) is None


def test_a_letters_attempt_counts_as_the_limit_does():
    context = FakeContext(attempt=9, handed_back=6)
    settlement = Settlement(record(7), FakeHandler(lambda r, c: None), context, rules(now_s=1000.0), "r")
    (letter,) = (m for m in settlement.settle(Poison("no task")).messages if m.topic == "dead")
    assert dict(letter.headers)["uvr-attempt"] == b"3"


def test_a_crash_of_the_last_attempt_is_given_up_with_a_letter():
    published, letter = settle(Failed(CRASH), attempt=3, retries=3).messages
    assert published == result(CRASH)
    assert headers(letter)[dead_letters.ERROR_CODE] == b"engine_crashed"
    assert headers(letter)[dead_letters.ATTEMPT] == b"3"
    assert retry.TRIES not in headers(letter)  # no try of a schedule


# What goes along


class Reporting(FakeHandler):
    """Reports every failure by NOTE, and notes the effects that follow."""

    def __init__(self, retries: int):
        super().__init__(lambda record, context: Done(), retries=retries)
        self.followed: list[str] = []
        self.asked: list[tuple[Failed, Decision]] = []

    def after_failure(self, job, failed, decision, context) -> Done:
        self.asked.append((failed, decision))
        letters = (decision.letter,) if isinstance(decision, GivenUp) else ()
        return Done(
            (NOTE, *letters), lambda: self.followed.append("after"), lambda: self.followed.append("undo")
        )

    def settle(self, failed: Failed) -> Done:
        self.settlement = Settlement(record(7), self, FakeContext(), rules(now_s=1000.0), "tasks[0]@7")
        return self.settlement.settle(failed)


FAILURES = [(FOR_NOW, 1), (FOR_NOW, 0), (FOR_GOOD, 0)]


@pytest.mark.parametrize(("error", "retries"), FAILURES)
def test_a_failures_messages_are_published_with_the_waiting_record_or_the_letter(error, retries):
    note, other = Reporting(retries).settle(Failed(error)).messages
    assert note == NOTE
    assert other.topic == ("tasks_retry_30s" if retries else "dead")


@pytest.mark.parametrize(("error", "retries"), FAILURES)
def test_a_failures_effects_follow_the_commit_too(error, retries):
    handler = Reporting(retries)
    done = handler.settle(Failed(error))
    done.after_commit()
    assert handler.followed == ["after"]
    done.undo()
    assert handler.followed == ["after", "undo"]


def test_the_handler_is_asked_once_with_the_very_decision_that_is_published():
    handler, failed = Reporting(1), Failed(FOR_NOW)
    *_, waiting = handler.settle(failed).messages
    assert handler.asked == [(failed, Retry(1030.0, waiting))]
    assert headers(waiting)[retry.NOT_BEFORE_MS] == b"1030000"


def test_one_reading_of_the_clock_decides_everything_about_a_retry():
    readings = itertools.count(1000)
    handler = Reporting(1)
    one_rules = replace(rules(), wall_clock=lambda: float(next(readings)))
    Settlement(record(7), handler, FakeContext(), one_rules, "tasks[0]@7").settle(Failed(FOR_NOW))
    assert next(readings) == 1001


# Decoded once


class Counting(Reporting):
    """Counts how often it decodes."""

    def decode(self, record: Record) -> bytes | None:
        self.decoded = getattr(self, "decoded", 0) + 1
        return super().decode(record)


def test_a_record_is_decoded_once_for_its_run_and_its_failure():
    handler = Counting(1)
    settlement = Settlement(record(7), handler, FakeContext(), rules(), "tasks[0]@7")
    settlement.run()
    settlement.settle(Failed(FOR_NOW))
    assert handler.decoded == 1


class Refusing(FakeHandler):
    """Can decode nothing."""

    def decode(self, record: Record) -> Poison:
        return Poison("not JSON")

    def after_failure(self, job, failed, decision, context) -> Done:
        raise AssertionError("asked about a record that it cannot decode")


def test_a_record_that_cannot_be_decoded_is_not_run():
    handler = Refusing(lambda record, context: Done())
    assert Settlement(record(7), handler, FakeContext(), rules(), "r").run() == Poison("not JSON")


def test_a_record_that_cannot_be_decoded_and_is_given_up_unrun_is_put_aside():
    handler = Refusing(lambda record, context: Done())
    settlement = Settlement(record(7), handler, FakeContext(3), rules(), "r")
    (letter,) = settlement.settle(Failed(CRASH)).messages
    assert headers(letter)[dead_letters.ERROR_CODE] == b"internal_error"
    assert b"not JSON" in headers(letter)[dead_letters.REASON]


# Giving up that fails itself


@pytest.mark.parametrize("second", [ValueError("second"), SystemExit("second"), FOR_NOW])
def test_a_failure_that_cannot_be_given_up_is_put_aside_with_both_reasons(second):
    def give_up(record, error, context):
        raise second

    (letter,) = settle(Failed(FOR_GOOD), give_up=give_up).messages
    assert headers(letter)[dead_letters.ERROR_CODE] == b"internal_error"
    reason = headers(letter)[dead_letters.REASON].decode()
    assert "no audio" in reason
    assert str(second) in reason


def test_a_job_that_is_stopped_while_it_is_given_up_publishes_nothing():
    def give_up(record, error, context):
        raise Cancelled

    assert settle(Failed(FOR_GOOD), give_up=give_up) is None


def test_a_bare_letter_tells_where_the_record_is():
    settlement = Settlement(record(7), FakeHandler(None), FakeContext(2), rules(), "tasks[0]@7")
    (letter,) = settlement.bare_letter("too large").messages
    assert (letter.topic, letter.key, letter.value) == ("dead", None, b"")
    assert headers(letter)[retry.ORIGIN] == b"tasks/0/7"
    assert headers(letter)[dead_letters.REASON] == b"too large"

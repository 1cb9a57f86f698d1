"""What is published for each outcome: a result, the record of the next try, a dead letter, or nothing."""

import pytest

from common.errors import Cancelled, CrashError, ErrorCode, JobError, PermanentError, TransientError
from common.jobs import dead_letters, retry
from common.jobs.outcome import Done, Dropped, Failed, Outcome, Poison
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
    """What FakeHandler gives up with."""
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
    message = rules().retries.next_try(record(7), first, FakeHandler(None, retries=1).schedule(first), 0.0)
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
    assert settle(Failed(CRASH, (NOTE,)), attempt=attempt, retries=3) is None


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


@pytest.mark.parametrize(("error", "retries"), [(FOR_NOW, 1), (FOR_NOW, 0), (FOR_GOOD, 0)])
def test_a_failures_own_messages_are_published_with_what_becomes_of_it(error, retries):
    assert NOTE in settle(Failed(error, (NOTE,)), retries=retries).messages


def test_what_follows_a_failure_that_waits_is_its_own():
    followed: list[str] = []
    settle(Failed(FOR_NOW, (), lambda: followed.append("failed")), retries=1).after_commit()
    assert followed == ["failed"]


@pytest.mark.parametrize("error", [FOR_NOW, FOR_GOOD])
def test_a_given_up_failures_effects_follow_the_commit_too(error):
    followed: list[str] = []

    def give_up(record, error, context):
        return Done((result(error),), lambda: followed.append("given up"), lambda: followed.append("undone"))

    done = settle(Failed(error, (), lambda: followed.append("failed")), give_up=give_up)
    done.after_commit()
    assert sorted(followed) == ["failed", "given up"]
    done.undo()
    assert followed[-1] == "undone"


# Giving up that fails itself


@pytest.mark.parametrize("second", [ValueError("second"), SystemExit("second"), FOR_NOW])
def test_a_failure_that_cannot_be_given_up_is_put_aside_with_both_reasons(second):
    def give_up(record, error, context):
        raise second

    followed: list[str] = []
    done = settle(Failed(FOR_GOOD, (NOTE,), lambda: followed.append("failed")), give_up=give_up)
    done.after_commit()
    assert followed == ["failed"]
    *others, letter = done.messages
    assert others == [NOTE]
    assert headers(letter)[dead_letters.ERROR_CODE] == b"internal_error"
    reason = headers(letter)[dead_letters.REASON].decode()
    assert "no audio" in reason
    assert str(second) in reason


def test_a_job_that_is_stopped_while_it_is_given_up_publishes_nothing():
    def give_up(record, error, context):
        raise Cancelled

    assert settle(Failed(FOR_GOOD, (NOTE,)), give_up=give_up) is None


def test_a_bare_letter_tells_where_the_record_is():
    settlement = Settlement(record(7), FakeHandler(None), FakeContext(2), rules(), "tasks[0]@7")
    (letter,) = settlement.bare_letter("too large").messages
    assert (letter.topic, letter.key, letter.value) == ("dead", None, b"")
    assert headers(letter)[retry.ORIGIN] == b"tasks/0/7"
    assert headers(letter)[dead_letters.REASON] == b"too large"

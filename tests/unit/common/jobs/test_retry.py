"""Retries follow their schedule, and their history travels in headers that anyone can write."""

import json

import pytest

from common.errors import ErrorCode, TransientError
from common.jobs import retry
from common.jobs.retry import History, RetryPolicy, RetrySchedule
from common.kafka import retry_topics
from common.kafka.records import Record
from tests.support.common.worker.fakes import record

POLICY = RetryPolicy("tasks", (30, 300, 3600))
NOW_S = 1_700_000_000.0
THREE = RetrySchedule("job", 3)
MANY = RetrySchedule("callback", 26)


def error(retry_after_s: float | None = None, text: str = "reset") -> TransientError:
    return TransientError(ErrorCode.NETWORK_ERROR, text, retry_after_s)


def tried(**counts: int) -> Record:
    return record(0, headers=((retry.TRIES, json.dumps(counts).encode()),))


def delay_s_of(given: Record, failed: TransientError, schedule: RetrySchedule) -> int | None:
    """Returns the seconds until the next try; None when there is none."""
    next_try = POLICY.next_try(given, failed, schedule, 0.0)
    return None if next_try is None else next_try.at


def next_record(given: Record, failed: TransientError, schedule: RetrySchedule = MANY) -> Record:
    """Returns the record that waits, as it is read from its topic."""
    message = POLICY.next_try(given, failed, schedule, NOW_S).waiting
    return record(9, topic=message.topic, key=message.key, value=message.value, headers=message.headers)


# Which delay


def test_jobs_wait_each_delay_once_and_are_out_of_tries_then():
    delays = [delay_s_of(tried(job=count), error(), THREE) for count in range(4)]
    assert delays == [30, 300, 3600, None]


def test_callbacks_go_on_with_the_last_delay():
    delays = [delay_s_of(tried(callback=count), error(), MANY) for count in range(27)]
    assert delays == [30, 300, *[3600] * 24, None]


def test_a_schedule_without_retries_has_no_delay():
    assert delay_s_of(record(0), error(), RetrySchedule("job", 0)) is None


def test_schedules_are_counted_apart():
    given = tried(callback=2)
    assert delay_s_of(given, error(), THREE) == 30
    assert delay_s_of(given, error(), MANY) == 3600
    assert retry.history(next_record(given, error(), THREE)).failed_tries == {"callback": 2, "job": 1}


@pytest.mark.parametrize(
    ("retry_after_s", "delay_s"),
    [(None, 30), (0, 30), (-5, 30), (30, 30), (30.1, 300), (299, 300), (301, 3600), (86400, 3600)],
)
def test_a_longer_retry_after_is_rounded_up_to_the_next_delay_and_capped_at_the_longest(
    retry_after_s, delay_s
):
    assert delay_s_of(record(0), error(retry_after_s), THREE) == delay_s


def test_a_shorter_retry_after_does_not_shorten_a_delay():
    assert delay_s_of(tried(job=1), error(10), THREE) == 300


# The record that waits


def test_the_record_that_waits_is_the_record_with_its_history():
    given = record(17, partition=3, headers=(("trace", b"7"),))
    message = POLICY.next_try(given, error(), THREE, NOW_S).waiting
    assert (message.topic, message.key, message.value) == ("tasks_retry_30s", b"k", b"v")
    assert dict(message.headers) == {
        "trace": b"7",
        retry.ORIGIN: b"tasks/3/17",
        retry.TRIES: b'{"job":1}',
        retry.FIRST_ERROR: b"network_error: reset",
        retry.LAST_ERROR: b"network_error: reset",
        retry.NOT_BEFORE_MS: b"1700000030000",
    }


def test_out_of_tries_there_is_none():
    assert POLICY.next_try(tried(job=3), error(), THREE, NOW_S) is None


def test_a_history_keeps_its_origin_and_first_error_over_every_try():
    given = record(17, partition=3)
    for text in ("first", "second", "third"):
        given = next_record(given, error(text=text))
    assert retry.history(given) == History(
        "tasks/3/17", {"callback": 3}, "network_error: first", "network_error: third"
    )
    assert len(given.headers) == len(dict(given.headers))


def test_an_errors_text_of_any_kind_and_length_can_be_written():
    given = next_record(record(0), error(text="\udcff" + "é" * 5000))
    assert sum(len(value) for _, value in given.headers) < 4000
    assert retry.history(given).last_error.startswith("network_error: ?é")


# Headers that anyone can write


@pytest.mark.parametrize(
    "value",
    [
        None, b"", b"x", b"\xff", b"null", b"[]", b"7", b'{"job": null}', b'{"job": []}', b'{"job": "x"}',
        b'{"job": 1e999}', b'{"job": NaN}', b"[" * 4000, b'{"job": ' + b"9" * 5000 + b"}",
    ],
)  # fmt: skip
def test_counts_that_are_not_ours_count_nothing(value):
    given = record(0, headers=((retry.TRIES, value),))
    assert delay_s_of(given, error(), THREE) == 30
    assert retry.history(given).failed_tries == {}


def test_null_headers_are_taken_for_empty_ones_and_can_be_written_again():
    given = record(0, headers=((retry.ORIGIN, None), (retry.FIRST_ERROR, None), ("trace", None)))
    message = POLICY.next_try(given, error(), THREE, NOW_S).waiting
    assert all(isinstance(value, bytes) for _, value in message.headers)
    assert dict(message.headers)["trace"] == b""


def waiting(due_ms: bytes | None, topic: str = "tasks_retry_30s") -> Record:
    return record(0, topic=topic, headers=((retry.NOT_BEFORE_MS, due_ms),))


def test_a_record_waits_until_it_is_due():
    assert retry.wait_s(waiting(b"1700000012500"), NOW_S) == 12.5
    assert retry.wait_s(waiting(b"1700000000000"), NOW_S) == 0
    assert retry.wait_s(waiting(b"1600000000000"), NOW_S) == 0


def test_no_record_waits_longer_than_its_topics_delay():
    assert retry.wait_s(waiting(b"999999999999999"), NOW_S) == 30  # another host's clock


@pytest.mark.parametrize("due_ms", [None, b"", b"x", b"-1", b"1.5", b"9" * 400, b"9" * 5000])
def test_a_due_time_that_is_not_ours_is_now(due_ms):
    assert retry.wait_s(waiting(due_ms), NOW_S) == 0


def test_only_retry_topics_hold_records_that_wait():
    assert retry.wait_s(waiting(b"1700000012500", "tasks"), NOW_S) == 0
    assert retry.wait_s(record(0, topic="tasks_retry_30s"), NOW_S) == 0


# Topics


def test_each_delay_has_a_topic_of_its_own():
    assert retry_topics.topics("tasks", (30, 300)) == ["tasks_retry_30s", "tasks_retry_300s"]


def test_a_family_has_the_retry_topics_of_every_delay_there_ever_was_and_no_others():
    existing = ["tasks_retry_30s", "tasks_retry_7s", "tasks", "results_retry_30s", "tasks_retry_xs",
                "my_tasks_retry_30s", "tasks_retry_30s_retry_30s", "tasks_dead", "tasks_retry_"]  # fmt: skip
    assert retry_topics.family("tasks", existing) == ["tasks", "tasks_retry_30s", "tasks_retry_7s"]


def test_a_base_of_any_name_is_no_pattern():
    assert retry_topics.family("t.sks", ["tasks_retry_30s", "t.sks_retry_30s"]) == [
        "t.sks",
        "t.sks_retry_30s",
    ]


def test_a_schedule_that_comes_later_lets_the_earlier_ones_begin_anew():
    error = TransientError(ErrorCode.STORAGE_ERROR)
    job, callback = RetrySchedule("job", 3), RetrySchedule("callback", 26, resets=("job",))
    past = History("tasks/0/1").failed(job, error).failed(job, error).failed(callback, error)
    assert past.failed_tries == {"callback": 1}
    assert past.failed(job, error).failed_tries == {"callback": 1, "job": 1}


@pytest.mark.parametrize(
    ("waited_s", "topic"),
    [(None, "tasks_retry_30s"), (0, "tasks_retry_30s"), (899, "tasks_retry_30s"), (900, "tasks_retry_300s")],
)
def test_what_is_deferred_waits_for_at_most_a_third_of_what_it_has_waited(waited_s, topic):
    policy = RetryPolicy("tasks", (30, 300, 3600))
    now_s = 50_000.0
    past = {retry.TRIES: b'{"job":2}', retry.ORIGIN: b"tasks/1/2", "traceparent": b"t"}
    if waited_s is not None:
        past[retry.DEFERRED_SINCE_MS] = str(int((now_s - waited_s) * 1000)).encode()
    deferred = policy.deferred(record(5, headers=tuple(past.items())), now_s)
    headers = dict(deferred.headers)
    delay_s = int(topic.removesuffix("s").rpartition("_")[2])
    assert deferred.topic == topic
    assert headers[retry.NOT_BEFORE_MS] == str(int((now_s + delay_s) * 1000)).encode()
    assert headers[retry.DEFERRED_SINCE_MS] == str(int((now_s - (waited_s or 0)) * 1000)).encode()
    assert {name: headers[name] for name in past if name != retry.DEFERRED_SINCE_MS} == {
        name: value for name, value in past.items() if name != retry.DEFERRED_SINCE_MS
    }


def test_a_try_that_failed_begins_the_wait_for_a_place_anew():
    policy = RetryPolicy("tasks", (30, 300))
    deferred = policy.deferred(record(5), 1.0)
    again = record(6, headers=deferred.headers)
    failed = policy.next_try(again, TransientError(ErrorCode.NETWORK_ERROR), RetrySchedule("job", 3), 2.0)
    assert retry.DEFERRED_SINCE_MS not in dict(failed.waiting.headers)

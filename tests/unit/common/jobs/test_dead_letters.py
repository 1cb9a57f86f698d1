"""A dead letter holds the record and why it was put aside, and Kafka takes every letter."""

from kafka.record.default_records import DefaultRecordBatchBuilder

from common.errors import ErrorCode, TransientError
from common.jobs import dead_letters, retry
from common.jobs.retry import HEADERS, History, RetrySchedule, history
from common.kafka.records import Message, Record

_MAX_REQUEST_BYTES = 1048576


def record(**fields) -> Record:
    return Record(**{"topic": "tasks", "partition": 3, "offset": 17, "key": b"k", "value": b"v"} | fields)


def letter(given: Record, reason: str = "why") -> Message:
    return dead_letters.letter("dead", given, "invalid_message", reason, 2, history(given))


def size_bytes(message: Message) -> int:
    """As the producer reckons it; raises what the producer would."""
    assert message.key is not None or message.value is not None, "the producer takes no empty message"
    assert all(isinstance(name, str) and isinstance(value, bytes) for name, value in message.headers)
    return DefaultRecordBatchBuilder.estimate_size_in_bytes(message.key, message.value, list(message.headers))


def test_a_letter_holds_the_record_and_where_it_came_from():
    message = letter(record(headers=(("trace", b"7"),)))
    assert (message.topic, message.key, message.value) == ("dead", b"k", b"v")
    assert message.headers[0] == ("trace", b"7")
    assert dict(message.headers[1:]) == {
        dead_letters.ERROR_CODE: b"invalid_message",
        dead_letters.REASON: b"why",
        dead_letters.ORIGIN: b"tasks/3/17",
        dead_letters.ATTEMPT: b"2",
    }


def test_a_letter_holds_the_records_history_once():
    past = History("tasks/0/5", {"job": 3}, "network_error: first", "network_error: last")
    given = record(topic="tasks_retry_30s", headers=(("trace", b"7"), *past.headers))
    names = [name for name, _ in letter(given).headers if name in HEADERS]
    assert sorted(names) == sorted({"uvr-tries", "uvr-origin", "uvr-first-error", "uvr-last-error"})
    headers = dict(letter(given).headers)
    assert headers["uvr-origin"] == b"tasks/0/5"
    assert headers["uvr-tries"] == b'{"job":3}'


def test_a_letter_tells_its_tries_and_the_place_of_the_first_one():
    error = TransientError(ErrorCode.HTTP_ERROR, "HTTP error: 503")
    policy = retry.RetryPolicy("tasks", (30,))
    again = policy.next_try(record(headers=(("trace", b"7"),)), error, RetrySchedule("job", 1), 0.0)
    waiting = again.waiting
    again = record(topic=waiting.topic, partition=0, offset=5, headers=waiting.headers)
    headers = letter(again).headers
    assert len({name for name, _ in headers}) == len(headers)
    assert headers[0] == ("trace", b"7")
    found = dict(headers)
    assert found[dead_letters.ORIGIN] == b"tasks/3/17"
    assert (found[retry.TRIES], found[retry.FIRST_ERROR]) == (b'{"job":1}', b"http_error: HTTP error: 503")
    assert retry.NOT_BEFORE_MS not in found


def test_a_value_that_is_too_large_is_cut_and_its_length_told():
    message = letter(record(value=b"x" * 1_040_000))
    assert size_bytes(message) < _MAX_REQUEST_BYTES
    assert dict(message.headers)[dead_letters.TRUNCATED] == b"1040000"
    assert set(message.value) == {ord("x")}


def test_headers_that_are_too_large_are_left_out_and_their_number_told():
    message = letter(record(headers=(("big", b"h" * 1_000_000), ("small", b"s"))))
    assert size_bytes(message) < _MAX_REQUEST_BYTES
    assert dict(message.headers)[dead_letters.DROPPED_HEADERS] == b"2"


def test_a_key_that_is_too_large_is_left_out():
    message = letter(record(key=b"k" * 1_000_000, value=None))
    assert size_bytes(message) < _MAX_REQUEST_BYTES
    assert dict(message.headers)[dead_letters.DROPPED_KEY] == b"1000000"


def test_a_header_without_a_value_is_kept_as_an_empty_one():
    message = letter(record(headers=(("null", None),)))
    assert size_bytes(message)
    assert message.headers[0] == ("null", b"")


def test_a_record_without_key_and_value_is_a_letter_without_bytes():
    message = letter(record(key=None, value=None))
    assert size_bytes(message)
    assert (message.key, message.value) == (None, b"")


def test_a_deleted_value_stays_one():
    assert letter(record(value=None)).value is None


def test_a_reason_of_any_text_and_length_can_be_written():
    message = letter(record(), "\ud800" + "é" * 5000)
    assert size_bytes(message) < 10_000
    assert dict(message.headers)[dead_letters.REASON].decode().startswith("?é")


def test_a_bare_letter_tells_only_where_the_record_is_and_why():
    message = dead_letters.bare_letter("dead", record(headers=(("trace", b"7"),)), "internal_error", "why", 2)
    assert (message.key, message.value) == (None, b"")
    assert dict(message.headers) == {
        dead_letters.ERROR_CODE: b"internal_error",
        dead_letters.REASON: b"why",
        dead_letters.ORIGIN: b"tasks/3/17",
        dead_letters.ATTEMPT: b"2",
    }

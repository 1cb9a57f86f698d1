"""Messages between versions of the services are read, or refused without a crash."""

import json
from uuid import UUID

import pytest
from pydantic import ValidationError

from common.tasks.messages import (
    FailureCallback,
    PublishedStem,
    Redelivery,
    Separated,
    SeparationFailed,
    StagedStem,
    SuccessCallback,
    Task,
    UndecodableMessage,
    decode_result,
    decode_result_record,
    decode_task,
)

ID = UUID("7c9e6679-7425-40de-944b-e07fc1f90ae7")
TASK = Task(task_uuid=ID, audio="https://a.example/ü.mp3", hook_url="https://a.example/h", submitted_at=1.5)
STEM = StagedStem(key=f"{ID}/5.1/vocals.wav", sha256="ab" * 32, bytes=10, duration_s=1.25)
COMMON = {"task_uuid": ID, "hook_url": "https://a.example/h", "submitted_at": 1.5, "finished_at": 9.0}
DONE = Separated(**COMMON, stems={"vocals": STEM}, model="m", device="cpu", gain=0.5)
FAILED = SeparationFailed(**COMMON, run=2, error_code="not_audio", error_message="It is no audio")


def altered(message, **changes) -> bytes:
    return json.dumps(json.loads(message.to_bytes()) | changes).encode()


def test_what_is_written_is_read():
    assert decode_task(TASK.to_bytes()) == TASK
    assert decode_result(DONE.to_bytes()) == DONE
    assert decode_result(FAILED.to_bytes()) == FAILED


def test_every_message_names_its_schema():
    assert {json.loads(message.to_bytes())["schema_version"] for message in (TASK, DONE, FAILED)} == {1}


def test_fields_of_a_newer_service_are_left_aside():
    assert decode_task(altered(TASK, urgency=5)) == TASK
    assert decode_result(altered(DONE, quality={"sdr": 12})) == DONE


def test_fields_that_an_older_service_does_not_write_have_defaults():
    old = json.loads(TASK.to_bytes())
    del old["user"], old["run"], old["schema_version"]
    assert decode_task(json.dumps(old).encode()) == TASK


def test_a_priority_is_written_only_where_it_says_something():
    assert b"priority" not in TASK.to_bytes()
    urgent = TASK.model_copy(update={"priority": 5})
    assert json.loads(urgent.to_bytes())["priority"] == 5
    assert decode_task(urgent.to_bytes()) == urgent
    for wrong in (0, 6, "5", 4.5, True, None):
        with pytest.raises(UndecodableMessage, match="priority"):
            decode_task(altered(TASK, priority=wrong))


BROKEN = [
    None,
    b"",
    b"not json",
    b"\xff\x00",
    b"[]",
    b"null",
    b"{}",
    b"[" * 100_000,
]


def test_a_redelivery_is_no_result_and_lies_where_results_do():
    callback = FailureCallback(task_uuid=UUID(int=1), timestamp=0.1 + 0.2, error_message="é", error_code="x")
    asked = Redelivery(
        task_uuid=UUID(int=1), hook_url="https://h.example/", run=2, requested_at=9.5, failure=callback
    )
    assert decode_result_record(asked.to_bytes()) == asked
    assert decode_result_record(asked.to_bytes()).failure.to_bytes() == callback.to_bytes()
    with pytest.raises(UndecodableMessage):
        decode_result(asked.to_bytes())
    assert [decode_result_record(result.to_bytes()) for result in (DONE, FAILED)] == [DONE, FAILED]


@pytest.mark.parametrize("decode", [decode_task, decode_result, decode_result_record])
@pytest.mark.parametrize("value", BROKEN)
def test_what_is_no_message_is_undecodable(decode, value):
    with pytest.raises(UndecodableMessage):
        decode(value)


@pytest.mark.parametrize(
    "changes",
    [
        {"schema_version": 2},
        {"task_uuid": "no uuid"},
        {"audio": None},
        {"submitted_at": "soon"},
        {"run": 0},
    ],
)
def test_a_task_with_a_wrong_field_is_undecodable_and_the_field_named(changes):
    with pytest.raises(UndecodableMessage, match=next(iter(changes))):
        decode_task(altered(TASK, **changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"status": "perhaps"},
        {"stems": {"vocals": {"key": "k"}}},
        {"stems": {"vocals": STEM.model_dump() | {"sha256": "AB" * 32}}},
        {"stems": {"vocals": STEM.model_dump() | {"bytes": -1}}},
    ],
)
def test_a_result_with_a_wrong_field_is_undecodable(changes):
    with pytest.raises(UndecodableMessage):
        decode_result(altered(DONE, **changes))


def test_what_is_wrong_is_said_without_the_value():
    with pytest.raises(UndecodableMessage) as caught:
        decode_task(altered(TASK, audio=["TOPSECRET"]))
    assert "audio" in str(caught.value)
    assert "TOPSECRET" not in str(caught.value)


@pytest.mark.parametrize("number", ["1e999", "NaN", "-Infinity"])
def test_numbers_that_json_cannot_carry_on_are_undecodable(number):
    with pytest.raises(UndecodableMessage):
        decode_task(TASK.to_bytes().replace(b"1.5", number.encode()))


def test_a_message_does_not_change():
    with pytest.raises(ValidationError):
        TASK.audio = "https://other.example"


def test_the_success_callback_has_the_contracts_fields():
    stem = PublishedStem(url="https://s.example/v", sha256="ab" * 32, bytes=10, duration_s=1.25)
    body = json.loads(
        SuccessCallback(
            task_uuid=ID,
            timestamp=5.0,
            vocals="https://s.example/v",
            instrumental="https://s.example/i",
            stems={"vocals": stem},
            model="m",
            device="cpu",
        ).to_bytes()
    )
    assert body["task_uuid"] == str(ID)
    assert (body["status"], body["timestamp"]) == ("success", 5.0)
    assert (body["vocals"], body["instrumental"]) == ("https://s.example/v", "https://s.example/i")
    assert body["stems"]["vocals"] == stem.model_dump()
    assert "expires_at" not in body


def test_the_failure_callback_has_the_contracts_fields():
    callback = FailureCallback(
        task_uuid=ID, timestamp=5.0, error_message="HTTP error: 404", error_code="http"
    )
    assert json.loads(callback.to_bytes()) == {
        "task_uuid": str(ID),
        "status": "failed",
        "timestamp": 5.0,
        "error_message": "HTTP error: 404",
        "error_code": "http",
    }

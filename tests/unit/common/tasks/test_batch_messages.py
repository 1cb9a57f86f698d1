"""The messages of batches, hook tests and events: what neighbouring versions read of them."""

import json
from uuid import UUID

import pytest

from common.tasks.messages import (
    BatchCallback,
    BatchEnded,
    EndedTask,
    HookTest,
    State,
    Task,
    TaskBatch,
    UndecodableMessage,
    decode_batch,
    decode_result,
    decode_result_record,
    decode_task,
    item_uuids,
)

ID = UUID("7c9e6679-7425-40de-944b-e07fc1f90ae7")
BATCH = TaskBatch(batch_uuid=ID, count=2, submitted_at=1.5, user="alice", metadata={"a": 1})
TASKS = tuple(EndedTask(task_uuid=one, state=State.SUCCEEDED) for one in item_uuids(ID, 0, 2))
CALLBACK = BatchCallback(batch_uuid=ID, timestamp=2.0, states={State.SUCCEEDED: 2}, tasks=TASKS)
ENDED = BatchEnded(batch_uuid=ID, hook_url="https://a.example/h", requested_at=3.0, callback=CALLBACK)
TEST = HookTest(test_uuid=ID, hook_url="https://a.example/h", requested_at=3.0)


def test_what_is_written_is_read_and_fields_of_a_newer_service_are_left_aside():
    newer = json.dumps(json.loads(BATCH.to_bytes()) | {"colour": "red"}).encode()
    assert decode_batch(newer) == decode_batch(BATCH.to_bytes()) == BATCH
    for message in (ENDED, TEST):
        newer = json.dumps(json.loads(message.to_bytes()) | {"colour": "red"}).encode()
        assert decode_result_record(newer) == message
        with pytest.raises(UndecodableMessage):
            decode_result(message.to_bytes())


def test_the_ids_of_a_batchs_tasks_never_change():
    first, second = item_uuids(ID, 0, 2)
    assert (str(first), [second]) == ("9633fb53-2467-5601-90dd-75ee949dd2c2", item_uuids(ID, 1, 2))


def test_a_task_of_an_older_api_has_the_default_events():
    old = Task(task_uuid=ID, audio="a", submitted_at=1.0)
    assert b"hook_events" not in old.to_bytes()
    assert decode_task(old.to_bytes()).hook_events is None

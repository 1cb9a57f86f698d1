"""A batch by UvrClient and by `uvr batch`, against the real api's code."""

import json

import pytest

from tests.support.api.api_server import api_server
from tests.support.client.impatient import impatient
from tests.support.client.uvr import UvrCommand
from uvr_client import BadRequest, Conflict, NotFound, State, UvrClient

pytestmark = pytest.mark.network
SONGS = [{"audio": f"https://example.com/{number}.mp3"} for number in range(3)]


@pytest.fixture(scope="module")
def api():
    with api_server() as server:
        yield server


@pytest.fixture
def client(api):
    with UvrClient(api.url, "admin", "password", patience=impatient()) as client:
        yield client


def test_a_batch_is_queued_seen_and_cancelled(client):
    queued = client.submit_batch(SONGS, {"label": "all"}, "https://example.com/hook", {"a": 1}, "order-18")
    again = client.submit_batch(SONGS, {"label": "all"}, "https://example.com/hook", {"a": 1}, "order-18")
    assert (again.batch_uuid, again.tasks) == (queued.batch_uuid, queued.tasks)
    seen = client.batch(queued.batch_uuid, offset=1, limit=1)
    assert (seen.count, seen.states, seen.metadata) == (3, {State.QUEUED: 3}, {"a": 1})
    assert [(item.index, item.task_uuid, item.label) for item in seen.items] == [
        (1, queued.tasks[1].task_uuid, "all")
    ]
    assert client.cancel_batch(queued.batch_uuid).batch_uuid == queued.batch_uuid
    assert (seen.callback.state, seen.callback.tries) == ("awaited", 0)
    with pytest.raises(Conflict, match="still to come"):
        client.redeliver_batch(queued.batch_uuid)
    with pytest.raises(NotFound):
        client.batch(queued.tasks[0].task_uuid)
    with pytest.raises(BadRequest, match=r"items\[1\]"):
        client.submit_batch([SONGS[0], {"audio": "ftp://example.com"}])


def test_the_callback_of_a_batch_that_is_over_is_sent_again(api, client):
    queued = client.submit_batch(SONGS[:1], hook_url="https://example.com/hook")
    (task_uuid,) = (task.task_uuid for task in queued.tasks)
    batch, task = api.view._reader.batch(queued.batch_uuid), api.view._reader.find(task_uuid)
    ended = task.model_copy(update={"state": type(task.state).SUCCEEDED, "at": task.at + 1})
    api.view.tell(batch.model_copy(update={"ended_at": ended.at}), ended)
    assert client.redeliver_batch(queued.batch_uuid).callback.state == "delivering"
    (asked,) = api.publisher.batch_redeliveries
    assert (asked.batch_uuid, asked.is_redelivery) == (queued.batch_uuid, True)


def test_the_command_submits_a_file_of_lines_and_says_which_line_is_wrong(api, client, tmp_path):
    uvr, lines = UvrCommand(api.url, tmp_path), tmp_path / "songs.jsonl"
    lines.write_text("\n\n".join(json.dumps({**song, "label": "own"}) for song in SONGS), encoding="utf-8")
    done = uvr("batch", "songs.jsonl", "--format", "flac")
    assert (done.returncode, done.stderr) == (0, "")
    seen = client.batch(done.stdout.strip())
    assert [item.label for item in seen.items] == ["own"] * 3
    assert client.status(seen.items[0].task_uuid).choices == {"output": {"format": "flac"}}
    lines.write_text('{"audio": "https://example.com/a"}\nsong.mp3\n', encoding="utf-8")
    wrong = uvr("batch", "songs.jsonl")
    assert (wrong.returncode, "line 2" in wrong.stderr) == (2, True)
    assert uvr("batch", str(tmp_path / "missing.jsonl")).returncode == 66

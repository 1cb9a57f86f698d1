"""What apis say of tasks, with a real Kafka: soon, all the same, and from nothing again."""

import contextlib
import os
import time
from urllib.parse import urlsplit
from uuid import UUID

import pytest
from kafka import KafkaProducer

from common.kafka import clients
from common.settings.schema import KafkaSettings
from common.tasks.messages import State, Status, decode_status
from tests.support import audio
from tests.support.api.api_process import PATIENCE_S, api_settings, submit
from tests.support.api.task_client import ask, events, task
from tests.support.common.kafka.group import read_all
from tests.support.stack import Service
from tests.support.trio import Trio, fetch_stem
from tests.support.waiting import wait_for

pytestmark = pytest.mark.network


@pytest.fixture
def settings(kafka) -> dict[str, str]:
    return api_settings(kafka.bootstrap)


def known(api: Service) -> dict | None:
    """All tasks, unless it says that it cannot tell now."""
    answer = ask(api.url, "/tasks")
    assert answer.status in (200, 503), answer
    return answer.json() if answer.status == 200 else None


def tell(settings: dict[str, str], *statuses: Status, transactional_id: str | None = None) -> KafkaProducer:
    """Publishes them; with an id in a transaction, which is left open."""
    if transactional_id:
        kafka = KafkaSettings(kafka_bootstrap_servers=settings["KAFKA_BOOTSTRAP_SERVERS"])
        kafka = kafka.model_copy(update={"kafka_transaction_timeout_ms": 60_000})
        producer = clients.transactional_producer(kafka, transactional_id)
        producer.begin_transaction()
    else:
        producer = KafkaProducer(bootstrap_servers=settings["KAFKA_BOOTSTRAP_SERVERS"], acks="all")
    for status in statuses:
        key = str(status.task_uuid).encode()
        producer.send(settings["KAFKA_STATUS_TOPIC"], status.to_bytes(), key=key).get(timeout=30)
    return producer


def status(task_uuid: str, state: State, **fields) -> Status:
    now = time.time()
    return Status(task_uuid=UUID(task_uuid), user="admin", submitted_at=now, at=now, state=state, **fields)


def test_what_was_submitted_to_one_api_is_found_at_once_at_the_other(stack, settings):
    apis = [stack.start("api", settings) for _ in range(2)]
    for turn in range(20):
        task_uuid = submit(apis[turn % 2].url).json()["task_uuid"]
        found = task(apis[1 - turn % 2].url, task_uuid)
        assert (found["state"], found["queue_place"]) == ("queued", turn + 1)


def test_a_record_of_a_transaction_counts_once_that_has_committed(stack, settings):
    api = stack.start("api", settings)
    task_uuid = submit(api.url).json()["task_uuid"]
    ended = status(task_uuid, State.FAILED, error_code="http_error")
    with contextlib.closing(tell(settings, ended, transactional_id=f"test-{task_uuid}")) as producer:
        assert task(api.url, task_uuid)["state"] == "queued"
        producer.commit_transaction()
    wait_for(lambda: task(api.url, task_uuid)["state"] == "failed", PATIENCE_S, "the committed state")


def test_a_stream_ends_with_the_tasks_end(stack, settings):
    api = stack.start("api", settings)
    task_uuid = submit(api.url).json()["task_uuid"]
    stream = events(api.url, task_uuid)
    assert next(stream)["state"] == "queued"
    tell(settings, status(task_uuid, State.SEPARATING, attempt=1, progress=0.5)).close()
    assert next(stream)["progress"] == 0.5
    tell(settings, status(task_uuid, State.SUCCEEDED)).close()
    assert [event["state"] for event in stream] == ["succeeded"]


def test_an_api_that_stops_does_not_wait_for_those_who_watch(stack, settings):
    api = stack.start("api", settings)
    stream = events(api.url, submit(api.url).json()["task_uuid"])
    assert next(stream)["state"] == "queued"
    assert api.stop() == 0
    assert list(stream) == []


def test_a_view_whose_file_is_gone_is_the_same_again(stack, settings):
    first = stack.start("api", settings)
    uuids = [submit(first.url).json()["task_uuid"] for _ in range(5)]
    tell(settings, *(status(u, State.FAILED, error_code="http_error") for u in uuids[:3])).close()
    wait_for(lambda: task(first.url, uuids[2])["state"] == "failed", PATIENCE_S, "the last status")
    before = ask(first.url, "/tasks").json()
    os.unlink(first.process.env["VIEW_FILE"])  # while it runs
    wait_for(lambda: os.path.exists(first.process.env["VIEW_FILE"]), PATIENCE_S, "another file")
    again = wait_for(lambda: known(first), PATIENCE_S, "another view")
    assert again == before
    first.kill()
    os.unlink(first.process.env["VIEW_FILE"])
    first.start()
    second = stack.start("api", settings)
    first.wait_ready()
    for api in (first, second):
        assert wait_for(lambda api=api: known(api), PATIENCE_S, "the view") == before


def test_a_restarted_api_reads_on_where_it_was(stack, settings):
    api = stack.start("api", settings)
    uuids = [submit(api.url).json()["task_uuid"] for _ in range(3)]
    assert task(api.url, uuids[-1])["state"] == "queued"
    api.kill()
    tell(settings, status(uuids[0], State.FAILED)).close()
    api.start()
    api.wait_ready()
    wait_for(lambda: task(api.url, uuids[0])["state"] == "failed", PATIENCE_S, "what came meanwhile")
    assert len(ask(api.url, "/tasks").json()["tasks"]) == 3


def test_two_apis_do_not_share_a_file(stack, settings):
    first = stack.start("api", settings)
    second = stack.start("api", settings | {"VIEW_FILE": first.process.env["VIEW_FILE"]}, wait=False)
    wait_for(lambda: second.process.returncode is not None, PATIENCE_S, "the second one's end")
    assert second.process.returncode == 64
    assert "VIEW_FILE" in second.process.output()


@pytest.mark.slow
def test_a_song_is_seen_all_the_way(stack, kafka, s3_store, model_dir, tmp_path):
    trio = Trio(stack, kafka.bootstrap, s3_store, model_dir, MODEL_NAME="centre")
    with contextlib.closing(trio):
        trio.start()
        song = audio.write(tmp_path / "a.wav", audio.noise(20.0), subtype="PCM_16").read_bytes()
        address = trio.song(song)
        task_uuid = trio.submit(f"{address}?signature=TOPSECRET")
        url = trio.services["api"].url
        told = list(events(url, task_uuid))
        callback = trio.wait_for_callback(task_uuid).json
        assert told[-1]["state"] == "succeeded"
        links = {"vocals", "instrumental", "stems", "expires_at"}  # of another moment
        assert told[-1]["result"].keys() == callback.keys()
        assert {n: v for n, v in told[-1]["result"].items() if n not in links} == {
            n: v for n, v in callback.items() if n not in links
        }
        order = [list(State).index(event["state"]) for event in told]
        assert order == sorted(order)
        progress = [event["progress"] for event in told]
        assert progress == sorted(progress)
        last = task(url, task_uuid)
        assert list(last["times"].values()) == sorted(last["times"].values())
        assert last["times"].keys() == {str(state) for state in list(State)[:7]}
        assert (last["audio"], last["hook_host"]) == (address, urlsplit(trio.receiver.hook_url).netloc)
        # What compaction leaves when the task's own record is long gone says it too, and no secret.
        records = read_all(kafka.bootstrap, trio.settings["KAFKA_STATUS_TOPIC"])
        lasting = [r.value for r in records if r.key == task_uuid.encode()]
        assert {decode_status(value).audio for value in lasting} == {address}
        assert not any(b"TOPSECRET" in record.value for record in records)
        (delivery,) = ask(url, f"/tasks/{task_uuid}/deliveries").json()["deliveries"]
        assert (delivery["status"], delivery["try_number"]) == (204, 1)
        uncalled = trio.submit_body({"audio": trio.song(song)})
        assert list(events(url, uncalled))[-1]["state"] == "succeeded"
        for stem in task(url, uncalled)["result"]["stems"].values():
            assert len(fetch_stem(stem["url"], tmp_path)) > 0
        assert ask(url, f"/tasks/{uncalled}/deliveries").json() == {"deliveries": []}
        assert trio.callbacks(uncalled) == []
        bad = trio.submit(trio.song(b"no song"))
        trio.wait_for_callback(bad)
        wait_for(lambda: task(url, bad)["state"] == "failed", PATIENCE_S, "the failure")
        assert task(url, bad)["error_code"] == "not_audio"

"""Hosts, receivers and a store that fail for a while: the user hears of one success, once."""

import contextlib
from pathlib import Path

import pytest
import requests

from common.tasks.messages import DeliveryAttempt
from tests.support import audio
from tests.support.common.deadletter.dead_letters import run_command
from tests.support.common.kafka.group import read_all
from tests.support.crash import PROCESSOR
from tests.support.http_server import in_turn, reset, serve
from tests.support.servers import SeaweedServer
from tests.support.trio import Trio
from tests.support.waiting import below, wait_for

AWAY = serve(b"away", 503, "text/plain")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    server = SeaweedServer(tmp_path_factory.mktemp("own-store"))
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="module")
def trio(module_stack, kafka, store, model_dir):
    trio = Trio(
        module_stack,
        kafka.bootstrap,
        store.address,
        model_dir,
        ENGINE_SLEEP_S="0",
        RETRY_DELAYS_S="1,2,3,4,5,6",
        CALLBACK_RETRIES="2",
    )
    with contextlib.closing(trio):
        yield trio.start("api", PROCESSOR, "uploader")


@pytest.fixture
def song(tmp_path: Path) -> bytes:
    return audio.write(tmp_path / "a.wav", audio.noise(1)).read_bytes()


@pytest.fixture(autouse=True)
def nothing_staged_is_left(trio: Trio):
    yield
    wait_for(lambda: not below(trio.stack.outputs), 30, "empty stage")


def deliveries(trio: Trio, task_uuid: str, count: int) -> list[DeliveryAttempt]:
    def find() -> list[DeliveryAttempt] | None:
        records = read_all(trio.settings["KAFKA_BOOTSTRAP_SERVERS"], trio.settings["KAFKA_DELIVERY_TOPIC"])
        found = [DeliveryAttempt.model_validate_json(record.value) for record in records]
        mine = [delivery for delivery in found if str(delivery.task_uuid) == task_uuid]
        return mine if len(mine) >= count else None

    return sorted(wait_for(find, 60, f"{count} deliveries"), key=lambda delivery: delivery.try_number)


def test_a_receiver_that_fails_twice_is_told_the_same_until_it_takes_it(trio: Trio, song: bytes):
    hook = trio.host.on("/hook", in_turn(AWAY, reset(b""), serve(b"", 204)))
    task_uuid = trio.submit(trio.song(song), hook)
    noted = deliveries(trio, task_uuid, 3)
    assert [(d.try_number, d.status, d.next_try_at is None) for d in noted] == [
        (1, 503, False),
        (2, None, False),
        (3, 204, True),
    ]
    sent = trio.host.requests("/hook")
    assert len(sent) == 3
    assert len({request.body for request in sent}) == 1
    assert {request.headers["webhook-id"] for request in sent} == {f"{task_uuid}.1"}
    assert sent[0].json()["status"] == "success"


def test_a_host_that_is_away_twice_and_then_has_the_song_is_a_success(trio: Trio, song: bytes):
    task_uuid = trio.submit(trio.song(in_turn(AWAY, AWAY, serve(song))))
    assert trio.wait_for_callback(task_uuid).json["status"] == "success"
    deliveries(trio, task_uuid, 1)
    assert len(trio.callbacks(task_uuid)) == 1


@pytest.mark.slow
def test_an_outage_of_the_store_is_ridden_out(trio: Trio, store: SeaweedServer, song: bytes):
    store.kill()
    try:
        task_uuid = trio.submit(trio.song(song))
        uploader = trio.services["uploader"]
        wait_for(lambda: f"[{task_uuid}]" in uploader.log(), 60, "the result at the uploader")
        wait_for(lambda: "waits in" in uploader.log().partition(f"[{task_uuid}]")[2], 60, "wait for a retry")
    finally:
        store.start()
    body = trio.wait_for_callback(task_uuid).json
    assert body["status"] == "success"
    assert requests.get(body["vocals"], timeout=30).status_code == 200
    assert len(trio.callbacks(task_uuid)) == 1


def test_a_callback_that_was_refused_is_replayed_with_stems_of_its_own(trio: Trio, song: bytes):
    hook = trio.host.on("/moved", serve(b"", 410))
    task_uuid = trio.submit(trio.song(song), hook)
    deliveries(trio, task_uuid, 1)
    wait_for(lambda: not below(trio.stack.outputs), 30, "empty stage")
    trio.host.on("/moved", serve(b"", 204))
    done = run_command(trio.settings, "replay", "--task", task_uuid)
    assert done.returncode == 0, done.stdout + done.stderr
    first, second = trio.host.wait_for_requests(2, path="/moved")
    assert [r.headers["webhook-id"] for r in (first, second)] == [f"{task_uuid}.1", f"{task_uuid}.2"]
    vocals = [request.json()["vocals"] for request in (first, second)]
    assert f"/{task_uuid}/2/vocals." in vocals[1]
    assert requests.get(vocals[0], timeout=30).content == requests.get(vocals[1], timeout=30).content

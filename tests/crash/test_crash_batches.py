"""A batch is in Kafka whole or not at all, and its receiver hears once of its end, whoever is killed."""

import json
import urllib.request
from collections import Counter
from uuid import uuid4

import pytest

from common.failpoint import Failpoint
from tests.support.api.api_client import basic
from tests.support.api.api_process import tasks_in
from tests.support.api.task_client import ask, wait_for_view
from tests.support.crash import PROCESSOR, CrashSystem
from tests.support.waiting import wait_for

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def crashing(system: CrashSystem) -> CrashSystem:
    system.trio.start(PROCESSOR, "uploader", "api")
    return system


@pytest.fixture
def song_url(crashing, song) -> str:
    return crashing.trio.song(song)


def submit_batch(crashing: CrashSystem, song: str, key: str):
    """`song` is its address."""
    body = {"items": [{"audio": song}] * 3, "hook_url": crashing.trio.receiver.hook_url}
    headers = basic("admin", "password") | {"Idempotency-Key": key}
    url = f"{crashing.trio.services['api'].url}/batches"
    request = urllib.request.Request(url, data=json.dumps(body).encode(), headers=headers)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def queued(crashing: CrashSystem) -> Counter[str]:
    settings = crashing.trio.settings
    tasks = tasks_in(settings["KAFKA_BOOTSTRAP_SERVERS"], settings["KAFKA_TASK_TOPIC"])
    return Counter(str(task.task_uuid) for _, task in tasks)


def calls_of(crashing: CrashSystem, batch_uuid: str) -> list:
    requests = crashing.trio.receiver.requests("/hook")
    return [request for request in requests if request.headers.get("webhook-id") == f"{batch_uuid}.1"]


def assert_called(crashing: CrashSystem, batch_uuid: str, times: int) -> None:
    """The receiver has the callback so often, the same each time, and the delivery is recorded."""
    crashing.wait_for_records("KAFKA_DELIVERY_TOPIC", batch_uuid, timeout_s=90)
    calls = calls_of(crashing, batch_uuid)
    assert len(calls) == times
    assert {call.body for call in calls} == {calls[0].body}
    body = json.loads(calls[0].body)
    assert (body["status"], body["states"]) == ("batch_ended", {"succeeded": 3})


@pytest.mark.parametrize(("point", "lost"), [(Failpoint.SENT_TOGETHER, 0), (Failpoint.API_ACKNOWLEDGED, 3)])
def test_a_batch_of_a_killed_api_is_there_whole_or_not_at_all(crashing, song_url, point, lost):
    api, key, before = crashing.armed("api", point), str(uuid4()), queued(crashing)
    with pytest.raises(OSError, match="without response"):
        submit_batch(crashing, song_url, key)
    crashing.wait_for_end(api)
    wait_for(lambda: (queued(crashing) - before).total() == lost, 30, "the batch, or nothing of it")
    crashing.restart(api)
    wait_for_view(api)
    batch = submit_batch(crashing, song_url, key)
    ids = [task["task_uuid"] for task in batch["tasks"]]
    # Readers wait for the end of the dead api's transaction, which is the broker's to end.
    wait_for(lambda: (queued(crashing) - before).total(), 30, "the batch")
    assert sorted((queued(crashing) - before).elements()) == sorted(ids)
    assert_called(crashing, batch["batch_uuid"], 1)


@pytest.mark.parametrize(("point", "times"), [(Failpoint.CALLBACK_ANSWERED, 2), (Failpoint.BATCH_CALLED, 1)])
def test_an_uploader_killed_around_a_batchs_callback_sends_the_same_bytes(crashing, song_url, point, times):
    uploader = crashing.armed("uploader", point)
    batch = submit_batch(crashing, song_url, str(uuid4()))
    crashing.wait_for_end(uploader)
    crashing.restart(uploader)
    # After the second point the mark in the store says that it was delivered, and has what is recorded of it.
    assert_called(crashing, batch["batch_uuid"], times)


def test_an_uploader_killed_in_the_redelivery_of_a_batch_ends_it(crashing, song_url):
    batch_uuid = submit_batch(crashing, song_url, str(uuid4()))["batch_uuid"]
    assert_called(crashing, batch_uuid, 1)
    api, path = crashing.trio.services["api"].url, f"/batches/{batch_uuid}"

    def seen() -> dict:
        return ask(api, path).json()["callback"]

    wait_for(lambda: seen()["state"] == "delivered", 30, "delivery in the api's view")
    uploader = crashing.armed("uploader", Failpoint.CALLBACK_ANSWERED)
    assert ask(api, f"{path}/redeliver", "POST").status == 202
    crashing.wait_for_end(uploader)
    crashing.restart(uploader)
    wait_for(lambda: "redelivery_requested_at" in seen(), 90, "redelivery")
    assert (seen()["state"], seen()["tries"]) == ("delivered", 2)
    calls = calls_of(crashing, batch_uuid)
    assert [call.body for call in calls] == [calls[0].body] * 3


def test_an_api_killed_after_the_end_of_a_batch_leaves_its_callback_to_the_next_one(crashing, song_url):
    api = crashing.armed("api", Failpoint.API_ACKNOWLEDGED)
    key = str(uuid4())
    with pytest.raises(OSError, match="without response"):
        submit_batch(crashing, song_url, key)
    crashing.wait_for_end(api)
    crashing.restart(api)
    wait_for_view(api)
    api = crashing.armed("api", Failpoint.SENT_TOGETHER)  # it dies as it gives the order
    crashing.wait_for_end(api)
    crashing.restart(api)
    wait_for_view(api)
    assert_called(crashing, submit_batch(crashing, song_url, key)["batch_uuid"], 1)

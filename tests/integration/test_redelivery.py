"""A lost callback that is asked for again, and links that are good by then, with all three services."""

import contextlib
import hashlib

import pytest
import requests

from tests.support import audio
from tests.support.api.api_process import PATIENCE_S
from tests.support.api.task_client import deliveries, redeliver, task
from tests.support.crash import PROCESSOR
from tests.support.http_server import stall
from tests.support.trio import Trio
from tests.support.waiting import wait_for

pytestmark = pytest.mark.network

HOUR_S = "3600"


@pytest.fixture(scope="module")
def trio(module_stack, kafka, s3_store, model_dir):
    """The links of its callbacks are good for a second, those of its api for an hour."""
    retries = {"RETRY_DELAYS_S": "1", "CALLBACK_RETRIES": "1"}
    trio = Trio(module_stack, kafka.bootstrap, s3_store, model_dir, ENGINE_SLEEP_S="0", **retries)
    with contextlib.closing(trio):
        trio.start(PROCESSOR, "uploader", S3_URL_EXPIRES_S="1")
        yield trio.start("api", S3_URL_EXPIRES_S=HOUR_S)


@pytest.fixture(autouse=True)
def receiver_takes_all(trio):
    trio.receiver.answer(204)


@pytest.fixture(scope="module")
def url(trio) -> str:
    return trio.services["api"].url


@pytest.fixture
def song(tmp_path) -> bytes:
    return audio.write(tmp_path / "mix.wav", audio.noise(2.0), subtype="PCM_16").read_bytes()


def wait_for_end(url: str, task_uuid: str, state: str) -> None:
    wait_for(lambda: task(url, task_uuid)["state"] == state, PATIENCE_S, f"{task_uuid} {state}")


def wait_for_deliveries(url: str, task_uuid: str, count: int) -> list[dict]:
    return wait_for(
        lambda: (d := deliveries(url, task_uuid)) and len(d) == count and d, PATIENCE_S, f"{count} deliveries"
    )


def assert_same(trio: Trio, task_uuid: str, count: int) -> None:
    found = trio.callbacks(task_uuid)
    assert len(found) == count
    assert {callback.body for callback in found} == {found[0].body}
    assert {callback.headers["webhook-id"] for callback in found} == {f"{task_uuid}.1"}


def test_a_callback_that_nobody_took_comes_again_with_links_that_have_expired_and_fresh_ones_are_there(
    trio, url, song
):
    trio.receiver.answer(500)
    task_uuid = trio.submit(trio.song(song))
    trio.wait_for_callback(task_uuid)
    wait_for_end(url, task_uuid, "succeeded")
    assert len(wait_for_deliveries(url, task_uuid, 2)) == 2
    before = task(url, task_uuid)
    trio.receiver.answer(204)
    answer = redeliver(url, task_uuid)
    assert (answer.status, answer.json()["state"]) == (202, "succeeded")
    again = wait_for_deliveries(url, task_uuid, 3)[-1]
    assert (again["try_number"], again["status"], again["run"]) == (1, 204, 1)
    assert again["redelivery_requested_at"] <= again["started_at"]
    assert_same(trio, task_uuid, 3)
    after = task(url, task_uuid)
    assert {name: after[name] for name in after.keys() - {"result"}} == {
        name: before[name] for name in before.keys() - {"result"}
    }
    for name, stem in trio.callbacks(task_uuid)[0].json["stems"].items():
        wait_for(lambda link=stem["url"]: _status(link) == 403, PATIENCE_S, "the end of the callback's link")
        fresh = requests.get(after["result"]["stems"][name]["url"], timeout=30)
        assert (fresh.status_code, hashlib.sha256(fresh.content).hexdigest()) == (200, stem["sha256"])


def _status(link: str) -> int:
    return requests.get(link, timeout=30).status_code


def test_a_receiver_that_has_forgotten_a_failure_hears_it_again(trio, url):
    task_uuid = trio.submit(trio.song(b"no song"))
    trio.wait_for_callback(task_uuid)
    wait_for_end(url, task_uuid, "failed")
    for count in (2, 3):
        assert redeliver(url, task_uuid).status == 202
        wait_for_deliveries(url, task_uuid, count)
    assert_same(trio, task_uuid, 3)


def test_a_callback_that_is_still_to_come_is_not_asked_for(trio, url):
    answer = redeliver(url, trio.submit(trio.song(stall())))
    assert answer.status == 409
    assert answer.json()["state"] in ("queued", "downloading")

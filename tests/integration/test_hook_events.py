"""A receiver is told of a task on the way and tried without a task, with all three services."""

import contextlib
import json
import urllib.request

import pytest
from standardwebhooks import Webhook

from tests.support import audio
from tests.support.api.api_client import basic
from tests.support.trio import Trio
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.network, pytest.mark.slow]

SECRET = "whsec_dGhlIHVwbG9hZGVyJ3Mgb3duLCBhbmQgbG9uZyBlbm91Z2g="
ALL = ["started", "progress", "succeeded", "failed", "cancelled"]


@pytest.fixture(scope="module")
def trio(module_stack, kafka, s3_store, model_dir):
    secret = {"MODEL_NAME": "centre", "WEBHOOK_SECRET": SECRET}
    trio = Trio(module_stack, kafka.bootstrap, s3_store, model_dir, **secret)
    with contextlib.closing(trio):
        yield trio.start("processor", "uploader", "api")


def test_a_receiver_hears_of_the_begin_of_the_progress_and_of_the_end(trio, tmp_path):
    song = audio.write(tmp_path / "mix.wav", audio.noise(2.0), subtype="PCM_16").read_bytes()
    url, ids = trio.song(song), []

    def is_told() -> bool:
        # The uploader hears only of what comes after it has joined its second group.
        ids.append(trio.submit_body({"audio": url, "hook_url": trio.receiver.hook_url, "hook_events": ALL}))
        trio.wait_for_callback(ids[-1])
        return {"started", "progress"} <= {one.json["status"] for one in trio.all_callbacks()}

    wait_for(is_told, 60, "events on the way")
    wait_for(lambda: any(one.json["status"] == "success" for one in trio.callbacks(ids[-1])), 60, "end")
    for callback in trio.all_callbacks():
        Webhook(SECRET).verify(callback.body, callback.headers)
    started = next(one for one in trio.all_callbacks() if one.json["status"] == "started")
    assert started.headers["webhook-id"] == f"{started.json['task_uuid']}.1.started"


def test_a_receiver_is_tried_without_a_task(trio):
    body = json.dumps({"hook_url": trio.receiver.hook_url}).encode()
    headers = basic("admin", "password")
    request = urllib.request.Request(f"{trio.services['api'].url}/hooks/test", data=body, headers=headers)
    with urllib.request.urlopen(request, timeout=60) as answer:
        result = json.load(answer)
    assert (result["delivered"], result["status"]) == (True, 204)
    (call,) = [one for one in trio.all_callbacks() if one.headers["webhook-id"] == result["webhook_id"]]
    assert call.json["status"] == "test"
    Webhook(SECRET).verify(call.body, call.headers)

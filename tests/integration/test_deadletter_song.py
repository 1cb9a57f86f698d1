"""A song that was given up, and its replay: the whole system with real processes."""

import contextlib
import json
from pathlib import Path

import pytest

from tests.support import audio
from tests.support.api.task_client import task
from tests.support.common.deadletter.dead_letters import run_command
from tests.support.crash import PROCESSOR
from tests.support.http_server import in_turn, serve
from tests.support.trio import Trio
from tests.support.waiting import wait_for

pytestmark = pytest.mark.network


@pytest.mark.slow
def test_a_song_whose_host_is_mended_is_done_by_a_replay(stack, kafka, s3_store, model_dir, tmp_path: Path):
    tag = stack.directory.name
    trio = Trio(
        stack, kafka.bootstrap, s3_store, model_dir, ENGINE_SLEEP_S="0", RETRY_DELAYS_S="1,2",
        KAFKA_DEAD_LETTER_TOPIC=f"dead-{tag}", KAFKA_DELIVERY_TOPIC=f"deliveries-{tag}",
    )  # fmt: skip
    song = audio.write(tmp_path / "mix.wav", audio.noise(2.0), subtype="PCM_16").read_bytes()
    away = serve(b"away", 503, "text/plain")
    with contextlib.closing(trio):
        trio.start("api", PROCESSOR, "uploader")
        address = trio.song(in_turn(away, away, away, serve(song)))
        task_uuid = trio.submit(f"{address}?signature=1")
        first = trio.wait_for_callback(task_uuid)
        assert (first.json["status"], first.json["error_code"]) == ("failed", "http_error")

        (line,) = run_command(trio.settings, "list", "--json").stdout.splitlines()
        told = json.loads(line)
        assert (told["kind"], told["task_uuid"], told["failed_tries"]) == ("task", task_uuid, {"job": 3})
        done = run_command(trio.settings, "replay", "--task", task_uuid)
        assert done.returncode == 0, done.stdout + done.stderr

        wait_for(lambda: len(trio.callbacks(task_uuid)) > 1, 60, "second callback")
        second = trio.callbacks(task_uuid)[1]
        again = task(trio.services["api"].url, task_uuid)
        assert (again["run"], again["audio"]) == (2, address)
    assert second.json["status"] == "success", second.json
    assert second.headers["webhook-id"] == f"{task_uuid}.2"
    assert f"{task_uuid}/2/vocals.wav" in second.json["vocals"]
    keys = s3_store.client().list_objects_v2(Bucket=s3_store.bucket, Prefix=task_uuid)["Contents"]
    names = {entry["Key"].removeprefix(f"{task_uuid}/") for entry in keys}
    assert names >= {"1/manifest.json", "2/manifest.json", "2/vocals.wav", "2/instrumental.wav"}

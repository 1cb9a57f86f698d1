"""What a user chooses, from the submission to the file that the store gives away, with real processes."""

import contextlib
import io
from pathlib import Path
from urllib.parse import quote, unquote

import numpy as np
import pytest
import requests
import soundfile

from tests.support import audio
from tests.support.api.api_process import PATIENCE_S, submit
from tests.support.api.task_client import ask, task
from tests.support.trio import Trio
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.slow, pytest.mark.network]

CHOSEN = {
    "model": "centre",
    "stems": ["vocals"],
    "output": {"format": "flac", "bit_depth": 24, "sample_rate": "source"},
    "start_s": 0.5,
    "duration_s": 1.25,
}
NAMED = {"label": 'Ärtist/"Title"\r\n🎧', "metadata": {"order": 17, "nothing": None}}


def test_a_song_comes_back_as_it_was_chosen(stack, kafka, s3_store, model_dir, tmp_path: Path):
    with contextlib.closing(Trio(stack, kafka.bootstrap, s3_store, model_dir, MODEL_NAME="centre")) as trio:
        url = trio.start().services["api"].url
        announced = wait_for(lambda: ask(url, "/models").json()["models"], PATIENCE_S, "an announcement")
        assert [(model["name"], model["is_default"]) for model in announced] == [("centre", True)]
        refused = submit(url, {"audio": "https://example.com/a.mp3", "model": "center"})
        assert (refused.status, refused.json()["error_code"]) == (400, "model_unknown")
        assert "there is centre" in refused.json()["error"]

        rate_hz = 48_000
        song = audio.write(tmp_path / "a.wav", audio.noise(3.0), "PCM_24", rate_hz).read_bytes()
        body = {"audio": trio.song(song), "hook_url": trio.receiver.hook_url, **CHOSEN, **NAMED}
        task_uuid = trio.submit_body(body)
        callback = trio.wait_for_callback(task_uuid).json
        assert callback["status"] == "success", callback
        assert callback["choices"] == CHOSEN
        assert {name: callback[name] for name in NAMED} == NAMED
        assert callback["stems"].keys() == {"vocals"}
        written = {"format": "flac", "bit_depth": 24, "sample_rate_hz": rate_hz}
        assert callback["output"].items() >= written.items()

        answer = requests.get(callback["vocals"], timeout=30)
        name = answer.headers["Content-Disposition"].partition("filename*=UTF-8''")[2]
        assert unquote(name) == "Ärtist__Title_ 🎧 (vocals).flac"
        assert answer.headers["Content-Type"] == "audio/flac"
        stem, written_hz = soundfile.read(io.BytesIO(answer.content))
        assert (written_hz, len(stem)) == (rate_hz, round(1.25 * rate_hz))
        assert np.abs(stem).max() > 0

        found = wait_for(lambda: _ended(url, task_uuid), PATIENCE_S, "the end")
        assert {name: found[name] for name in NAMED} == NAMED
        assert found["choices"] == CHOSEN
        (listed,) = ask(url, f"/tasks?label={quote(NAMED['label'][:5])}").json()["tasks"]
        assert listed["task_uuid"] == task_uuid


def _ended(url: str, task_uuid: str) -> dict | None:
    found = task(url, task_uuid)
    return found if found["state"] == "succeeded" else None

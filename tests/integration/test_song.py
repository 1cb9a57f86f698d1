"""A song's whole way: POST, Kafka, download, model, store, callback, with real servers and processes."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
import requests
from standardwebhooks import Webhook

from tests.support import audio
from tests.support.api.api_process import tasks_in
from tests.support.audio import feelings, sdr_db
from tests.support.http_server import serve
from tests.support.trio import Trio, fetch_stem
from tests.support.waiting import below, wait_for

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@pytest.fixture(scope="module")
def trio(module_stack, kafka, s3_store, model_dir):
    trio = Trio(
        module_stack,
        kafka.bootstrap,
        s3_store,
        model_dir,
        MODEL_NAME="spleeter-2stems",
        WEBHOOK_SECRET=SECRET,
    )
    try:
        yield trio.start()
    finally:
        trio.close()


def test_the_stems_of_a_song_are_good_and_add_up(trio: Trio, tmp_path: Path):
    """`test_engine_quality` has other levels and formats of the song."""
    song = feelings(1.0)
    path = audio.write(tmp_path / "mix.wav", song.mix)
    body = trio.separate(path.read_bytes()).json
    assert body["status"] == "success"
    assert body["model"] == "spleeter-2stems"
    assert body["device"] == "cpu"
    vocals = fetch_stem(body["vocals"], tmp_path)
    instrumental = fetch_stem(body["instrumental"], tmp_path)
    gain = np.float32(body["gain"])
    assert sdr_db(song.vocals * gain, vocals) >= 9.5
    assert sdr_db(song.instrumental * gain, instrumental) >= 11.5
    assert np.abs(vocals + instrumental - song.mix * gain).max() <= 1.01 / 32768


def test_the_callback_names_each_stem_with_its_digest_and_length(trio: Trio, tmp_path: Path):
    song = audio.write(tmp_path / "mix.wav", feelings().mix[: 44100 * 3])
    callback = trio.separate(song.read_bytes())
    body = callback.json
    assert set(body["stems"]) == {"vocals", "instrumental"}
    for name, stem in body["stems"].items():
        assert stem["url"] == body[name]
        content = requests.get(stem["url"], timeout=30).content
        assert hashlib.sha256(content).hexdigest() == stem["sha256"]
        assert len(content) == stem["bytes"]
        assert stem["duration_s"] == pytest.approx(3, abs=0.001)
    assert body["expires_at"] > body["timestamp"]
    assert callback.headers["webhook-id"] == f"{body['task_uuid']}.1"
    assert Webhook(SECRET).verify(callback.body, callback.headers)["status"] == "success"


def test_a_compressed_song_is_separated_as_well(trio: Trio, tmp_path: Path):
    song = feelings(0.9)
    frames = 44100 * 12
    source = audio.encode(tmp_path / "song.mp3", song.mix[:frames], "libmp3lame")
    body = trio.separate(source.read_bytes(), source.name).json
    assert body["status"] == "success", body
    vocals = fetch_stem(body["vocals"], tmp_path)
    assert vocals.shape == (frames, 2) or abs(len(vocals) - frames) <= 0.05 * 44100
    length = min(frames, len(vocals))
    # Lossy formats may shift a song by their priming; what counts is that it is this song's voice.
    assert best_sdr_db(song.vocals[:length], vocals[:length]) >= 8.0


def best_sdr_db(reference: np.ndarray, estimate: np.ndarray, reach: int = 2400) -> float:
    """SDR at the best shift of up to `reach` frames, found by cross-correlation of the left sides."""
    size = 2 ** int(np.ceil(np.log2(len(reference) + reach)))
    spectrum = np.fft.rfft(estimate[:, 0], size) * np.conj(np.fft.rfft(reference[:, 0], size))
    correlation = np.fft.irfft(spectrum, size)
    shifts = np.concatenate([np.arange(reach + 1), np.arange(-reach, 0)])
    shift = int(shifts[np.argmax(correlation[shifts])])
    if shift >= 0:
        return sdr_db(reference[: len(reference) - shift], estimate[shift:])
    return sdr_db(reference[-shift:], estimate[:shift])


def test_nothing_stays_on_disk_and_the_log_tells_the_story(trio: Trio, tmp_path: Path):
    song = audio.write(tmp_path / "mix.wav", feelings().mix[: 44100 * 3])
    url = trio.song(serve(song.read_bytes(), content_type="application/octet-stream"))
    task_uuid = trio.submit(url)
    trio.wait_for_callback(task_uuid)
    wait_for(lambda: not below(trio.stack.outputs), 20, "empty stage")
    processor = trio.services["processor"]
    assert not below(processor.directory / "temp", files_only=True)
    lines = [line for line in processor.log().splitlines() if f"[{task_uuid}]" in line]
    text = "\n".join(lines)
    for expected in (
        f"Downloading audio from URL: {url}",
        "Content type may not be audio",
        "File size: ",
        "Audio downloaded to: ",
        "Download completed in ",
    ):
        assert expected in text
    assert task_uuid in trio.services["api"].log()
    assert f"[{task_uuid}] callback delivered" in trio.services["uploader"].log()


def test_a_task_that_is_queued_twice_publishes_nothing_new(trio: Trio, tmp_path: Path):
    song = audio.write(tmp_path / "mix.wav", feelings().mix[: 44100 * 2])
    url = trio.song(song.read_bytes())
    first = trio.submit(url)
    before = trio.wait_for_callback(first)
    topic = trio.settings["KAFKA_TASK_TOPIC"]
    queued = [
        t for _, t in tasks_in(trio.settings["KAFKA_BOOTSTRAP_SERVERS"], topic) if str(t.task_uuid) == first
    ]
    trio.publish("KAFKA_TASK_TOPIC", queued[0].to_bytes())  # as an api does that cannot look
    wait_for(lambda: len(trio.callbacks(first)) == 2, 60, "second callback")
    after = trio.callbacks(first)[1]
    assert after.body == before.body
    assert after.headers["webhook-id"] == before.headers["webhook-id"]
    wait_for(lambda: not below(trio.stack.outputs), 20, "empty stage")

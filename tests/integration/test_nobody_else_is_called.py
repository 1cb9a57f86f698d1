"""Nothing leaves the machine but to the hosts that a setting or a task names."""

from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.support import audio, traced
from tests.support.stack import Stack
from tests.support.trio import Trio


@pytest.fixture
def trace_dir(tmp_path: Path) -> Path:
    directory = tmp_path / "traces"
    directory.mkdir()
    return directory


@pytest.fixture
def trio(tmp_path, trace_dir, kafka, s3_store, model_dir):
    stack = Stack(tmp_path / "stack", wrapper=lambda name: traced.wrapper(trace_dir / name))
    # An ONNX model: of the engine's runtimes onnxruntime is the one that has telemetry.
    trio = Trio(stack, kafka.bootstrap, s3_store, model_dir, MODEL_NAME="centre", HOME=str(tmp_path))
    try:
        yield trio.start()
    finally:
        trio.close()
        stack.kill_all()


def _address(url: str) -> tuple[str, int]:
    parts = urlsplit(url if "//" in url else f"//{url}")
    return parts.hostname, parts.port


def test_services_turn_to_no_host_that_no_setting_names(trio, tmp_path, trace_dir, kafka, s3_store):
    song = audio.write(tmp_path / "mix.wav", audio.noise(2))
    assert trio.separate(song.read_bytes()).json["status"] == "success"
    assert {trio.services[name].stop() for name in ("processor", "uploader", "api")} == {0}

    named = {_address(url) for url in (kafka.bootstrap, s3_store.endpoint_url)}
    asked = {trio.host.origin, trio.receiver.origin}
    called = {path.name: traced.addresses(path) for path in trace_dir.iterdir()}
    assert all(called.values()), "a service was not traced"
    assert set().union(*called.values()) <= named | {_address(url) for url in asked}
    assert not list(tmp_path.glob("**/.onnxruntime")), "onnxruntime keeps a device id"

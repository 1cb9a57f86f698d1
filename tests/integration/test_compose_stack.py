"""What docker-compose.yml says, run: its broker, its store, and a song through its services."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from kafka.admin import ConfigResource, ConfigResourceType

from common import clients, topics
from common.settings import ProcessorSettings
from local import broker
from tests.support import audio
from tests.support.api_process import submit
from tests.support.centre_model import write_centre_model
from tests.support.compose import TRIO
from tests.support.containers import Containers
from tests.support.group import read_all
from tests.support.http_server import CallbackReceiver, ScriptedServer, serve
from tests.support.trio import Callback, fetch_stem
from tests.support.waiting import below, wait_for

pytestmark = pytest.mark.network
# What differs from the local stack's broker: where it listens, and the voters by name.
PLACES = {
    "listeners",
    "advertised.listeners",
    "log.dirs",
    "controller.quorum.voters",
    "controller.quorum.bootstrap.servers",
}


@dataclass
class Running:
    """The stack with a model of the tests' in its volume, a host of songs, and a receiver."""

    containers: Containers
    host: ScriptedServer
    receiver: CallbackReceiver


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    host, receiver = ScriptedServer(), CallbackReceiver()
    environ = {"MODEL_NAME": "centre", "TRUSTED_URL_PREFIXES": f"{host.origin},{receiver.origin}"}
    containers = Containers(tmp_path_factory.mktemp("compose"), environ)
    write_centre_model(containers.volume("models"))
    try:
        containers.up()
        yield Running(containers, host, receiver)
    finally:
        containers.kill()
        host.close()
        receiver.close()


@pytest.fixture
def settings(running: Running) -> ProcessorSettings:
    bootstrap = running.containers.environment("processor")["KAFKA_BOOTSTRAP_SERVERS"]
    return ProcessorSettings(worker_id="test", kafka_bootstrap_servers=bootstrap, kafka_task_topic="test")


def properties(text: str) -> dict[str, str]:
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


def test_a_song_goes_all_the_way(running: Running, tmp_path: Path):
    song = audio.write(tmp_path / "mix.wav", audio.feelings(0.9).mix[: 44100 * 5])
    url = running.host.on("/song.wav", serve(song.read_bytes(), content_type="audio/wav"))
    answer = submit(running.containers.url("api"), {"audio": url, "hook_url": running.receiver.hook_url})
    assert answer.status == 200
    received = running.receiver.wait_for_callbacks(1, 120)[0]
    body = Callback(received.body, received.headers).json
    assert body["status"] == "success", body
    assert body["model"] == "centre"
    # the link is for clients, who reach the store where it is published
    assert body["vocals"].startswith(f"{running.containers.url('s3')}/uvr-stems/")
    parts = [fetch_stem(body[name], tmp_path) for name in ("vocals", "instrumental")]
    mix = audio.read(song) * np.float32(body["gain"])
    assert np.abs(sum(parts) - mix).max() <= 1.01 / 32768
    outputs = running.containers.volume("outputs")
    wait_for(lambda: not below(outputs), 20, "empty stage")


def test_nothing_is_written_but_to_volumes_and_tmpfs(running: Running):
    for name in (*TRIO, "store-keys", "store-bucket"):
        assert not running.containers.written_outside_mounts(name), name
    for name in TRIO:
        assert (running.containers.mounts(name)["/app/logs"] / f"{name}.log").exists()


@pytest.mark.parametrize("name", [*TRIO, "kafka", "seaweedfs"])
def test_health_checks_tell_the_living_from_the_dead(running: Running, name: str, tmp_path: Path):
    assert running.containers.health_check(name).returncode == 0
    nobody = Containers(tmp_path, {})
    assert nobody.health_check(name).returncode != 0


def test_the_broker_has_every_property_of_the_file_and_of_the_local_one(running: Running, tmp_path: Path):
    config = running.containers.mounts("kafka")["/opt/kafka/config"] / "server.properties"
    theirs = properties(config.read_text())
    spec = broker.BrokerSpec(tmp_path, 1, 2, broker.default_cache())
    broker.prepare(spec)
    local = properties((tmp_path / "server.properties").read_text())
    assert {k: v for k, v in theirs.items() if k not in PLACES} == {
        k: v for k, v in local.items() if k not in PLACES
    }


def test_the_broker_knows_every_property(running: Running, settings: ProcessorSettings):
    config = running.containers.mounts("kafka")["/opt/kafka/config"] / "server.properties"
    admin = clients.admin(settings)
    with contextlib.closing(admin):
        broker_one = ConfigResource(ConfigResourceType.BROKER, "1")
        known = admin.describe_configs([broker_one], config_filter="all")["broker"]["1"]
    for name, value in properties(config.read_text()).items():
        # what Kafka does not know it lists too, without a value
        assert known[name]["value"] == value, name


def test_a_transaction_goes_through_the_broker(running: Running, settings: ProcessorSettings):
    admin = clients.admin(settings)
    with contextlib.closing(admin):
        topics.ensure(admin, settings)
    producer = clients.transactional_producer(settings, "test")
    with contextlib.closing(producer):
        for value, end in ((b"kept", producer.commit_transaction), (b"lost", producer.abort_transaction)):
            producer.begin_transaction()
            producer.send("test", value).get(timeout=30)
            end()
    assert [r.value for r in read_all(settings.kafka_bootstrap_servers, "test")] == [b"kept"]


def test_sigterm_ends_each_service_in_order_and_in_time(running: Running):
    codes = {name: running.containers.stop(name) for name in (*TRIO, "kafka")}
    # Java ends with the signal's number
    assert codes == {"api": 0, "processor": 0, "uploader": 0, "kafka": 143}

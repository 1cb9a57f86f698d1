"""Jobs five times longer than the poll interval: no rebalance, no redelivery, the same member throughout.

A download that drips, an engine that takes long, a store that takes long: each 30 s, all three side by side,
with `max.poll.interval.ms` at 6 s.
"""

import contextlib
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

import pytest

from common.kafka import clients
from common.settings.loading import load
from common.settings.schema import ProcessorSettings
from tests.support import audio
from tests.support.crash import PROCESSOR
from tests.support.http_server import drip
from tests.support.stack import Service, Stack
from tests.support.trio import Callback, Trio
from tests.support.uploader.slow_store import SlowStore

pytestmark = pytest.mark.slow

JOB_S = 30
INTERVAL = {"KAFKA_PROCESSOR_MAX_POLL_INTERVAL_MS": "6000", "KAFKA_UPLOADER_MAX_POLL_INTERVAL_MS": "6000"}


@dataclass(frozen=True)
class Membership:
    """The group's members at the broker, and the generation of which the worker says it is."""

    members: dict[str, str]
    generation: str


@dataclass
class LongJob:
    """One trio, one task, and the service whose job is the long one."""

    trio: Trio
    service: Service
    group: str
    task_uuid: str = ""
    before: Membership | None = None

    def membership(self) -> Membership:
        settings = load(ProcessorSettings).model_copy(
            update={"kafka_bootstrap_servers": self.trio.settings["KAFKA_BOOTSTRAP_SERVERS"]}
        )
        with contextlib.closing(clients.admin(settings)) as admin:
            described = admin.describe_groups([self.group])[self.group]
        status, body = self.service.get("/readyz")
        assert status == 200, body
        generation = re.match(r"generation (\d+)", body["checks"]["kafka"]["detail"])[1]
        return Membership({m["group_instance_id"]: m["member_id"] for m in described["members"]}, generation)

    def begin(self, address: str) -> None:
        self.before = self.membership()
        self.task_uuid = self.trio.submit(address)

    def end(self) -> Callback:
        callback = self.trio.wait_for_callback(self.task_uuid, timeout_s=JOB_S + 90)
        assert self.membership() == self.before
        log = self.service.log()
        assert "rebalance" not in log
        assert "max.poll.interval.ms" not in log
        assert len(self.trio.callbacks(self.task_uuid)) == 1
        return callback


@pytest.fixture(scope="module")
def jobs(tmp_path_factory, kafka, s3_store, model_dir):
    """All three, begun together so that the module takes half a minute."""
    song = audio.write(tmp_path_factory.mktemp("song") / "mix.wav", audio.noise(3.0), subtype="PCM_16")
    data = song.read_bytes()
    with contextlib.ExitStack() as cleanup:
        # The stand-in for an engine sleeps as long as it is told.
        def trio(name: str, engine_sleep_s: int = 0, **settings: str) -> Trio:
            stack = Stack(tmp_path_factory.mktemp(name), forked=True)
            cleanup.callback(stack.kill_all)
            sleeps = {"ENGINE_SLEEP_S": str(engine_sleep_s)}
            made = Trio(stack, kafka.bootstrap, s3_store, model_dir, **sleeps, **INTERVAL, **settings)
            cleanup.callback(made.close)
            return made.start("api", PROCESSOR, "uploader")

        slow_store = SlowStore(urlsplit(s3_store.endpoint_url).port, "vocals.wav", JOB_S)
        cleanup.callback(slow_store.close)
        download = trio("download")
        engine = trio("engine", engine_sleep_s=JOB_S)
        store = trio("store", S3_ENDPOINT_URL=slow_store.endpoint_url)

        def long_job(trio: Trio, service: str, group_setting: str) -> LongJob:
            return LongJob(trio, trio.services[service], trio.settings[group_setting])

        made = {
            "download": long_job(download, "stand_in_processor", "KAFKA_PROCESSOR_GROUP_ID"),
            "engine": long_job(engine, "stand_in_processor", "KAFKA_PROCESSOR_GROUP_ID"),
            "store": long_job(store, "uploader", "KAFKA_UPLOADER_GROUP_ID"),
        }
        made["download"].begin(download.song(drip(data, JOB_S)))
        made["engine"].begin(engine.song(data))
        made["store"].begin(store.song(data))
        yield made
        assert slow_store.delayed == 1


def test_a_download_that_drips_for_half_a_minute(jobs: dict[str, LongJob]):
    callback = jobs["download"].end()
    assert callback.json["status"] == "success"
    log = jobs["download"].service.log()
    assert len(re.findall(r"Download progress: [\d.]+% \([\d.]+ MB/s\)", log)) >= JOB_S // 3


def test_an_engine_that_takes_half_a_minute(jobs: dict[str, LongJob]):
    assert jobs["engine"].end().json["model"] == "stand-in"


def test_a_store_that_takes_half_a_minute(jobs: dict[str, LongJob]):
    assert jobs["store"].end().json["status"] == "success"

"""Two hosts that share nothing but Kafka and the bucket do songs together, and one of them is killed."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.support.crash import PROCESSOR, CrashSystem
from tests.support.own_network import Ways
from tests.support.processor.centre_model import write_centre_model
from tests.support.stack import Stack
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.network, pytest.mark.slow]
SONGS = 6


class Host:
    """A processor and an uploader in a network of their own, with directories of their own."""

    def __init__(self, directory: Path, ways: Ways, settings: dict[str, str]):
        self.stack = Stack(directory, ways.wrapper)
        write_centre_model(directory / "models")
        own = {"MODEL_FILE_DIR": str(directory / "models"), "WORKER_ID": directory.name}
        self.services = [
            self.stack.start(module, {**settings, **own}, wait=False) for module in (PROCESSOR, "uploader")
        ]
        for service in self.services:
            ways.open_in(service.port)
        self.processor, self.uploader = self.services

    def wait_ready(self) -> None:
        for service in self.services:
            service.wait_ready()

    def kill(self) -> None:
        for service in self.services:
            service.kill()


def port_of(url: str) -> int:
    port = urlsplit(url if "://" in url else f"//{url}").port
    assert port is not None
    return port


@pytest.fixture
def crashing(module_stack, kafka, s3_store, model_dir) -> Iterator[CrashSystem]:
    made = CrashSystem(module_stack, kafka.bootstrap, s3_store, model_dir, STAGE="s3", ENGINE_SLEEP_S="1")
    made.trio.start("api")
    yield made
    made.close()


@pytest.fixture
def hosts(crashing, kafka, s3_store, tmp_path) -> Iterator[tuple[Host, Host]]:
    trio = crashing.trio
    addresses = (kafka.bootstrap, s3_store.endpoint_url, trio.host.origin, trio.receiver.origin)
    ways = Ways(tmp_path, [port_of(address) for address in addresses])
    both = tuple(Host(tmp_path / name, ways, trio.settings) for name in ("one", "two"))
    yield both
    for host in both:
        host.kill()
    ways.close()


def taken_by(host: Host) -> set[str]:
    return set(re.findall(r"\[(\S+)\] task taken", host.processor.log()))


def submit_until_both_separate(crashing: CrashSystem, hosts: tuple[Host, Host], song: bytes) -> list[str]:
    """The tasks' ids. To which host a song goes is chance: where one has had none of them, there are more."""

    def submit() -> str:
        return crashing.trio.submit(crashing.trio.song(song))

    def both_separate() -> bool:
        if set(tasks) == taken_by(hosts[0]) | taken_by(hosts[1]):
            tasks.append(submit())
        return all("prepared" in host.processor.log() for host in hosts)

    tasks = [submit() for _ in range(SONGS)]
    wait_for(both_separate, 60, "a separation on each host")
    return tasks


def test_hosts_that_share_only_kafka_and_the_bucket_do_songs_together_and_one_may_die(
    crashing, hosts, song, tmp_path
):
    one, two = hosts
    for host in hosts:
        host.wait_ready()
    tasks = submit_until_both_separate(crashing, hosts, song)
    two.kill()
    for task_uuid in tasks:
        crashing.wait_for_deliveries(task_uuid)
        # A callback that was under way when its uploader was killed goes out again, with the same bytes.
        crashing.assert_seen_once(task_uuid, callbacks=len(crashing.trio.callbacks(task_uuid)))
    again = [crashing.attempts(one.processor, task_uuid) for task_uuid in tasks]
    assert [2] in again, "what the second host had begun"
    assert not (tmp_path / "one" / "outputs").exists()
    assert not (tmp_path / "two" / "outputs").exists()
    assert not [r for r in crashing.records_of("KAFKA_DEAD_LETTER_TOPIC") if json.loads(r.value)]

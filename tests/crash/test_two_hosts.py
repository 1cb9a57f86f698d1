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

    def separates(self) -> bool:
        """Whether its processor has prepared a song and not separated it, or had not when it was killed."""
        log = self.processor.log()
        return log.count("] prepared ") > log.count("] separated on ")

    def start_again(self) -> None:
        for service in self.services:
            service.start()

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


def submit_until_the_second_dies_in_a_separation(
    crashing: CrashSystem, hosts: tuple[Host, Host], song: bytes
) -> list[str]:
    """The tasks' ids. To which host a song goes is chance, so there are more until each has had one."""
    one, two = hosts
    tasks: list[str] = []

    def submit() -> None:
        tasks.append(crashing.trio.submit(crashing.trio.song(song)))

    def both_have_a_song() -> bool:
        if set(tasks) == taken_by(one) | taken_by(two):
            submit()
        return "] prepared " in one.processor.log() and two.separates()

    for _ in range(SONGS):
        submit()
    while True:
        wait_for(both_have_a_song, 60, "a separation on each host")
        two.kill()
        # The kill may come a moment too late. What the dead one has written tells.
        if two.separates():
            return tasks
        two.start_again()


def test_hosts_that_share_only_kafka_and_the_bucket_do_songs_together_and_one_may_die(
    crashing, hosts, song, tmp_path
):
    one, _ = hosts
    for host in hosts:
        host.wait_ready()
    tasks = submit_until_the_second_dies_in_a_separation(crashing, hosts, song)
    for task_uuid in tasks:
        crashing.wait_for_deliveries(task_uuid)
        # A callback that was under way when its uploader was killed goes out again, with the same bytes.
        crashing.assert_seen_once(task_uuid, callbacks=len(crashing.trio.callbacks(task_uuid)))
    again = [crashing.attempts(one.processor, task_uuid) for task_uuid in tasks]
    assert [2] in again, "what the second host had begun"
    assert not (tmp_path / "one" / "outputs").exists()
    assert not (tmp_path / "two" / "outputs").exists()
    assert not [r for r in crashing.records_of("KAFKA_DEAD_LETTER_TOPIC") if json.loads(r.value)]

"""What two views know of processors, from a real Kafka: the same, from the beginning, for three minutes."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator

import pytest
from kafka import KafkaProducer

from api.view.view import KafkaView
from common.settings.schema import ApiSettings, KafkaSettings
from common.tasks.messages import WorkerSeen
from common.tasks.messages.worker import MAX_AGE_S
from tests.support.api.announcements import model, worker
from tests.support.api.api_client import SONG
from tests.support.api.api_process import PATIENCE_S, api_settings, submit
from tests.support.api.task_client import ask
from tests.support.common.kafka.group import Lab
from tests.support.waiting import wait_for


@pytest.fixture
def lab(kafka) -> Lab:
    return Lab(kafka.bootstrap)


@contextlib.contextmanager
def announcing(bootstrap: str, topic: str) -> Iterator[Callable[..., None]]:
    with contextlib.closing(KafkaProducer(bootstrap_servers=bootstrap, acks="all")) as producer:

        def announce(*seen: WorkerSeen | bytes) -> None:
            for one in seen:
                key, value = (
                    (b"odd", one) if isinstance(one, bytes) else (one.worker_id.encode(), one.to_bytes())
                )
                producer.send(topic, value, key=key).get(timeout=30)

        yield announce


def test_two_views_agree_though_one_came_late_and_forget_a_killed_worker(lab, tmp_path):
    now_s, skipped = time.time(), []
    given = lab.settings.model_dump(include=set(KafkaSettings.model_fields))
    settings = [ApiSettings(**given, view_file=tmp_path / f"{number}.sqlite3") for number in range(2)]
    views = [KafkaView.from_settings(one, skipped.append, lambda: now_s) for one in settings]

    async def known(view: KafkaView) -> list[tuple[str, int]]:
        return [(one.worker_id, one.running) for one in await view.announced()]

    async def run() -> None:
        nonlocal now_s
        await views[0].start()
        started = now_s
        announce(worker("killed", started), b"odd", worker("alive", started), worker("stopped", started))
        announce(worker("alive", started + 1, running=1), worker("stopped", started + 1, stopped=True))
        await views[1].start()
        expected = [("alive", 1), ("killed", 0)]
        for view in views:
            while await known(view) != expected:
                await asyncio.sleep(0.05)
        announce(worker("alive", started + 170, running=2))
        now_s = started + MAX_AGE_S + 1
        for view in views:
            while await known(view) != [("alive", 2)]:
                await asyncio.sleep(0.05)
        for view in views:
            await view.close()

    with announcing(lab.settings.kafka_bootstrap_servers, lab.settings.kafka_models_topic) as announce:
        asyncio.run(asyncio.wait_for(run(), PATIENCE_S))
    assert skipped == ["workers", "workers"]


def test_an_api_offers_what_is_announced_and_a_restarted_one_the_same(kafka, stack):
    settings = api_settings(kafka.bootstrap)
    api = stack.start("api", settings)
    assert submit(api.url, SONG | {"model": "C"}).status == 200  # no processor has announced itself
    with announcing(kafka.bootstrap, settings["KAFKA_MODELS_TOPIC"]) as announce:
        announce(worker("b", models=(model("A"),)), worker("a", device="cuda"))
    wait_for(lambda: len(ask(api.url, "/workers").json()["workers"]) == 2, PATIENCE_S, "both processors")
    before = [ask(api.url, path).json() for path in ("/models", "/presets", "/workers")]
    refused = submit(api.url, SONG | {"model": "C"})
    assert (refused.status, refused.json()["error_code"]) == (400, "model_unknown")
    assert submit(api.url, SONG | {"model": "B", "stems": ["drums"]}).status == 200
    api.kill()
    api.start()
    api.wait_ready()
    wait_for(lambda: ask(api.url, "/workers").status == 200, PATIENCE_S, "the view")
    assert [ask(api.url, path).json() for path in ("/models", "/presets", "/workers")] == before

"""`/metrics` answers at once, also while a store accepts connections and never answers."""

import threading
import urllib.request
from collections.abc import Iterator

import pytest

from common.settings.schema import UploaderSettings
from common.worker.metrics import WorkerMetrics
from common.worker.service import Service
from tests.support.common.observability.exposition import Exposition
from tests.support.http_server import ScriptedServer, stall
from uploader.readiness import BucketWatch
from uploader.storage import Storage

PATIENCE_S = 30


class HangingCheck:
    """The uploader's own check of its bucket, and how far it has come."""

    def __init__(self, storage: Storage):
        self._storage = storage
        self.has_begun, self.has_ended = threading.Event(), threading.Event()

    def __call__(self) -> None:
        self.has_begun.set()
        try:
            self._storage.check_bucket()
        finally:
            self.has_ended.set()


@pytest.fixture
def store() -> Iterator[ScriptedServer]:
    with ScriptedServer() as server:
        server.on("/uvr-stems", stall())
        yield server


def test_a_scrape_does_not_wait_for_a_store_that_hangs(store: ScriptedServer):
    settings = UploaderSettings(
        s3_endpoint_url=store.url,
        s3_bucket_name="uvr-stems",
        aws_access_key_id="key",
        aws_secret_access_key="secret",
        health_port=0,
    )
    check = HangingCheck(Storage(settings))
    checks = {"store": BucketWatch(check, lambda: 0.0).check}
    metrics = WorkerMetrics.create("uploader")
    service = Service(settings, "results", "group", 60_000, 1, None, checks, metrics)
    service.serve_probes()
    assert check.has_begun.wait(PATIENCE_S)
    with urllib.request.urlopen(f"http://127.0.0.1:{service.health_port}/metrics", timeout=60) as answer:
        shown = Exposition(answer.read().decode())
    assert not check.has_ended.is_set()
    assert shown.labels("uvr_ready") == [{"service": "uploader"}]
    assert shown.value("uvr_ready") == 0
    assert shown.labels("uvr_jobs_running"), "the other metrics are there"
    store.close()
    assert check.has_ended.wait(PATIENCE_S)

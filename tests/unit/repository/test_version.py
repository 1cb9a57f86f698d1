"""One version for the services and the client, told wherever somebody asks for the version."""

import json
import urllib.request

import common
import uvr_client
from common.observability.health import Check, HealthServer
from common.worker.metrics import WorkerMetrics
from tests.support.api.api_client import ApiClient
from tests.support.common.observability.exposition import Exposition

VERSION = common.__version__


def test_the_client_repeats_the_services_version():
    assert uvr_client.__version__ == VERSION


def test_the_api_tells_its_version():
    api = ApiClient()
    for path in ("/health", "/livez"):
        assert json.loads(api.request("GET", path).body)["version"] == VERSION
    assert api.app.openapi()["info"]["version"] == VERSION
    assert told_by(Exposition(api.request("GET", "/metrics").body.decode())) == VERSION


def test_a_worker_tells_its_version():
    server = HealthServer("127.0.0.1", 0, alive=lambda: Check(True), checks={})
    server.start()
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/health", timeout=10) as answer:
            assert json.load(answer)["version"] == VERSION
    finally:
        server.stop()
    assert told_by(Exposition.of(WorkerMetrics.create("processor").registry)) == VERSION


def told_by(shown: Exposition) -> str:
    """The version in the metrics, which is the one label of a metric that is 1."""
    assert shown.value("uvr_build_info") == 1
    (labels,) = shown.labels("uvr_build_info")
    assert labels.keys() == {"version"}
    return labels["version"]

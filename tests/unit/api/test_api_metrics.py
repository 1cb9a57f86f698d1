"""The api's `/metrics`: sums that anyone may see, and nobody's name, address or task in them."""

import re

import pytest

from api.view.feed import Feed
from common.settings.schema import KafkaSettings
from tests.support.api.api_client import SONG, ApiClient, MemoryPublisher, basic
from tests.support.common.observability.exposition import Exposition

WRONG = basic("admin", "wrong")


def shown(client: ApiClient) -> Exposition:
    answer = client.request("GET", "/metrics")
    assert answer.status == 200
    return Exposition(answer.body.decode())


def test_it_needs_no_credentials_and_is_in_prometheus_own_format():
    answer = ApiClient().request("GET", "/metrics")
    assert answer.status == 200
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"


def test_it_can_be_taken_away():
    client = ApiClient(api_metrics=False)
    assert client.request("GET", "/metrics").status == 404
    assert "/metrics" not in client.app.openapi()["paths"]
    assert "/metrics" in ApiClient().app.openapi()["paths"]


def test_requests_are_counted_by_route_and_status():
    client = ApiClient()
    client.generate()
    client.generate(b"{")
    client.generate(headers=WRONG)
    client.request("GET", "/health")
    client.request("HEAD", "/health")
    client.request("DELETE", "/generate")
    counted = shown(client)

    def requests(route: str, status: str) -> float:
        return counted.value("uvr_http_requests_total", route=route, status=status)

    assert [requests("/generate", status) for status in ("200", "400", "401", "405")] == [1, 1, 1, 1]
    assert requests("/health", "200") == 2


def test_paths_that_are_none_of_ours_make_one_series_however_many_there_are():
    client = ApiClient()
    for number in range(20):
        client.request("GET", f"/secret-{number}")
    counted = shown(client)
    assert counted.value("uvr_http_requests_total", route="none", status="404") == 20
    assert "secret" not in counted.text


def test_a_request_that_is_refused_before_the_router_is_counted():
    client = ApiClient()
    client.generate(headers={"X-Large": "x" * 16 * 1024})
    assert shown(client).value("uvr_http_requests_total", route="none", status="431") == 1


def test_tasks_are_counted_once_kafka_has_confirmed_them():
    client = ApiClient()
    client.generate()
    client.publisher.away = "gone"
    client.generate()
    counted = shown(client)
    assert counted.value("uvr_tasks_queued_total") == 1
    assert counted.value("uvr_http_requests_total", route="/generate", status="503") == 1


def test_sign_ins_that_are_refused_are_counted_by_why():
    client = ApiClient(auth_failures_per_minute=2)
    client.request("POST", "/generate")
    for _ in range(4):
        client.generate(headers=WRONG)
    counted = shown(client)
    reasons = {
        reason: counted.value("uvr_sign_in_refusals_total", reason=reason)
        for reason in ("missing", "wrong", "too_many_failures", "busy")
    }
    assert reasons == {"missing": 1, "wrong": 2, "too_many_failures": 2, "busy": 0}


@pytest.mark.parametrize(("away", "ready"), [("", 1), ("gone", 0)])
def test_readiness_is_a_number(away, ready):
    assert shown(ApiClient(MemoryPublisher(away=away))).value("uvr_ready", service="api") == ready


def test_each_kind_of_record_that_the_view_reads_has_its_count_of_skipped_ones_from_the_start():
    feed = Feed(KafkaSettings(), *[None] * 5)
    kinds = {*feed._kinds.values()}
    text = ApiClient(MemoryPublisher()).request("GET", "/metrics").body.decode()
    assert {*re.findall(r'uvr_view_records_skipped_total\{kind="(\w+)"\} 0', text)} == kinds


def test_nothing_of_a_user_a_song_or_a_task_is_shown():
    client = ApiClient()
    headers = {"X-Request-Id": "my-request", "Idempotency-Key": "my-key"}
    task_uuid = client.generate(headers=headers).json()["task_uuid"]
    text = shown(client).text
    for private in (task_uuid, "admin", "example.com", "203.0.113.5", "my-request", "my-key", SONG["audio"]):
        assert private not in text

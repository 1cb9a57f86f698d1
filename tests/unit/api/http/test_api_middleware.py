"""What every answer carries, what the log says of a request, and the probes."""

import logging

import pytest

from api.view.read_position import ReadPosition
from tests.support.api.api_client import SONG, ApiClient, MemoryPublisher, basic

WRONG = basic("admin", "wrong")


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/health"), ("GET", "/nothing"), ("POST", "/generate"), ("GET", "/docs")]
)
def test_every_answer_has_safe_headers_and_an_id(method, path):
    headers = ApiClient().request(method, path).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-store"
    assert headers["content-security-policy"].startswith("default-src 'none'")
    assert headers["x-request-id"]
    assert "server" not in headers


def test_an_unexpected_errors_answer_has_them_too():
    answer = ApiClient(MemoryPublisher(fails_with=RuntimeError())).generate()
    assert answer.status == 500
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["x-request-id"]


def test_a_given_request_id_is_kept():
    assert ApiClient().generate(headers={"X-Request-Id": "abc-1.2_3"}).headers["x-request-id"] == "abc-1.2_3"


@pytest.mark.parametrize("given", ["", "a b", "x" * 129, "<script>", "a\nb", "é"])
def test_an_unfit_request_id_is_replaced(given):
    answer = ApiClient().generate(headers={"X-Request-Id": given})
    assert answer.status == 200
    assert answer.headers["x-request-id"] != given


def test_a_request_is_one_line(caplog):
    caplog.set_level(logging.INFO)
    ApiClient().request("GET", "/nothing")
    (line,) = [record.getMessage() for record in caplog.records if record.name == "api.access"]
    assert line.startswith("GET /nothing 404 ")
    assert "203.0.113.5" in line


@pytest.mark.parametrize(
    ("scope", "status"),
    [({"Content-Length": "2", "Transfer-Encoding": "chunked"}, 400), ({"X-Large": "x" * 16 * 1024}, 431)],
)
def test_what_a_proxy_could_read_otherwise_is_refused_and_its_connection_closed(scope, status):
    answer = ApiClient().generate(headers=scope)
    assert answer.status == status
    assert answer.headers["connection"] == "close"


def test_no_secret_and_no_line_end_reaches_the_log(caplog):
    caplog.set_level(logging.DEBUG)
    client = ApiClient()
    presigned = SONG | {"audio": "https://example.com/a?signature=TOPSECRET#TOPSECRET"}
    assert client.generate(presigned, {"Idempotency-Key": "TOPSECRET"}).status == 200
    client.request("GET", "/nothing\n2026-01-01 forged?token=TOPSECRET")
    client.generate(headers=WRONG | {"Authorization": "Bearer TOPSECRET"})
    log = "\n".join(record.getMessage() for record in caplog.records)
    assert "https://example.com/a" in log
    assert "TOPSECRET" not in log
    assert "Authorization" not in log
    assert "password" not in log
    assert "\n2026-01-01 forged" not in log


@pytest.mark.parametrize(
    ("method", "path", "client"),
    [("A" * 8000, "/nothing", "x"), ("GET", "/" + "é" * 4000, "x"), ("GET", "/nothing", "\u202e" * 8000)],
)
def test_a_line_is_short_whatever_the_request(caplog, method, path, client):
    caplog.set_level(logging.INFO)
    ApiClient().request(method, path, client=client)
    (line,) = [record.getMessage() for record in caplog.records if record.name == "api.access"]
    assert len(line) < 500


@pytest.mark.parametrize("away", ["", "gone"])
def test_probes_do_not_fill_the_log(caplog, away):
    caplog.set_level(logging.INFO)
    client = ApiClient(MemoryPublisher(away=away))
    for path in ("/health", "/livez", "/readyz"):
        client.request("GET", path)
    assert not [record for record in caplog.records if record.name == "api.access"]


@pytest.mark.parametrize("path", ["/health", "/livez"])
def test_health_is_the_contracts_whatever_kafka_does(path):
    answer = ApiClient(MemoryPublisher(away="gone")).request("GET", path)
    assert answer.status == 200
    body = answer.json()
    assert body["status"] == "healthy"
    assert isinstance(body["timestamp"], float)


def test_ready_says_why_not():
    client = ApiClient(MemoryPublisher(away="no route to Kafka"))
    answer = client.request("GET", "/readyz")
    assert answer.status == 503
    assert answer.json()["checks"]["kafka"] == {"ok": False, "detail": "no route to Kafka"}
    client.publisher.away = ""
    assert client.request("GET", "/readyz").status == 200


def test_ready_says_that_the_view_stands_still(monkeypatch):
    client = ApiClient()
    client.view.feed.reason = "disk full"
    assert client.request("GET", "/readyz").status == 200  # for a while
    monkeypatch.setattr(ReadPosition, "silent_s", 90.0)
    answer = client.request("GET", "/readyz")
    assert answer.status == 503
    assert answer.json()["checks"]["view"] == {"ok": False, "detail": "not fed for 90 s: disk full"}


@pytest.mark.parametrize("path", ["/health", "/livez", "/readyz"])
def test_probes_may_ask_with_head(path):
    assert ApiClient().request("HEAD", path).status == 200

"""Credentials: decided first, compared as bytes, and not to be guessed."""

import base64

import pytest

from api.auth.basic_auth import decode
from api.limiter import FailureLimiter
from tests.support.api.api_client import ApiClient, basic


def unreadable():
    raise AssertionError("the body was read")
    yield


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Content-Length": "0"},
        {"Content-Length": "99999999999"},
        {"Idempotency-Key": "not valid"},
        {"Authorization": ""},
        {"Authorization": "Basic"},
        {"Authorization": "Basic !!!"},
        {"Authorization": "Bearer YWRtaW46cGFzc3dvcmQ="},
        {"Authorization": "Basic " + base64.b64encode(b"no colon").decode()},
        basic("admin", "wrong"),
        basic("admin", ""),
        basic("", ""),
        basic("other", "password"),
        basic("admin", "password "),
        basic("admin", "pässword"),
        basic("admin", "password" * 1000),
    ],
)
def test_without_right_credentials_it_is_401_and_the_body_is_not_read(headers):
    answer = ApiClient().request("POST", "/generate", headers, unreadable())
    assert answer.status == 401
    assert answer.headers["www-authenticate"].startswith('Basic realm="')
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["error"]


@pytest.mark.parametrize("scheme", ["Basic ", "basic ", "BASIC  "])
def test_the_schemes_case_does_not_matter(scheme):
    header = {"Authorization": scheme + base64.b64encode(b"admin:password").decode()}
    assert ApiClient().generate(headers=header).status == 200


def test_a_password_may_hold_colons():
    client = ApiClient(basic_auth_password="a:b:c")
    assert client.generate().status == 200
    assert decode(basic("u", "a:b:c")["Authorization"]) == (b"u", b"a:b:c")


def test_after_too_many_failures_a_client_has_to_wait_even_with_the_right_password():
    client = ApiClient(auth_failures_per_minute=3)
    wrong = basic("admin", "wrong")
    assert [client.generate(headers=wrong).status for _ in range(4)] == [401, 401, 401, 429]
    refused = client.generate()
    assert refused.status == 429
    assert refused.headers["content-type"] == "application/problem+json"
    client.now_s += int(refused.headers["retry-after"])
    assert client.generate().status == 200


def test_other_clients_are_not_limited_by_ones_failures():
    client = ApiClient(auth_failures_per_minute=1)
    wrong = basic("admin", "wrong")
    assert [client.generate(headers=wrong).status for _ in range(2)] == [401, 429]
    assert client.generate(client="203.0.113.6").status == 200


def test_requests_without_credentials_guess_nothing_and_do_not_count():
    client = ApiClient(auth_failures_per_minute=1)
    assert {client.request("POST", "/generate").status for _ in range(5)} == {401}
    assert client.generate().status == 200


def test_right_credentials_do_not_count():
    client = ApiClient(auth_failures_per_minute=1)
    assert {client.generate().status for _ in range(5)} == {200}


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def fail(limiter, client, times):
    for _ in range(times):
        limiter.failed(client)


def test_failures_are_forgiven_evenly_over_a_minute():
    clock = Clock()
    limiter = FailureLimiter(6, clock)
    fail(limiter, "a", 6)
    assert limiter.retry_after_s("a") == pytest.approx(10)
    clock.now_s = 9.9
    assert limiter.retry_after_s("a") == pytest.approx(0.1)
    clock.now_s = 10.1
    assert limiter.retry_after_s("a") == 0
    limiter.failed("a")
    assert limiter.retry_after_s("a") > 9
    clock.now_s = 1000
    fail(limiter, "a", 5)
    assert limiter.retry_after_s("a") == 0


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8::1", "2001:db8::ffff:2", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("192.0.2.1", "192.0.2.2", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("testclient", "testclient", True),
    ],
)
def test_a_client_is_an_address_or_an_ipv6_network(one, other, same):
    limiter = FailureLimiter(1, Clock())
    limiter.failed(one)
    assert (limiter.retry_after_s(other) > 0) is same


def test_memory_is_bounded_and_the_longest_quiet_client_is_forgotten_first():
    limiter = FailureLimiter(1, Clock(), max_clients=2)
    for client in ("a", "b", "a", "c"):
        limiter.failed(client)
    assert [limiter.retry_after_s(client) > 0 for client in ("a", "b", "c")] == [True, False, True]

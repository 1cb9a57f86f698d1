"""Signing in to the console: the cookie in place of HTTP Basic, and the header against other pages."""

import json
from typing import Any

import pytest

from tests.support.api.api_client import SONG, Answer, ApiClient, basic

PAGE = {"X-UVR-CSRF": "1"}
RIGHT = {"username": "admin", "password": "password"}


@pytest.fixture
def client() -> ApiClient:
    return ApiClient(session_key="s" * 32, admin_usernames="admin")


def sign_in(client: ApiClient, body: Any = RIGHT, headers: dict[str, str] = PAGE) -> Answer:
    return client.request("POST", "/session", headers, [json.dumps(body).encode()])


def cookie(client: ApiClient) -> dict[str, str]:
    return {"Cookie": sign_in(client).headers["set-cookie"].partition(";")[0]}


def submit(client: ApiClient, headers: dict[str, str]) -> Answer:
    return client.request("POST", "/generate", headers, [json.dumps(SONG).encode()])


def test_a_right_password_gives_a_cookie_that_no_script_and_no_other_site_can_use(client):
    answer = sign_in(client)
    assert answer.json() == {"user": "admin", "is_admin": True}
    name, *attributes = answer.headers["set-cookie"].split("; ")
    assert name.startswith("uvr_session=v1.")
    assert {"HttpOnly", "SameSite=strict", "Max-Age=43200"} <= set(attributes)
    assert not any(attribute.startswith(("Path", "Secure")) for attribute in attributes)


def test_the_cookie_is_for_https_alone_where_the_request_came_so(client):
    client = ApiClient(session_key="s" * 32, forwarded_allow_ips="203.0.113.5")
    answer = sign_in(client, headers=PAGE | {"X-Forwarded-Proto": "https"})
    assert "; Secure" in answer.headers["set-cookie"]


@pytest.mark.parametrize(
    "body", [{"username": "admin", "password": "wrong"}, {"username": "é", "password": "x"}]
)
def test_a_wrong_password_is_401_without_a_window_of_the_browsers_own_and_counts(body):
    client = ApiClient(session_key="s" * 32, auth_failures_per_minute=1)
    answer = sign_in(client, body)
    assert answer.status == 401
    assert not {"set-cookie", "www-authenticate"} & set(answer.headers)
    assert sign_in(client).status == 429
    assert client.generate().status == 429  # one limit for both ways


def test_bodies_that_are_no_credentials_are_400_and_are_not_repeated(client):
    for body in (None, [], {"username": "a"}, {"username": "a", "password": 5}, {"username": "a" * 999}):
        answer = sign_in(client, body)
        assert answer.status == 400
        assert "a" * 20 not in answer.body.decode()


def test_signing_in_and_out_wants_the_pages_header(client):
    assert sign_in(client, headers={}).json()["error_code"] == "csrf_header_missing"
    assert client.request("DELETE", "/session", cookie(client)).status == 403


def test_only_who_is_signed_in_is_offered_the_song_to_try():
    demo = {"url": "https://example.com/a.mp3", "label": "A song"}
    client = ApiClient(session_key="s" * 32, demo_song_url=demo["url"], demo_song_label=demo["label"])
    assert sign_in(client).json()["demo"] == demo
    assert client.request("GET", "/session", cookie(client)).json()["demo"] == demo
    assert client.request("GET", "/session", {}).json() == {"user": None, "is_admin": False}


def test_the_cookie_signs_requests_in(client):
    signed = cookie(client)
    assert client.request("GET", "/session", signed).json() == {"user": "admin", "is_admin": True}
    assert client.request("GET", "/tasks", signed).status == 200
    assert client.request("GET", "/tasks", signed | PAGE).status == 200
    assert submit(client, signed | PAGE).status == 200
    assert [task.user for task in client.publisher.tasks] == ["admin"]


def test_a_change_without_the_header_is_refused(client):
    signed = cookie(client)
    assert submit(client, signed).json()["error_code"] == "csrf_header_missing"
    path = "/tasks/00000000-0000-0000-0000-000000000001/cancel"
    assert client.request("POST", path, signed).status == 403
    assert client.request("POST", path, signed | PAGE).status == 404
    assert client.publisher.tasks == []


def test_nobody_is_signed_in_without_a_cookie_or_with_a_wrong_one(client):
    for headers in ({}, {"Cookie": "uvr_session=v1.YWRtaW4.9999999999.AAAA"}):
        assert client.request("GET", "/session", headers).json() == {"user": None, "is_admin": False}
        page = client.request("GET", "/tasks", headers | PAGE)
        assert (page.status, "www-authenticate" in page.headers) == (401, False)
        program = client.request("GET", "/tasks", headers)
        assert (program.status, "www-authenticate" in program.headers) == (401, True)


def test_a_password_that_the_browser_has_stored_does_not_count_for_the_page(client):
    assert client.request("GET", "/tasks", basic("admin", "password") | PAGE).status == 401
    signed = cookie(client) | basic("admin", "wrong")
    assert client.request("GET", "/tasks", signed | PAGE).status == 200
    assert client.request("GET", "/tasks", signed).status == 401


def test_signing_out_takes_the_cookie_away(client):
    answer = client.request("DELETE", "/session", cookie(client) | PAGE)
    assert answer.status == 204
    assert 'uvr_session=""; HttpOnly; Max-Age=0' in answer.headers["set-cookie"]


def test_a_page_of_another_origin_may_not_send_the_header():
    client = ApiClient(cors_origins="https://app.example.com")
    asked = {"Origin": "https://app.example.com", "Access-Control-Request-Method": "POST"}
    answer = client.request("OPTIONS", "/generate", asked)
    assert answer.status == 204
    assert "x-uvr-csrf" not in answer.headers["access-control-allow-headers"].lower()

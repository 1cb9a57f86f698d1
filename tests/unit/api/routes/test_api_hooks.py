"""A user tries his receiver, and reads what came of it."""

import json

import pytest

from tests.support.api.api_client import ApiClient, ReportingPublisher, basic

ADMIN = basic("admin", "password")
HOOK = "https://example.com/hook"


@pytest.fixture
def client():
    client = ApiClient(ReportingPublisher())
    client.publisher.view = client.view
    return client


def ask(client: ApiClient, body):
    return client.request("POST", "/hooks/test", ADMIN, [json.dumps(body).encode()])


def test_the_receivers_answer_is_told_and_no_more_of_it(client):
    answer = ask(client, {"hook_url": HOOK})
    (test,) = client.publisher.hook_tests
    assert (test.hook_url, test.user) == (HOOK, "admin")
    assert (answer.status, answer.json()) == (
        200,
        {"webhook_id": f"{test.test_uuid}.1", "delivered": True, "status": 204, "took_s": 0.5},
    )
    client.publisher.reported = {"status": 500, "error_code": "callback_failed", "error_message": "Not taken"}
    failed = ask(client, {"hook_url": HOOK}).json()
    assert (failed["delivered"], failed["status"], failed["error_code"]) == (False, 500, "callback_failed")


@pytest.mark.parametrize("body", [{}, {"hook_url": 7}, {"hook_url": "nowhere"}])
def test_what_is_no_address_is_not_called(client, body):
    assert ask(client, body).status == 400
    assert client.publisher.hook_tests == []
    assert client.request("POST", "/hooks/test").status == 401


def test_a_user_has_ten_tests_a_minute(client):
    assert [ask(client, {"hook_url": HOOK}).status for _ in range(11)] == [200] * 10 + [429]
    client.now_s += 6
    assert ask(client, {"hook_url": HOOK}).status == 200

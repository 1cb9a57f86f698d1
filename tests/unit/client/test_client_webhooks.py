"""Callbacks as the uploader signs them, verified as a receiver does it: by `uvr_client.verify_webhook`."""

import base64
import sys
import threading
from datetime import UTC, datetime
from http.server import HTTPServer

import pytest
from standardwebhooks import Webhook as StandardWebhook

from common.outbound.addresses import AddressPolicy, parse_origin
from common.outbound.guarded_session import OutboundNetwork
from common.waiting import go_on
from tests.support.documents import block
from tests.support.http_server import CallbackReceiver, Request
from uploader import signing_key
from uploader.webhook import deliver
from uvr_client import (
    UvrError,
    WebhookExpired,
    WebhookForged,
    WebhookKeyInvalid,
    WebhookMalformed,
    verify_webhook,
)

pytestmark = pytest.mark.network

NOW_S = 1_750_000_000.5
BODY = '{"title": "Für Élise"}'.encode()
SECRET, NEXT_SECRET = ("whsec_" + base64.b64encode(bytes([n]) * 32).decode() for n in (1, 2))
# Fixed, because they are in the names of tests, which all processes of a run must call the same.
KEY, NEXT_KEY, OTHER_KEY = ("whsk_" + base64.b64encode(bytes([n]) * 32).decode() for n in (3, 4, 5))
PUBLIC, NEXT_PUBLIC = signing_key.public_key_of(KEY), signing_key.public_key_of(NEXT_KEY)


def sent(*secrets: str, body: bytes = BODY) -> Request:
    """The request that a receiver gets from an uploader which signs by these secrets and keys."""
    with CallbackReceiver() as receiver:
        policy = AddressPolicy(frozenset({80}), frozenset({parse_origin(receiver.origin)}))
        network = OutboundNetwork(policy)
        deliver(receiver.hook_url, body, "id.1", secrets, network, go_on, 30.0, lambda: NOW_S)
        return receiver.wait_for_callbacks(1)[0]


def verified(request: Request, keys, after_s: float = 0.0):
    return verify_webhook(request.headers, request.body, keys, wall_clock=lambda: NOW_S + after_s)


@pytest.fixture(scope="module")
def signed_by_all() -> Request:
    return sent(SECRET, NEXT_SECRET, KEY, NEXT_KEY)


@pytest.mark.parametrize("keys", [SECRET, NEXT_SECRET, PUBLIC, NEXT_PUBLIC, f"{PUBLIC} {SECRET}"])
def test_each_key_that_has_signed_verifies_alone_among_several_signatures(signed_by_all, keys):
    webhook = verified(signed_by_all, keys)
    assert (webhook.id, webhook.signed_at) == ("id.1", int(NOW_S))
    assert webhook.content == {"title": "Für Élise"}


@pytest.mark.parametrize(
    ("old", "new", "keys"), [(SECRET, NEXT_SECRET, None), (KEY, NEXT_KEY, (PUBLIC, NEXT_PUBLIC))]
)
def test_while_one_key_replaces_another_a_receiver_with_both_takes_each(old, new, keys):
    known = keys or (old, new)
    for one in (old, new):
        assert verified(sent(one), known).id == "id.1"


def test_names_of_headers_are_taken_in_any_case_and_as_the_standards_own_library_signs(signed_by_all):
    headers = {name.title(): value for name, value in signed_by_all.headers.items()}
    assert verify_webhook(headers, BODY, PUBLIC, wall_clock=lambda: NOW_S).id == "id.1"
    moment = {"webhook-id": "id.1", "webhook-timestamp": "1750000000"}
    known = base64.b64encode(bytes(range(24))).decode()
    signature = StandardWebhook(known).sign("id.1", datetime.fromtimestamp(1_750_000_000, UTC), BODY.decode())
    given = moment | {"webhook-signature": f"v2,AAAA v1,!!! {signature}"}
    assert verify_webhook(given, BODY, f"whsec_{known}", wall_clock=lambda: NOW_S).id == "id.1"


@pytest.mark.parametrize("after_s", [-299.0, 299.0])
def test_clocks_may_differ_by_five_minutes_and_no_more(signed_by_all, after_s):
    assert verified(signed_by_all, SECRET, after_s).id == "id.1"
    with pytest.raises(WebhookExpired):
        verified(signed_by_all, SECRET, after_s * 1.01)


@pytest.mark.parametrize(
    "keys", ["whsec_" + base64.b64encode(b"x" * 32).decode(), signing_key.public_key_of(OTHER_KEY)]
)
def test_a_signature_by_another_key_is_refused(signed_by_all, keys):
    with pytest.raises(WebhookForged):
        verified(signed_by_all, keys)


@pytest.mark.parametrize(
    "change",
    [
        {"webhook-id": "id.2"},
        {"webhook-timestamp": "1750000001"},
        {"webhook-signature": "v1,AAAA v1a,AAAA v1"},
    ],
)
@pytest.mark.parametrize("keys", [SECRET, PUBLIC])
def test_whatever_is_changed_in_a_signed_callback_is_noticed(signed_by_all, change, keys):
    headers = {name.lower(): value for name, value in signed_by_all.headers.items()} | change
    with pytest.raises(WebhookForged):
        verify_webhook(headers, BODY, keys, wall_clock=lambda: NOW_S)
    with pytest.raises(WebhookForged):
        verify_webhook(signed_by_all.headers, BODY + b" ", keys, wall_clock=lambda: NOW_S)


def test_a_signature_of_one_version_is_no_signature_of_the_other(signed_by_all):
    headers = {name.lower(): value for name, value in signed_by_all.headers.items()}
    swapped = headers["webhook-signature"].replace("v1a,", "v3,").replace("v1,", "v1a,")
    with pytest.raises(WebhookForged):
        verify_webhook(headers | {"webhook-signature": swapped}, BODY, SECRET, wall_clock=lambda: NOW_S)


@pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp", "webhook-signature"])
def test_a_callback_without_a_header_of_its_signature_is_malformed(signed_by_all, name):
    headers = {key.lower(): value for key, value in signed_by_all.headers.items() if key.lower() != name}
    with pytest.raises(WebhookMalformed, match=name):
        verify_webhook(headers, BODY, SECRET, wall_clock=lambda: NOW_S)


@pytest.mark.parametrize("moment", ["1e9", "-1", "nan", "1750000000.5", "٣"])
def test_a_time_that_is_none_is_malformed(signed_by_all, moment):
    headers = {name.lower(): value for name, value in signed_by_all.headers.items()}
    with pytest.raises(WebhookMalformed, match="webhook-timestamp"):
        verify_webhook(headers | {"webhook-timestamp": moment}, BODY, SECRET, wall_clock=lambda: NOW_S)


def test_a_signed_body_that_is_no_object_is_malformed():
    with pytest.raises(WebhookMalformed):
        verified(sent(SECRET, body=b"[]"), SECRET)


@pytest.mark.parametrize("keys", ["", (), "secret", "whsec_", "whsec_!", "whpk_AAAA", KEY])
def test_a_key_that_is_none_is_told_before_anything_else(keys):
    with pytest.raises(WebhookKeyInvalid) as refused:
        verify_webhook({}, b"", keys)
    assert isinstance(refused.value, ValueError)
    assert isinstance(refused.value, UvrError)
    assert "AAAA" not in str(refused.value)


def test_a_public_key_says_which_package_is_missing_and_a_secret_needs_none(signed_by_all, monkeypatch):
    monkeypatch.setitem(sys.modules, "cryptography.exceptions", None)
    assert verified(signed_by_all, SECRET).id == "id.1"
    with pytest.raises(WebhookKeyInvalid, match="pip install cryptography"):
        verified(signed_by_all, PUBLIC)


def test_the_documented_receiver_takes_callbacks_of_the_uploader_alone(monkeypatch, capsys):
    monkeypatch.setenv("WEBHOOK_KEYS", f"{SECRET} {PUBLIC}")
    code, serves, _ = block("docs/client.md", "verify_webhook(").partition("HTTPServer((")
    names: dict = {}
    exec(code, names)
    with HTTPServer(("127.0.0.1", 0), names["Receiver"]) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            address = f"http://127.0.0.1:{server.server_port}"
            network = OutboundNetwork(AddressPolicy(frozenset({80}), frozenset({parse_origin(address)})))
            body = b'{"task_uuid": "t", "status": "success"}'
            for secrets in ((KEY,), (SECRET,), (NEXT_KEY,)):
                answer = deliver(f"{address}/hook", body, "id.1", secrets, network, go_on, 30.0)
                assert answer.status == (401 if secrets == (NEXT_KEY,) else 204)
        finally:
            server.shutdown()
            thread.join()
    assert capsys.readouterr().out == "t success\n"
    assert serves

"""Callbacks to real receivers: what they get, when it counts as taken, and how each failure is named."""

import base64
import hashlib
import hmac
import itertools
import threading
import time

import pytest
from standardwebhooks import Webhook

from common.errors import Cancelled, ErrorCode, PermanentError, TransientError
from common.outbound.addresses import AddressPolicy, parse_origin
from common.outbound.guarded_session import OutboundNetwork
from tests.support.http_server import (
    CallbackReceiver,
    ScriptedServer,
    drip,
    drip_headers,
    raw,
    redirect,
    reset,
    serve,
    serve_chunked,
    stall,
)
from uploader.webhook import (
    Delivered,
    Delivery,
    Gone,
    Refused,
    Rejected,
    TimedOut,
    Unreachable,
    as_error,
    check_secret,
    deliver,
)

pytestmark = pytest.mark.network

BODY = '{"task_uuid": "7a0e", "status": "success", "title": "Für Élise"}'.encode()
ID = "7a0e0f8e-5d0c-4d3e-9c53-0a4a0d9c0001.1"
SECRET = "whsec_" + base64.b64encode(b"an octet string of 32 bytes len.").decode()
NEXT_SECRET = "whsec_" + base64.b64encode(b"another octet string for rotation").decode()


def go_on() -> None:
    """No job is cancelled here."""


@pytest.fixture
def receiver():
    with CallbackReceiver() as receiver:
        yield receiver


def post(
    receiver: ScriptedServer, path="/hook", secrets=(), timeout_s=30.0, check=go_on, **kwargs
) -> Delivery:
    network = OutboundNetwork(AddressPolicy(frozenset({80}), frozenset({parse_origin(receiver.origin)})))
    return deliver(receiver.url + path, BODY, ID, secrets, network, check, timeout_s, **kwargs)


class TestWhatTheReceiverGets:
    def test_the_very_bytes_with_their_id(self, receiver):
        assert post(receiver) == Delivered(204)
        (request,) = receiver.wait_for_callbacks(1)
        assert (request.method, request.body) == ("POST", BODY)
        assert request.headers["content-type"] == "application/json"
        assert request.headers["user-agent"] == "uvr-api"
        assert request.headers["webhook-id"] == ID

    def test_no_signature_without_a_secret(self, receiver):
        post(receiver)
        (request,) = receiver.wait_for_callbacks(1)
        assert "webhook-signature" not in request.headers
        assert "webhook-timestamp" not in request.headers

    def test_a_signature_that_the_library_of_the_standard_verifies(self, receiver):
        post(receiver, secrets=[SECRET])
        (request,) = receiver.wait_for_callbacks(1)
        assert Webhook(SECRET).verify(request.body, request.headers)["status"] == "success"

    def test_the_signature_is_the_one_that_the_standard_describes(self, receiver):
        post(receiver, secrets=[SECRET], wall_clock=lambda: 1_700_000_000.9)
        (request,) = receiver.wait_for_callbacks(1)
        signed = ID.encode() + b".1700000000." + BODY
        digest = hmac.new(b"an octet string of 32 bytes len.", signed, hashlib.sha256).digest()
        assert request.headers["webhook-timestamp"] == "1700000000"
        assert request.headers["webhook-signature"] == "v1," + base64.b64encode(digest).decode()

    def test_while_secrets_rotate_either_one_verifies(self, receiver):
        post(receiver, secrets=[NEXT_SECRET, SECRET])
        (request,) = receiver.wait_for_callbacks(1)
        for secret in (SECRET, NEXT_SECRET):
            Webhook(secret).verify(request.body, request.headers)

    def test_the_query_of_the_address_is_kept(self, receiver):
        post(receiver, path="/hook?job=7&sig=a%2Fb")
        assert receiver.requests()[0].target == "/hook?job=7&sig=a%2Fb"


class TestAnswers:
    @pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
    def test_every_2xx_is_a_success(self, receiver, status):
        receiver.answer(status)
        assert post(receiver) == Delivered(status)

    def test_410_ends_it_for_good(self, receiver):
        receiver.answer(410)
        assert post(receiver) == Gone()

    @pytest.mark.parametrize("status", [400, 401, 404, 422, 429, 500, 503])
    def test_another_status_is_a_rejection(self, receiver, status):
        receiver.answer(status, [("Retry-After", "120")])
        assert post(receiver) == Rejected(status, f"HTTP status {status}", 120.0)

    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    def test_a_redirect_is_a_rejection_that_says_so_and_is_not_followed(self, receiver, status):
        receiver.on("/hook", redirect("/elsewhere", status))
        result = post(receiver)
        assert isinstance(result, Rejected)
        assert "redirect" in result.reason
        assert [request.target for request in receiver.requests()] == ["/hook"]

    @pytest.mark.parametrize(
        "script",
        [
            serve_chunked(itertools.repeat(b"x" * 65536), "text/html"),
            serve(b"x" * 10_000_000, 200, "text/html"),
            serve(b"short", 200, "text/html", declared_bytes=100),
            reset(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n"),
            drip(b"x" * 1000, seconds=600),
        ],
        ids=["endless", "huge", "short", "reset", "dripped"],
    )
    def test_the_status_decides_whatever_the_answer_is_like(self, receiver, script):
        receiver.on("/hook", script)
        assert post(receiver, timeout_s=1) == Delivered(200)

    def test_no_more_than_64_kib_of_an_answer_is_read(self, receiver):
        sent = []

        def pieces():
            while True:
                sent.append(1)
                yield b"x" * 1024 * 1024

        receiver.on("/hook", serve_chunked(pieces()))
        assert post(receiver) == Delivered(200)
        receiver.close()
        assert len(sent) < 64, "the rest never left the receiver's socket"


class TestNoAnswer:
    @pytest.mark.parametrize("script", [stall(), drip_headers(0.02)], ids=["silence", "dripped headers"])
    def test_a_receiver_that_never_finishes_its_head_ends_at_the_deadline(self, receiver, script):
        receiver.on("/hook", script)
        assert post(receiver, timeout_s=0.2) == TimedOut("no answer within 0.2 seconds")

    def test_a_closed_port(self, receiver):
        receiver.close()
        assert post(receiver) == Unreachable("network error: Connection refused")

    @pytest.mark.parametrize("script", [reset(), raw(b""), raw(b"nonsense\r\n\r\n")])
    def test_a_broken_exchange(self, receiver, script):
        receiver.on("/hook", script)
        result = post(receiver)
        assert isinstance(result, Unreachable)
        assert result.reason.startswith("network error: ")

    def test_a_cancel_ends_the_wait(self, receiver):
        receiver.on("/hook", stall())
        cancelled = threading.Event()

        def check() -> None:
            if cancelled.is_set():
                raise Cancelled

        def cancel_when_it_waits() -> None:
            receiver.wait_for_callbacks(1)
            cancelled.set()

        threading.Thread(target=cancel_when_it_waits, daemon=True).start()
        with pytest.raises(Cancelled):
            post(receiver, timeout_s=3600, check=check)


class TestAddresses:
    @pytest.mark.parametrize(
        ("url", "code"),
        [
            ("http://169.254.169.254/hook", ErrorCode.ADDRESS_BLOCKED),
            ("http://inside.test/hook", ErrorCode.ADDRESS_BLOCKED),
            ("http://user:pw@example.com/hook", ErrorCode.ADDRESS_INVALID),
            ("not an address", ErrorCode.ADDRESS_INVALID),
        ],
    )
    def test_what_is_refused_is_refused(self, url, code):
        network = OutboundNetwork(AddressPolicy(frozenset({80})), lambda host, port: ["10.0.0.1"])
        result = deliver(url, BODY, ID, [], network, go_on, 30)
        assert isinstance(result, Refused)
        assert result.error.code == code

    def test_a_receiver_inside_sees_no_connection(self, receiver):
        network = OutboundNetwork(AddressPolicy(frozenset({receiver.port})), lambda host, port: ["127.0.0.1"])
        result = deliver(f"http://song.test:{receiver.port}/hook", BODY, ID, [], network, go_on, 30)
        assert isinstance(result, Refused)
        assert receiver.connections == 0


@pytest.mark.parametrize(
    ("delivery", "kind", "code"),
    [
        (Gone(), PermanentError, ErrorCode.CALLBACK_GONE),
        (Rejected(503, "HTTP status 503", 5.0), TransientError, ErrorCode.CALLBACK_FAILED),
        (Unreachable("no answer"), TransientError, ErrorCode.CALLBACK_FAILED),
    ],
)
def test_what_a_delivery_means_for_the_job(delivery, kind, code):
    error = as_error(delivery)
    assert isinstance(error, kind)
    assert error.code == code
    assert as_error(Delivered(200)) is None


def test_a_rejection_hands_on_when_to_try_again():
    error = as_error(Rejected(503, "HTTP status 503", 5.0))
    assert isinstance(error, TransientError)
    assert error.retry_after_s == 5.0


class TestSecrets:
    def test_one_or_more_are_taken(self):
        assert check_secret(SECRET) == (SECRET,)
        assert check_secret(f"{NEXT_SECRET} {SECRET}") == (NEXT_SECRET, SECRET)
        assert check_secret(SECRET.rstrip("=")) == (SECRET.rstrip("="),)

    @pytest.mark.parametrize(
        "text",
        [
            "",
            " ",
            "whsec_",
            "s3cret",
            SECRET.removeprefix("whsec_"),
            "whsec_" + base64.b64encode(b"too short").decode(),
            "whsec_" + base64.b64encode(b"x" * 65).decode(),
            "whsec_" + "!" * 40,
            "whsec_" + "ä" * 40,
            SECRET + " s3cret",
            SECRET[:20] + "\n" + SECRET[20:],
        ],
    )
    def test_anything_else_is_refused_with_what_is_expected_and_without_the_secret(self, text):
        with pytest.raises(ValueError, match="WEBHOOK_SECRET: expected whsec_") as caught:
            check_secret(text)
        assert "s3cret" not in str(caught.value)


def test_the_timestamp_is_the_time_of_this_try(receiver):
    before = int(time.time())
    post(receiver, secrets=[SECRET])
    assert before <= int(receiver.requests()[0].headers["webhook-timestamp"]) <= time.time()

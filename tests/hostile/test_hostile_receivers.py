"""Receivers of callbacks that redirect, refuse, flood, drip or never answer; and signatures to the letter."""

import base64
import hashlib
import hmac
import time

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from common.errors import PermanentError
from common.jobs.retry import RetryPolicy, RetrySchedule
from common.outbound.addresses import AddressPolicy
from common.outbound.guarded_session import OutboundNetwork
from tests.support.common.worker.fakes import record
from tests.support.http_server import (
    Script,
    ScriptedServer,
    drip,
    drip_headers,
    raw,
    redirect,
    reset,
    serve,
    stall,
)
from tests.support.processor.downloads import go_on
from tests.support.processor.hostile_downloads import CHUNKED, dripped, endless
from tests.support.sockets import Internet, connections
from uploader.webhook import Delivered, Delivery, Gone, Rejected, TimedOut, Unreachable, as_error, deliver

pytestmark = pytest.mark.network

PUBLIC = "93.184.216.34"
BODY = b'{"test": 2432232314}'
DELAYS_S = [30, 300, 3600]


@pytest.fixture
def server():
    with ScriptedServer() as server:
        yield server


@pytest.fixture
def post(server):
    web = Internet({"public.test": [[PUBLIC]]}, {PUBLIC: server.port})
    network = OutboundNetwork(AddressPolicy(frozenset({80})), web.resolve, connect=web.connect)

    def post(
        script: Script, secrets=(), timeout_s: float = 60.0, now_s: float = 100.0, id_="msg"
    ) -> Delivery:
        server.on("/hook", script)
        url = "http://public.test/hook"
        return deliver(url, BODY, id_, secrets, network, go_on, timeout_s, wall_clock=lambda: now_s)

    return post


def next_delay_s(answer: Delivery) -> int | None:
    """How long until the next try; None where there is none."""
    error = as_error(answer)
    if error is None or isinstance(error, PermanentError):
        return None
    schedule = RetrySchedule("callback", 26)
    next_try = RetryPolicy("results", DELAYS_S).next_try(record(1), error, schedule, 0.0)
    return None if next_try is None else int(next_try.at)


RETRIED = [
    (serve(b"", 300), 30),
    (redirect("http://127.0.0.1/"), 30),
    (redirect("/hook", 307), 30),
    (serve(b"", 304), 30),
    (serve(b"", 400), 30),
    (serve(b"", 401, headers=[("WWW-Authenticate", "Basic")]), 30),
    (serve(b"", 404), 30),
    (serve(b"", 407), 30),
    (serve(b"", 429), 30),
    (serve(b"", 429, headers=[("Retry-After", "31")]), 300),
    (serve(b"", 429, headers=[("Retry-After", "999999999")]), 3600),
    (serve(b"", 429, headers=[("Retry-After", "-1")]), 30),
    (serve(b"", 429, headers=[("Retry-After", "Thu, 01 Jan 1970 00:05:00 GMT")]), 300),
    (serve(b"", 500), 30),
    (serve(b"", 502), 30),
    (serve(b"", 503, headers=[("Retry-After", "301")]), 3600),
    (serve(b"", 504), 30),
    (serve(b"", 999), 30),
    (raw(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n"), 30),
    (raw(b""), 30),
    (raw(b"SSH-2.0-OpenSSH_9.6\r\n"), 30),
    (raw(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000 + b"\r\n\r\n"), 30),
    (endless(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n" * 1000), 30),
    (reset(), 30),
]


@pytest.mark.parametrize(("script", "delay_s"), RETRIED, ids=range(len(RETRIED)))
def test_what_is_not_taken_is_sent_again_later(server, post, script, delay_s):
    with connections() as tried:
        answer = post(script)
    assert isinstance(answer, Rejected | Unreachable)
    assert next_delay_s(answer) == delay_s
    assert tried == [("127.0.0.1", server.port)], (
        "a redirect is not followed, and nothing is sent twice at once"
    )


TAKEN = [
    serve(b"", 200),
    serve(b"", 299),
    serve(b"x" * 10_000_000),
    serve(b"x", declared_bytes=1 << 40),
    serve(b"\x1f\x8b" + bytes(1000), headers=[("Content-Encoding", "gzip")]),
    endless(b"HTTP/1.1 200 OK\r\n\r\n"),
    endless(CHUNKED + b"f" * 32 + b"\r\n"),
    endless(CHUNKED, b"1\r\nx\r\n" * 1000),
    raw(CHUNKED + b"zz\r\n"),
    reset(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"),
]


@pytest.mark.parametrize("script", TAKEN, ids=range(len(TAKEN)))
def test_the_status_decides_whatever_follows(post, script):
    assert isinstance(post(script), Delivered)


@pytest.mark.parametrize("script", [drip(b"x" * 1000, seconds=600), dripped(CHUNKED, b"1\r\nx\r\n")])
def test_a_dripped_answer_counts_by_its_status_at_the_deadline(post, script):
    assert post(script, timeout_s=0.5) == Delivered(200)


@pytest.mark.parametrize(
    "script",
    [
        stall(),
        stall(b"HTTP/1.1 200 OK\r\n"),
        drip_headers(0.05),
        dripped(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"),
        dripped(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    ],
    ids=["silence", "half a head", "a dripped header", "dripped headers", "interim answers"],
)
def test_a_receiver_that_never_answers_is_left_at_the_deadline(post, script):
    answer = post(script, timeout_s=0.5)
    assert answer == TimedOut("no answer within 0.5 seconds")
    assert next_delay_s(answer) == 30


def test_one_that_is_gone_is_never_asked_again(post):
    answer = post(serve(b"", 410, headers=[("Retry-After", "1")]))
    assert (answer, next_delay_s(answer)) == (Gone(), None)


class TestSignatures:
    """The example of the Standard Webhooks specification, and what surrounds it."""

    SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    OTHER = "whsec_" + base64.b64encode(b"another secret of 30 bytes....").decode()
    ID = "msg_p5jXN8AQM9LWM0D4loKWxJek"
    NOW_S = 1_614_265_330.7
    EXPECTED = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="

    def headers(self, server: ScriptedServer, post, *secrets: str, now_s: float = NOW_S) -> dict[str, str]:
        assert post(serve(b"", 204), secrets, now_s=now_s, id_=self.ID) == Delivered(204)
        assert server.requests()[-1].body == BODY
        return server.requests()[-1].headers

    def test_the_example_of_the_specification(self, server, post):
        headers = self.headers(server, post, self.SECRET)
        assert headers["webhook-id"] == self.ID
        assert headers["webhook-timestamp"] == "1614265330"
        assert headers["webhook-signature"] == self.EXPECTED

    def test_while_secrets_rotate_both_sign_the_same(self, server, post):
        headers = self.headers(server, post, self.OTHER, self.SECRET)
        new, old = headers["webhook-signature"].split(" ")
        assert old == self.EXPECTED
        signed = f"{self.ID}.1614265330.".encode() + BODY
        key = base64.b64decode(self.OTHER.removeprefix("whsec_"))
        assert new == "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()

    def test_once_rotated_the_old_one_signs_no_more(self, server, post):
        headers = self.headers(server, post, self.OTHER, now_s=time.time())
        Webhook(self.OTHER).verify(BODY, headers)
        with pytest.raises(WebhookVerificationError):
            Webhook(self.SECRET).verify(BODY, headers)

    @pytest.mark.parametrize("change", ["body", "webhook-id", "webhook-timestamp"])
    def test_nothing_that_is_signed_can_be_changed(self, server, post, change):
        headers = dict(self.headers(server, post, self.SECRET, now_s=time.time()))
        body = BODY
        if change == "body":
            body = BODY.replace(b"2", b"3", 1)
        else:
            headers[change] = headers[change][:-1] + ("1" if headers[change][-1] != "1" else "2")
        with pytest.raises(WebhookVerificationError):
            Webhook(self.SECRET).verify(body, headers)

    def test_the_secret_itself_is_never_sent(self, server, post):
        headers = self.headers(server, post, self.SECRET, self.OTHER)
        for secret in (self.SECRET, self.OTHER):
            assert secret.removeprefix("whsec_") not in str(headers)

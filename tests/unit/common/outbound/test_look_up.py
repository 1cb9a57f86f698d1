"""Refused names look all alike to the user, and the log tells them apart."""

import json
import logging
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace

import pytest

from common.errors import ErrorCode, JobError, PermanentError, UnlikelyError
from common.outbound.addresses import AddressPolicy, Origin
from common.outbound.guarded_session import OutboundNetwork
from common.outbound.look_up import public_addresses
from common.waiting import DeadlineExceeded, deadline_check
from processor.audio.download import download
from processor.audio.transfer import DownloadLimits
from tests.support.http_server import ScriptedServer, redirect
from tests.support.paths import REPOSITORY
from tests.support.sockets import connections
from uploader.webhook import Refused, as_error, deliver

pytestmark = pytest.mark.network

POLICY = AddressPolicy(frozenset({80, 443}))
NAME = Origin("http", "inside.test", 80)
PUBLIC = "93.184.216.34"


def go_on() -> None:
    """No job is cancelled here."""


NOT_THERE = [
    socket.gaierror(socket.EAI_NONAME, "Name or service not known"),
    socket.gaierror(socket.EAI_NODATA, "No address associated with hostname"),
    socket.gaierror(socket.EAI_ADDRFAMILY, "Address family for hostname not supported"),
    UnicodeError("label too long"),
    [],
]
NOT_PUBLIC = [["10.0.0.1"], ["127.0.0.1"], ["169.254.169.254"], ["::1"], [PUBLIC, "192.168.0.1"], ["fd00::1"]]
REFUSED = [*NOT_THERE, *NOT_PUBLIC]


def resolver(answer):
    def resolve(host: str, port: int) -> Sequence[str]:
        if isinstance(answer, Exception):
            raise answer
        return answer

    return resolve


def network(answer) -> OutboundNetwork:
    return OutboundNetwork(POLICY, resolver(answer), refusal_step_s=0)


def downloaded(answer, tmp_path) -> JobError:
    limits = DownloadLimits(max_bytes=1000, deadline_s=30)
    with connections() as tried, pytest.raises(JobError) as caught:
        download("http://inside.test/song.wav", tmp_path, limits, network(answer), go_on)
    assert tried == []
    return caught.value


def called(answer) -> JobError:
    with connections() as tried:
        sent = deliver("http://inside.test/hook", b"{}", "id", (), network(answer), go_on, 30)
    assert isinstance(sent, Refused)
    assert tried == []
    return as_error(sent)


@pytest.mark.parametrize("answer", REFUSED, ids=str)
def test_a_user_is_told_the_same_of_each(tmp_path, answer):
    for error in (downloaded(answer, tmp_path), called(answer)):
        assert type(error) is UnlikelyError
        assert error.code == ErrorCode.ADDRESS_BLOCKED
        assert error.message == (
            "The address is blocked: the name inside.test does not exist, or is not at a public address. "
            "The operator can allow an origin in TRUSTED_URL_PREFIXES"
        )


@pytest.mark.parametrize("answer", REFUSED, ids=str)
def test_the_same_of_each_after_a_redirect(tmp_path, answer):
    with ScriptedServer() as server:
        url = server.on("/go", redirect("http://inside.test/song.wav"))
        trusted = replace(POLICY, trusted=frozenset({Origin("http", "127.0.0.1", server.port)}))
        both = resolver(answer)
        guarded = OutboundNetwork(
            trusted, lambda host, port: [host] if host == "127.0.0.1" else both(host, port), refusal_step_s=0
        )
        with pytest.raises(UnlikelyError, match=r"the name inside\.test does not"):
            download(url, tmp_path, DownloadLimits(max_bytes=1000, deadline_s=30), guarded, go_on)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (["10.0.0.1"], "10.0.0.1 is not public"),
        (NOT_THERE[0], "Name or service not known"),
        ([], "the name inside.test has no address"),
    ],
)
def test_our_log_has_the_reason(tmp_path, caplog, answer, reason):
    caplog.set_level(logging.INFO)
    error = downloaded(answer, tmp_path)
    assert f"inside.test is refused: {reason}" in [record.getMessage() for record in caplog.records]
    assert reason not in error.message


@pytest.mark.parametrize("answer", [["10.0.0.1"], NOT_THERE[0]], ids=str)
def test_neither_is_told_sooner_than_the_other(answer):
    began_s = time.monotonic()
    with pytest.raises(UnlikelyError):
        public_addresses(resolver(answer), NAME, 30, go_on, step_s=0.2)
    assert time.monotonic() - began_s >= 0.2


def test_a_job_that_ends_meanwhile_does_not_wait():
    def cancelled() -> None:
        raise DeadlineExceeded

    with pytest.raises(DeadlineExceeded):
        public_addresses(resolver(["10.0.0.1"]), NAME, 30, cancelled, step_s=3600)


@pytest.mark.parametrize("code", [socket.EAI_AGAIN, socket.EAI_FAIL, socket.EAI_SYSTEM])
def test_a_resolver_that_is_away_says_nothing_of_the_name(tmp_path, code):
    error = downloaded(socket.gaierror(code, "not now"), tmp_path)
    assert type(error) is not UnlikelyError
    assert (error.code, error.message) == (ErrorCode.NETWORK_ERROR, "Network error: not now")


def test_the_system_s_resolver_tells_a_name_that_is_not_there_from_a_name_server_that_is_not():
    ran = subprocess.run(
        [sys.executable, "-m", "tests.support.common.outbound.name_servers"],
        stdout=subprocess.PIPE,
        check=True,
        cwd=REPOSITORY,
    )
    errors = {name: error.replace(f"{name}.test", "NAME") for name, error in json.loads(ran.stdout).items()}
    refused = (
        "UnlikelyError The address is blocked: the name NAME does not exist, or is not at a public address. "
        "The operator can allow an origin in TRUSTED_URL_PREFIXES"
    )
    away = "TransientError Network error: Temporary failure in name resolution"
    assert errors == {
        "no-such-name": refused,
        "no-address": refused,
        "private": refused,
        "failure": away,
        "refused": away,
        "silence": away,
    }


@pytest.mark.parametrize("host", ["10.0.0.1", "::1", "fd00::1"])
def test_an_address_that_a_user_gives_as_such_is_refused_for_good(host):
    with pytest.raises(PermanentError) as caught:
        public_addresses(resolver([host]), Origin("http", host, 80), 30, go_on)
    assert caught.value.code == ErrorCode.ADDRESS_BLOCKED


def test_public_answers_are_passed_on_in_their_order():
    answers = ["2606:4700::1111", PUBLIC]
    assert public_addresses(resolver(answers), NAME, 30, deadline_check(30, go_on)) == answers

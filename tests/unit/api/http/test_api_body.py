"""A body that comes too slowly or ends early ends its request, not the service."""

import asyncio

import pytest
from fastapi import Request

from api.http.body import WHOLE_BODY, read_body
from api.problems import ProblemError


def read(messages, deadline_s=20.0):
    async def receive():
        if messages:
            return messages.pop(0)
        await asyncio.Event().wait()

    request = Request({"type": "http", "headers": []}, receive)
    return asyncio.run(read_body(request, 100, deadline_s))


def part(body, more=True):
    return {"type": "http.request", "body": body, "more_body": more}


def test_parts_are_joined():
    assert read([part(b"ab"), part(b""), part(b"c", more=False)]) == b"abc"


def test_a_body_that_stalls_is_408():
    with pytest.raises(ProblemError) as caught:
        read([part(b"ab")], deadline_s=0.05)
    assert caught.value.status == 408


def test_a_client_that_goes_away_is_no_unexpected_error():
    with pytest.raises(ProblemError) as caught:
        read([part(b"ab"), {"type": "http.disconnect"}])
    assert caught.value.status == 400


def read_whole(body):
    async def receive():
        return part(b"received", more=False)

    request = Request({"type": "http", "headers": [], WHOLE_BODY: lambda: body}, receive)
    return asyncio.run(read_body(request, 100))


def test_a_body_that_has_come_whole_is_taken_without_waiting():
    assert read_whole(b"") == b""
    assert read_whole(b"whole") == b"whole"


def test_the_limit_holds_for_it_too():
    with pytest.raises(ProblemError) as caught:
        read_whole(b"x" * 101)
    assert caught.value.status == 413


def test_a_body_of_which_more_is_to_come_is_received():
    assert read_whole(None) == b"received"

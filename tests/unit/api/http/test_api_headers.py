"""Headers that all layers of a request share: found as Starlette finds them."""

import pytest
from starlette.datastructures import Headers

from api.http.headers import IndexedHeaders, headers_of

RAW = [
    (b"host", b"a.example"),
    (b"prefer", b"wait=1"),
    (b"x-text", b"caf\xe9"),
    (b"prefer", b"respond-async"),
]


@pytest.mark.parametrize("name", ["host", "Host", "PREFER", "X-Text", "absent", "Ünknown"])
def test_a_header_is_found_as_in_any_other_request(name):
    ours, theirs = IndexedHeaders({"headers": RAW}), Headers(raw=RAW)
    assert ours.get(name) == theirs.get(name)
    assert ours.get(name, "default") == theirs.get(name, "default")
    assert ours.getlist(name) == theirs.getlist(name)
    assert (name in ours) == (name in theirs)


def test_a_header_that_is_absent_is_a_key_error():
    with pytest.raises(KeyError):
        IndexedHeaders({"headers": RAW})["absent"]


def test_a_copy_of_the_scope_shares_the_headers():
    scope = {"headers": RAW}
    assert headers_of(scope) is headers_of({**scope, "method": "GET"})
    assert headers_of(scope) == Headers(raw=RAW)

"""Request lines and redirects keep the bytes of the given address."""

import pytest

from common.errors import ErrorCode, PermanentError
from common.outbound.addresses import AddressPolicy, validate_text
from common.outbound.request_target import redirect_url, request_target
from tests.support.common.outbound.raw_targets import AS_GIVEN


@pytest.mark.parametrize("target", AS_GIVEN)
def test_what_is_visible_ascii_stays_as_it_was_given(target):
    url = f"http://public.test{target}"
    validate_text(url, AddressPolicy(frozenset({80})))
    assert request_target(url) == target


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ("http://h", "/"),
        ("http://h?a=1", "/?a=1"),
        ("http://h?", "/?"),
        ("http://h#f", "/"),
        ("http://h/x#f", "/x"),
        ("http://h/x?a#f?b#c", "/x?a"),
        ("http://h/x#?", "/x"),
        ("http://h/my song.wav?a b", "/my%20song.wav?a%20b"),
        ("http://h/pièce?q=é", "/pi%C3%A8ce?q=%C3%A9"),
        ("http://h/песня", "/%D0%BF%D0%B5%D1%81%D0%BD%D1%8F"),
        ("http://h/\N{MUSICAL SYMBOL G CLEF}", "/%F0%9D%84%9E"),
        ("http://h/a\u00a0b\u202ec", "/a%C2%A0b%E2%80%AEc"),
        ("http://h/é%c3%a9", "/%C3%A9%c3%a9"),
        ("HTTPS://[2606:4700::1111]:8443/x?y", "/x?y"),
    ],
)
def test_what_a_request_line_cannot_hold_is_escaped_and_the_fragment_is_left_out(given, sent):
    assert request_target(given) == sent


def test_no_character_ends_the_request_line():
    for number in [*range(0x20), 0x7F, 0x85, 0xA0, 0x1680, 0x2028, 0x2029, 0x3000, 0xFEFF]:
        target = request_target(f"http://h/a{chr(number)}b?{chr(number)}")
        assert target.isascii()
        assert target.isprintable()
        assert " " not in target


BASE = "http://public.test/a/go?token=1#x"


@pytest.mark.parametrize(
    ("location", "leads_to"),
    [
        ("https://other.test/%7e/../[1]?", "https://other.test/%7e/../[1]?"),
        ("HTTP://Other.Test:8080", "HTTP://Other.Test:8080"),
        ("//other.test/x/../y?", "http://other.test/x/../y?"),
        ("/%7ex/../y%2f?", "http://public.test/%7ex/../y%2f?"),
        ("//", "http://"),
        ("/", "http://public.test/"),
        ("?", "http://public.test/a/go?"),
        ("?sig=%2b", "http://public.test/a/go?sig=%2b"),
        ("#y", "http://public.test/a/go?token=1#y"),
        ("song.wav?", "http://public.test/a/song.wav?"),
        ("./%7e/./b", "http://public.test/a/%7e/b"),
        ("../song.wav", "http://public.test/song.wav"),
        ("../../../song.wav", "http://public.test/song.wav"),
        ("b//c/..", "http://public.test/a/b//"),
        (".", "http://public.test/a/"),
        ("..", "http://public.test/"),
        ("b?x=../..#../..", "http://public.test/a/b?x=../..#../.."),
        ("a b", "http://public.test/a/a b"),
        ("ftp://other.test/", "ftp://other.test/"),
        ("http:song.wav", "http:song.wav"),
    ],
)
def test_a_redirect_leads_where_it_says(location, leads_to):
    assert redirect_url(BASE, location) == leads_to


@pytest.mark.parametrize("base", ["http://public.test", "http://public.test?a", "http://public.test#a"])
def test_a_relative_one_starts_at_the_root_where_there_is_no_path(base):
    assert redirect_url(base, "song.wav") == "http://public.test/song.wav"


@pytest.mark.parametrize(
    ("raw", "leads_to"),
    [
        ("/pièce".encode(), "http://public.test/pièce"),
        (b"/pi\xe8ce", "http://public.test/pi%E8ce"),
        (b"/\xff%ff", "http://public.test/%FF%ff"),
    ],
)
def test_bytes_that_are_no_utf8_are_asked_for_as_they_are(raw, leads_to):
    assert redirect_url(BASE, raw.decode("latin-1")) == leads_to


@pytest.mark.parametrize(
    "location", ["/a\tb", "/a\x0bb", " /a", "/a\x7f", "/\u2028".encode().decode("latin-1")]
)
def test_one_with_control_characters_is_refused(location):
    with pytest.raises(PermanentError) as caught:
        redirect_url(BASE, location)
    assert caught.value.code == ErrorCode.ADDRESS_INVALID

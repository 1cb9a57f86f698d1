"""Addresses from users are judged by their text, and by the IP addresses behind it."""

import subprocess
import sys
from dataclasses import dataclass

import pytest

from common.errors import ErrorCode, PermanentError
from common.outbound.addresses import AddressPolicy, Origin, parse_origin, validate_text
from common.outbound.ip_addresses import check_public, is_public


@dataclass(frozen=True)
class Settings:
    allowed_url_ports: tuple[int, ...] = (80, 443, 8080, 8443)
    trusted_url_prefixes: tuple[str, ...] = ()


POLICY = AddressPolicy.from_settings(Settings())

INVALID = [
    "",
    " ",
    "song.wav",
    "/etc/passwd",
    "//example.com/a.wav",
    "ftp://example.com/a.wav",
    "file:///etc/passwd",
    "gopher://example.com/",
    "javascript:alert(1)",
    "data:audio/wav;base64,AAAA",
    "http:example.com",
    "http:///a.wav",
    "http://",
    "https://:443/",
    "http://?a",
    "http://user@example.com/",
    "http://user:password@example.com/",
    "http://@example.com/",
    "http://:@example.com/",
    "http://example.com\\@127.0.0.1/",
    "http://127.0.0.1\\@example.com/",
    "http://example.com/a\\b",
    "http://example.com/\r\nHost: evil",
    "http://example.com/\n",
    "http://exam\tple.com/",
    "\x00http://example.com/",
    "http://example.com/\x7f",
    "http://example.com/\u2028",
    "http://example.com/\ud800",
    " http://example.com/",
    "http://example.com/ ",
    "http://exa mple.com/",
    "http://example.com:0/",
    "http://example.com:99999/",
    "http://example.com:-1/",
    "http://example.com:http/",
    "http://[fe80::1%25eth0]/",
    "http://[fe80::1%eth0]/",
    "http://[::1/",
    "http://[not-v6]/",
    "http://[127.0.0.1]/",
    "http://1.2.3.4.5/",
    "http://256.256.256.256/",
    "http://0x1ffffffff/",
    "http://08.8.8.8/",
    "http://example..com/",
    "http://.example.com/",
    "http://-example.com/",
    "http://exam%70le.com/",
    "http://ex*mple.com/",
    "http://" + "a" * 64 + ".com/",
    "http://" + "a.b" * 100 + "/",
    "http://example.com/" + "a" * 4096,
]

BLOCKED = [
    "http://localhost/",
    "http://LOCALHOST./",
    "http://a.localhost/",
    "http://127.0.0.1/",
    "http://127.0.0.1./",
    "http://127.1/",
    "http://127.255.255.254/",
    "http://0/",
    "http://0.0.0.0/",
    "http://2130706433/",
    "http://017700000001/",
    "http://0177.0.0.1/",
    "http://0x7f000001/",
    "http://0x7f.0.0.1/",
    "http://0X7F.1/",
    "http://１２７.0.0.1/",
    "http://127。0。0。1/",
    "http://①②⑦.0.0.1/",
    "http://10.0.0.1/",
    "http://172.16.0.1/",
    "http://172.31.255.255/",
    "http://192.168.0.1/",
    "http://169.254.169.254/latest/meta-data/",
    "http://2852039166/",
    "http://168.63.129.16/",
    "http://100.64.0.1/",
    "http://100.100.100.200/",
    "http://192.0.0.192/",
    "http://192.0.2.1/",
    "http://198.18.0.1/",
    "http://198.51.100.1/",
    "http://203.0.113.1/",
    "http://192.88.99.1/",
    "http://224.0.0.1/",
    "http://239.255.255.255/",
    "http://240.0.0.1/",
    "http://255.255.255.255/",
    "http://[::]/",
    "http://[::1]/",
    "http://[::7f00:1]/",
    "http://[::808:808]/",
    "http://[::ffff:127.0.0.1]/",
    "http://[::ffff:7f00:1]/",
    "http://[::ffff:8.8.8.8]/",
    "http://[64:ff9b::7f00:1]/",
    "http://[64:ff9b::8.8.8.8]/",
    "http://[64:ff9b:1::1]/",
    "http://[2002:7f00:1::]/",
    "http://[2002:808:808::1]/",
    "http://[2001:0:4136:e378:8000:63bf:3fff:fdd2]/",
    "http://[2001:10::1]/",
    "http://[2001:20::1]/",
    "http://[2001:2::1]/",
    "http://[2001:db8::1]/",
    "http://[3fff::1]/",
    "http://[100::1]/",
    "http://[5f00::1]/",
    "http://[fc00::1]/",
    "http://[fd00:ec2::254]/",
    "http://[fe80::1]/",
    "http://[fec0::1]/",
    "http://[ff02::1]/",
    "http://[4000::1]/",
    "http://example.com:22/",
    "http://example.com:9092/",
    "https://8.8.8.8:25/",
]

ALLOWED = [
    "http://example.com",
    "https://example.com/a.wav",
    "HTTPS://EXAMPLE.COM/A.WAV",
    "http://example.com:8080/a.wav?x=1#y",
    "http://example.com:/a.wav",
    "http://example.com./a.wav",
    "https://example.com:8443/",
    "http://bücher.example/ä.wav",
    "http://xn--bcher-kva.example/",
    "https://example.com/my song (1).wav",
    "https://example.com/песня.mp3",
    "http://my_bucket.example.com/",
    "https://example.com/?next=http://user:pw@10.0.0.1/",
    "https://example.com/@user/a.wav",
    "http://8.8.8.8/",
    "http://134744072/",
    "http://[2001:4860:4860::8888]/",
    "http://127.0.0.1.example.com/",
    "http://1password.com/",
    "http://localhost.example.com/",
]


@pytest.mark.parametrize("url", INVALID)
def test_what_is_no_address_of_ours_is_invalid(url):
    with pytest.raises(PermanentError) as caught:
        validate_text(url, POLICY)
    assert caught.value.code == ErrorCode.ADDRESS_INVALID


@pytest.mark.parametrize("url", BLOCKED)
def test_what_leads_inside_is_blocked_and_the_setting_is_named(url):
    with pytest.raises(PermanentError, match="TRUSTED_URL_PREFIXES") as caught:
        validate_text(url, POLICY)
    assert caught.value.code == ErrorCode.ADDRESS_BLOCKED


@pytest.mark.parametrize("url", ALLOWED)
def test_ordinary_addresses_pass(url):
    validate_text(url, POLICY)


@pytest.mark.parametrize(
    "url",
    ["http://user:s3cret@example.com/", "http://example.com:22/?token=s3cret", "http://10.0.0.1/?k=s3cret"],
)
def test_errors_do_not_repeat_what_may_be_secret(url):
    with pytest.raises(PermanentError) as caught:
        validate_text(url, POLICY)
    assert "s3cret" not in str(caught.value)


class TestTrustedOrigins:
    policy = AddressPolicy.from_settings(
        Settings(trusted_url_prefixes=("http://127.0.0.1:9000", "http://store.internal", "http://[::1]:81"))
    )

    @pytest.mark.parametrize(
        "url",
        [
            "http://127.0.0.1:9000",
            "http://127.0.0.1:9000/a.wav?x",
            "http://store.internal/a",
            "http://STORE.internal:80/a",
            "http://[0:0::1]:81/",
        ],
    )
    def test_they_skip_the_rules_on_ports_and_addresses(self, url):
        validate_text(url, self.policy)

    @pytest.mark.parametrize(
        "url",
        [
            "http://127.0.0.1:9001/",
            "http://127.0.0.1/",
            "https://127.0.0.1:9000/",
            "http://127.0.0.2:9000/",
            "http://localhost:9000/",
            "http://127.0.0.1.example.com:9000/",
            "http://[::1]:82/",
        ],
    )
    def test_nothing_beside_them_is_opened(self, url):
        with pytest.raises(PermanentError) as caught:
            validate_text(url, self.policy)
        assert caught.value.code == ErrorCode.ADDRESS_BLOCKED

    @pytest.mark.parametrize("url", ["http://127.0.0.1:9000@10.0.0.1/", "http://u@127.0.0.1:9000/"])
    def test_they_do_not_excuse_a_wrong_text(self, url):
        with pytest.raises(PermanentError) as caught:
            validate_text(url, self.policy)
        assert caught.value.code == ErrorCode.ADDRESS_INVALID

    def test_a_prefix_that_is_no_origin_is_refused_at_start(self):
        with pytest.raises(ValueError, match="TRUSTED_URL_PREFIXES"):
            AddressPolicy.from_settings(Settings(trusted_url_prefixes=("http://host:99999",)))


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://Example.COM", Origin("http", "example.com", 80)),
        ("https://bücher.example./x", Origin("https", "xn--bcher-kva.example", 443)),
        ("http://[2001:DB8:0::1]:8080/", Origin("http", "2001:db8::1", 8080)),
    ],
)
def test_origins_have_one_form(url, expected):
    assert parse_origin(url) == expected


@pytest.mark.parametrize(
    "address", ["1.1.1.1", "100.63.255.255", "172.32.0.1", "2606:4700::1111", "2001:200::1"]
)
def test_public_addresses_are_public(address):
    assert is_public(address)


def test_one_private_answer_among_public_ones_is_enough():
    with pytest.raises(PermanentError) as caught:
        check_public(["1.1.1.1", "10.0.0.7"], "example.com")
    assert caught.value.code == ErrorCode.ADDRESS_BLOCKED
    assert "10.0.0.7" not in str(caught.value), "what our name servers answered is not the user's business"


def test_the_rules_need_nothing_but_the_standard_library():
    code = (
        "import sys, common.outbound.addresses;"
        "print(*{n.partition('.')[0] for n in sys.modules} - set(sys.stdlib_module_names))"
    )
    loaded = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True, check=True)
    assert set(loaded.stdout.split()) <= {"common", "__main__"}

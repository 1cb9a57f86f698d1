"""The second signature, by Ed25519: as the standard has it, beside the others, by several keys at once."""

import base64

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from standardwebhooks import Webhook

from common.outbound.addresses import AddressPolicy, parse_origin
from common.outbound.guarded_session import OutboundNetwork
from common.waiting import go_on
from tests.support.api.api_client import ApiClient
from tests.support.http_server import CallbackReceiver, Request
from uploader import signing_key
from uploader.webhook import deliver

pytestmark = pytest.mark.network

SECRET = "whsec_" + base64.b64encode(b"an octet string of 32 bytes len.").decode()
KEY, NEXT = (signing_key.make() for _ in range(2))


def received(*secrets: str) -> Request:
    with CallbackReceiver() as receiver:
        policy = AddressPolicy(frozenset({80}), frozenset({parse_origin(receiver.origin)}))
        deliver(
            receiver.hook_url, b'{"a": "\xc3\xbc"}', "id.1", secrets, OutboundNetwork(policy), go_on, 30.0
        )
        return receiver.wait_for_callbacks(1)[0]


def verify(request: Request, public_key: str) -> None:
    """As a receiver does it that knows the standard alone. Raises InvalidSignature."""
    key = Ed25519PublicKey.from_public_bytes(base64.b64decode(public_key.removeprefix("whpk_")))
    signed = (
        f"{request.headers['webhook-id']}.{request.headers['webhook-timestamp']}.".encode() + request.body
    )
    signatures = [one.split(",") for one in request.headers["webhook-signature"].split(" ")]
    for version, signature in signatures:
        if version == "v1a":
            try:
                key.verify(base64.b64decode(signature), signed)
            except InvalidSignature:
                continue
            return
    raise InvalidSignature


def test_a_receiver_verifies_by_the_public_key_alone_and_others_by_the_secret_as_before():
    request = received(SECRET, KEY)
    verify(request, signing_key.public_key_of(KEY))
    Webhook(SECRET).verify(request.body, request.headers)
    with pytest.raises(InvalidSignature):
        verify(request, signing_key.public_key_of(NEXT))


def test_while_a_key_is_replaced_each_of_both_verifies():
    request = received(KEY, NEXT)
    for key in (KEY, NEXT):
        verify(request, signing_key.public_key_of(key))


def test_a_private_key_is_the_seed_of_rfc_8032():
    seed = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
    public = bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")
    key = "whsk_" + base64.b64encode(seed).decode()
    assert signing_key.public_key_of(key) == "whpk_" + base64.b64encode(public).decode()


@pytest.mark.parametrize(
    "text",
    ["", "whsk_", "whsk_AAAA", SECRET, KEY.removeprefix("whsk_"), f"{KEY} nothing"],
    # The key is another one in each process of tests, which must all have the same names.
    ids=["empty", "prefix", "short", "symmetric", "without-prefix", "two"],
)
def test_what_is_no_key_is_refused_and_not_shown(text):
    with pytest.raises(ValueError, match="WEBHOOK_SIGNING_KEY: expected whsk_") as caught:
        signing_key.check_signing_keys(text)
    assert KEY not in str(caught.value)


def test_the_api_publishes_the_public_keys_that_were_printed_with_the_private_ones(capsys):
    signing_key.print_new_key()
    private, public = (line.partition("=")[2] for line in capsys.readouterr().out.splitlines())
    assert signing_key.check_signing_keys(private) == (private,)
    assert signing_key.public_key_of(private) == public
    answer = ApiClient(webhook_public_keys=(public,)).request("GET", "/.well-known/uvr-webhook-keys")
    assert (answer.status, answer.json()) == (200, {"keys": [public]})
    with pytest.raises(ValueError, match="whpk_"):
        ApiClient(webhook_public_keys=(private,))

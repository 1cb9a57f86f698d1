"""Fetches through the guarded session in tests."""

from collections.abc import Sequence

from common.outbound.addresses import AddressPolicy, parse_origin
from common.outbound.guarded_session import GuardedSession, OutboundNetwork, Resolver


def go_on() -> None:
    """No job is cancelled here."""


def trusting(*origins: str, **network) -> OutboundNetwork:
    """Makes a network that may reach these origins, and public hosts on ports 80 and 443."""
    return OutboundNetwork(
        AddressPolicy(frozenset({80, 443}), frozenset(map(parse_origin, origins))), **network
    )


def answering(*addresses: str) -> tuple[Resolver, list[str]]:
    """Returns a resolver, and the list of names that it was asked for."""
    asked: list[str] = []

    def resolve(host: str, port: int) -> Sequence[str]:
        asked.append(host)
        return addresses

    return resolve, asked


def fetch(url: str, network: OutboundNetwork, stop_check=go_on, timeout_s: float = 30.0) -> tuple[int, bytes]:
    """Returns the status and the body."""
    with GuardedSession(network, stop_check) as session, session.get_following(url, timeout_s) as response:
        return response.status_code, response.raw.read()

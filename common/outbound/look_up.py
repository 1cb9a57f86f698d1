"""Finds the IP addresses of a host, and refuses addresses that are not public, before any connection.

A user cannot tell a name that does not exist from a name that is not public: else the names of our own
network could be guessed one by one. Both have the same code, text and retries, and take about the same time.
The log has the reason.
"""

import logging
import socket
import threading
import time
from collections.abc import Callable, Sequence

from common.outbound.addresses import Origin
from common.outbound.ip_addresses import check_public, is_literal, is_public
from common.outbound.own_address import is_own
from common.outbound.refusals import own_address, unusable_name
from common.outbound.sockets import SLICE_S
from common.waiting import StopCheck

log = logging.getLogger(__name__)

# The name does not exist or has no address. A resolver that is away or fails says EAI_AGAIN or EAI_FAIL.
_NO_SUCH_NAME = frozenset({socket.EAI_NONAME, socket.EAI_NODATA, socket.EAI_ADDRFAMILY})

Resolver = Callable[[str, int], Sequence[str]]


def system_resolver(host: str, port: int) -> list[str]:
    """Returns the IP addresses of `host`, best first. Raises OSError and UnicodeError."""
    answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(answer[4][0]) for answer in answers))


def public_addresses(
    resolve: Resolver, origin: Origin, timeout_s: float, stop_check: StopCheck, step_s: float = SLICE_S
) -> Sequence[str]:
    """Returns the IP addresses of an origin that is not trusted, all of them public and none our own.

    Raises PermanentError for a host that is a forbidden IP address, UnlikelyError for a name with one, and
    the errors of `look_up`. A refusal of a name comes only after a whole number of `step_s`, so that its time
    does not tell the reason.
    """
    began_s = time.monotonic()
    try:
        addresses = look_up(resolve, origin, timeout_s, stop_check)
        if is_literal(origin.host):
            _check_literal(addresses, origin.host)
            return addresses
        refusal = _why_refused(addresses)
    except socket.gaierror as error:
        if error.errno not in _NO_SUCH_NAME:
            raise
        refusal = error.strerror or "no such name"
    if refusal is None:
        return addresses
    log.warning("%s is refused: %s", origin.host, refusal)
    _wait_for_step(began_s, step_s, stop_check)
    raise unusable_name(origin.host)


def _check_literal(addresses: Sequence[str], host: str) -> None:
    check_public(addresses, host)
    if any(map(is_own, addresses)):
        raise own_address(host)


def _why_refused(addresses: Sequence[str]) -> str | None:
    for address in addresses:
        if not is_public(address):
            return f"{address} is not public"
        if is_own(address):
            return f"{address} is this host's own"
    return None


def look_up(resolve: Resolver, origin: Origin, timeout_s: float, stop_check: StopCheck) -> Sequence[str]:
    """Waits for `resolve` in slices. Raises OSError, TimeoutError, and the errors of `stop_check`."""
    # The C library's look-up cannot be interrupted. A thread that is left behind ends by its own time-outs.
    answers: list[Sequence[str]] = []
    failures: list[OSError] = []
    finished = threading.Event()

    def work() -> None:
        try:
            answers.append(resolve(origin.host, origin.port))
        except (OSError, UnicodeError) as error:
            failures.append(error if isinstance(error, OSError) else _no_such_name(str(error)))
        finally:
            finished.set()

    threading.Thread(target=work, name="look-up", daemon=True).start()
    end_s = time.monotonic() + timeout_s
    while not finished.wait(SLICE_S):
        stop_check()
        if time.monotonic() >= end_s:
            raise TimeoutError(f"the name {origin.host} was not looked up in time")
    if not answers or not answers[0]:
        raise failures[0] if failures else _no_such_name(f"the name {origin.host} has no address")
    return answers[0]


def _no_such_name(why: str) -> socket.gaierror:
    return socket.gaierror(socket.EAI_NONAME, why)


def _wait_for_step(began_s: float, step_s: float, stop_check: StopCheck) -> None:
    stop_check()
    if step_s:
        time.sleep(-(time.monotonic() - began_s) % step_s)

"""Makes a host with public IP addresses in a network namespace, and tries to reach itself there.

    python -m tests.support.common.outbound.own_host

Prints a JSON object: for each way to name the host's own addresses the error, and whether a connection came.
"""

import ctypes
import fcntl
import json
import socket
import struct
import tempfile
from collections.abc import Callable
from pathlib import Path

from common.errors import JobError
from common.outbound.addresses import AddressPolicy, parse_origin
from common.outbound.guarded_session import OutboundNetwork
from processor.audio.download import download
from processor.audio.transfer import DownloadLimits
from tests.support.http_server import ScriptedServer, redirect
from tests.support.waiting import wait_for
from uploader.webhook import as_error, deliver

V4, V6, ELSEWHERE = "93.184.216.34", "2606:4700::1111", "1.1.1.1"
PORT, CLOSED_PORT, TRUSTED_PORT = 8080, 8443, 9000

_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _SIOCSIFADDR = 0x8913, 0x8914, 0x8916
_IFF_UP = 1


def enter_namespace() -> None:
    """Gives this process a network of its own: a loopback interface with the two public addresses on it."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNET) and libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "no network namespace can be made")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        name = struct.pack("16sh14x", b"lo", 0)
        (flags,) = struct.unpack_from("h", fcntl.ioctl(control, _SIOCGIFFLAGS, name), 16)
        fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", flags | _IFF_UP))
        address = struct.pack("HH4s8x", socket.AF_INET, 0, socket.inet_aton(V4))
        fcntl.ioctl(control, _SIOCSIFADDR, struct.pack("16s16s", b"lo:1", address))
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as control:
        address = socket.inet_pton(socket.AF_INET6, V6)
        index = socket.if_nametoindex("lo")
        fcntl.ioctl(control, _SIOCSIFADDR, struct.pack("16sIi", address, 128, index))


def listen(family: socket.AddressFamily, address: str) -> socket.socket:
    # The kernel takes a moment to make a new IPv6 address usable.
    wait_for(lambda: can_bind(family, address), 10, f"the address {address}")
    listener = socket.create_server((address, PORT), family=family)
    listener.setblocking(False)
    return listener


def can_bind(family: socket.AddressFamily, address: str) -> bool:
    with socket.socket(family) as one:
        try:
            one.bind((address, 0))
        except OSError:
            return False
    return True


def was_connected_to(listener: socket.socket) -> bool:
    try:
        listener.accept()[0].close()
    except BlockingIOError:
        return False
    return True


def code_of(act: Callable[[], object]) -> str:
    try:
        act()
    except JobError as error:
        return f"{type(error).__name__} {error.code}"
    return "none"


def main() -> None:
    enter_namespace()
    names = {"v4.test": [V4], "v6.test": [V6], "both.test": [ELSEWHERE, V4]}
    listeners = [listen(socket.AF_INET, V4), listen(socket.AF_INET6, V6)]
    with ScriptedServer() as trusted, tempfile.TemporaryDirectory() as directory:
        origins = map(parse_origin, (trusted.origin, f"http://{V4}:{TRUSTED_PORT}"))
        policy = AddressPolicy(frozenset({PORT, CLOSED_PORT}), frozenset(origins))
        network = OutboundNetwork(policy, lambda host, port: names.get(host, [host]))
        limits = DownloadLimits(max_bytes=1000, deadline_s=30, timeout_s=5)

        def fetch(url: str) -> Callable[[], object]:
            return lambda: download(url, Path(directory), limits, network, lambda: None)

        def call(url: str) -> Callable[[], None]:
            def act() -> None:
                error = as_error(deliver(url, b"{}", "id", (), network, lambda: None, 5))
                if error is not None:
                    raise error

            return act

        hosts = [V4, f"[{V6}]", "[2606:4700:0::0:1111]", *names]
        ways = {f"audio {host}": fetch(f"http://{host}:{PORT}/") for host in hosts}
        ways |= {f"hook_url {host}": call(f"http://{host}:{PORT}/") for host in hosts}
        for number, host in enumerate(hosts):
            hop = trusted.on(f"/{number}", redirect(f"http://{host}:{PORT}/"))
            ways[f"redirect {host}"] = fetch(hop)
        ways["port closed"] = fetch(f"http://{V4}:{CLOSED_PORT}/")
        ways["trusted, port closed"] = fetch(f"http://{V4}:{TRUSTED_PORT}/")
        errors = {way: code_of(act) for way, act in ways.items()}
        connected = [was_connected_to(listener) for listener in listeners]
        # The listeners can be reached: without this, their silence above would prove nothing.
        for listener in listeners:
            socket.create_connection(listener.getsockname()[:2]).close()
        reachable = [was_connected_to(listener) for listener in listeners]
    print(json.dumps({"errors": errors, "connected": connected, "reachable": reachable}))


if __name__ == "__main__":
    main()

"""Asks the system's resolver about a name server's answers, in a network with a name server of its own.

    python -m tests.support.common.outbound.name_servers

Prints a JSON object: for each answer the error of a download from that name.
"""

import ctypes
import json
import os
import socket
import struct
import tempfile
import threading
from pathlib import Path

from common.errors import JobError
from common.outbound.addresses import AddressPolicy
from common.outbound.guarded_session import OutboundNetwork
from processor.audio.download import download
from processor.audio.transfer import DownloadLimits
from tests.support.common.outbound.own_host import enter_namespace

_CLONE_NEWNS, _MS_BIND, _MS_REC, _MS_PRIVATE = 0x00020000, 4096, 16384, 1 << 18
_NO_ERROR, _SERVER_FAILURE, _NO_SUCH_NAME, _REFUSED = 0, 2, 3, 5
_A = 1
# The answer for each first label of a name; None: no answer.
ANSWERS = {
    "no-such-name": _NO_SUCH_NAME,
    "no-address": _NO_ERROR,
    "private": _NO_ERROR,
    "failure": _SERVER_FAILURE,
    "refused": _REFUSED,
    "silence": None,
}


def answer(query: bytes) -> bytes | None:
    """Returns the reply to a query, chosen by the first label of its name."""
    label = query[13 : 13 + query[12]].decode()
    code = ANSWERS.get(label)
    if code is None:
        return None
    end = query.index(b"\0", 12) + 5
    (kind,) = struct.unpack_from(">H", query, end - 4)
    records = b""
    if label == "private" and kind == _A:
        records = b"\xc0\x0c" + struct.pack(">HHIH4s", _A, 1, 60, 4, socket.inet_aton("10.0.0.1"))
    return query[:2] + struct.pack(">HHHHH", 0x8580 | code, 1, bool(records), 0, 0) + query[12:end] + records


def serve(server: socket.socket) -> None:
    while True:
        query, client = server.recvfrom(512)
        if reply := answer(query):
            server.sendto(reply, client)


def use_own_name_server(directory: Path) -> None:
    """Replaces the system's resolv.conf, for this process only."""
    libc = ctypes.CDLL(None, use_errno=True)
    configuration = directory / "resolv.conf"
    configuration.write_text("nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")
    target = os.path.realpath("/etc/resolv.conf").encode()
    if (
        libc.unshare(_CLONE_NEWNS)
        or libc.mount(b"none", b"/", None, _MS_REC | _MS_PRIVATE, None)
        or libc.mount(bytes(configuration), target, None, _MS_BIND, None)
    ):
        raise OSError(ctypes.get_errno(), "no name server of our own can be used")


def error_of(name: str, directory: Path) -> str:
    limits = DownloadLimits(max_bytes=1000, deadline_s=30)
    try:
        network = OutboundNetwork(AddressPolicy(frozenset({80})))
        download(f"http://{name}.test/", directory, limits, network, lambda: None)
    except JobError as error:
        return f"{type(error).__name__} {error.message}"
    return "none"


def main() -> None:
    enter_namespace()
    with tempfile.TemporaryDirectory() as directory:
        use_own_name_server(Path(directory))
        server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        server.bind(("127.0.0.1", 53))
        threading.Thread(target=serve, args=(server,), daemon=True).start()
        print(json.dumps({name: error_of(name, Path(directory)) for name in ANSWERS}))


if __name__ == "__main__":
    main()

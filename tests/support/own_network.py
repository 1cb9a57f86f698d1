"""Hosts of a test's own: processes in a network namespace whose only ways out are those that the test opens.

    unshare --net python -m tests.support.own_network DIRECTORY PORT… -- COMMAND…

Runs COMMAND in a network that has a loopback interface alone. Behind each PORT is what listens on this port
outside, and what COMMAND serves on HEALTH_PORT can be reached from outside. The ways are Unix sockets in
DIRECTORY, since namespaces of networks do not keep those apart.
"""

import contextlib
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.support.processes import die_with_parent

_READ_BYTES = 65536
Connect = Callable[[], socket.socket]


class Ways:
    """The outer ends of the ways, for the processes of several hosts."""

    def __init__(self, directory: Path, out_ports: Sequence[int]):
        """Processes in namespaces can reach `out_ports` of the test's own network, and nothing else."""
        self._directory, self._ports = directory, tuple(out_ports)
        self._listeners: list[socket.socket] = []
        for port in self._ports:
            self._forward(_listen(directory / f"out-{port}"), _tcp(port))

    def wrapper(self, name: str) -> tuple[str, ...]:
        """Returns the command that runs its arguments in a network of their own. `name` is a service's."""
        user = () if os.geteuid() == 0 else ("--map-root-user",)
        module = (sys.executable, "-m", "tests.support.own_network", str(self._directory))
        return ("unshare", *user, "--net", *module, *map(str, self._ports), "--")

    def open_in(self, port: int) -> None:
        """Lets the test reach the HEALTH_PORT of a process, whenever that listens."""
        self._forward(socket.create_server(("127.0.0.1", port)), _unix(self._directory / f"in-{port}"))

    def close(self) -> None:
        for listener in self._listeners:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()

    def _forward(self, listener: socket.socket, connect: Connect) -> None:
        self._listeners.append(listener)
        threading.Thread(target=_accept, args=(listener, connect), daemon=True).start()


def _tcp(port: int) -> Connect:
    return lambda: socket.create_connection(("127.0.0.1", port))


def _unix(path: Path) -> Connect:
    def connect() -> socket.socket:
        one = socket.socket(socket.AF_UNIX)
        one.connect(str(path))
        return one

    return connect


def _listen(path: Path) -> socket.socket:
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen(64)
    return listener


def _accept(listener: socket.socket, connect: Connect) -> None:
    while True:
        try:
            near = listener.accept()[0]
        except OSError:  # closed
            return
        try:
            far = connect()
        except OSError:  # nothing listens there
            near.close()
            continue
        for ends in ((near, far), (far, near)):
            threading.Thread(target=_pump, args=ends, daemon=True).start()


def _pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(_READ_BYTES):
            target.sendall(data)
    # Whoever is behind either end sees the end of the other.
    for end, how in ((target, socket.SHUT_WR), (source, socket.SHUT_RD)):
        with contextlib.suppress(OSError):
            end.shutdown(how)


def _serve_inner_ends(directory: Path, ports: Sequence[int]) -> None:
    """Forwards between the namespace and the Unix sockets, until the process is killed."""
    for port in ports:
        arguments = (socket.create_server(("127.0.0.1", port)), _unix(directory / f"out-{port}"))
        threading.Thread(target=_accept, args=arguments, daemon=True).start()
    health_port = int(os.environ["HEALTH_PORT"])
    print("open", flush=True)
    _accept(_listen(directory / f"in-{health_port}"), _tcp(health_port))


def main(arguments: Sequence[str]) -> None:
    if arguments[0] == "--inner-ends":
        _serve_inner_ends(Path(arguments[1]), [int(port) for port in arguments[2:]])
        return
    split = arguments.index("--")
    subprocess.run(("ip", "link", "set", "lo", "up"), check=True)
    # It dies with the command, which keeps this process's id.
    ends = subprocess.Popen(
        (sys.executable, "-m", "tests.support.own_network", "--inner-ends", *arguments[:split]),
        stdout=subprocess.PIPE,
        preexec_fn=die_with_parent,
    )
    assert ends.stdout is not None
    assert ends.stdout.readline() == b"open\n"
    command = arguments[split + 1 :]
    os.execv(command[0], command)


if __name__ == "__main__":
    main(sys.argv[1:])

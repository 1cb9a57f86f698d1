"""Every connection that this process tries to make, seen below all our code, and a small public internet."""

import socket
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from common.outbound import sockets
from common.waiting import StopCheck

_records: list[list[tuple[str, int]]] = []


def _note(event: str, arguments: tuple) -> None:
    if event == "socket.connect" and isinstance(arguments[1], tuple):
        for record in _records:
            record.append(arguments[1][:2])


sys.addaudithook(_note)  # for good: the interpreter takes none back


@contextmanager
def connections() -> Iterator[list[tuple[str, int]]]:
    """The (IP address, port) of each connection tried meanwhile, by any thread, whether made or not."""
    record: list[tuple[str, int]] = []
    _records.append(record)
    try:
        yield record
    finally:
        # By identity: records that are equal are still two.
        _records[:] = [other for other in _records if other is not record]


class Internet:
    """A resolver and a connector for tests: public IP addresses that are really ports of this machine.

    `names` gives the answers to each look-up of a name in turn, the last one again ever after; `servers` the
    loopback port behind a public IP address. What is connected to otherwise, is connected to really.
    """

    def __init__(self, names: Mapping[str, Sequence[Sequence[str]]], servers: Mapping[str, int]):
        self._names = {name: list(answers) for name, answers in names.items()}
        self._servers = servers
        self.asked: list[str] = []

    def resolve(self, host: str, port: int) -> Sequence[str]:
        self.asked.append(host)
        if host not in self._names:
            return [host]  # an IP address, which needs no look-up
        answers = self._names[host]
        return answers.pop(0) if len(answers) > 1 else answers[0]

    def connect(
        self, addresses: Sequence[str], port: int, timeout_s: float, stop_check: StopCheck
    ) -> socket.socket:
        if addresses[0] in self._servers:
            return sockets.connect(["127.0.0.1"], self._servers[addresses[0]], timeout_s, stop_check)
        return sockets.connect(addresses, port, timeout_s, stop_check)

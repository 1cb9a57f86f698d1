"""A proxy in front of a store that delays uploads."""

import socket
import threading

from tests.support.accept_loop import AcceptLoop

_READ_BYTES = 65536


class SlowStore:
    """Forwards connections to `port`; each PUT of an object named `*{suffix}` waits `delay_s` first.

    No upload waits while `go_on` is set. `delayed` counts the uploads that have waited or still wait.
    """

    def __init__(self, port: int, suffix: str, delay_s: float):
        self._target, self._suffix, self._delay_s = port, suffix, delay_s
        self.go_on = threading.Event()
        self.delayed = 0
        self._loop = AcceptLoop(self._connect)
        self.endpoint_url = self._loop.url
        self._loop.start()

    def close(self) -> None:
        self.go_on.set()
        self._loop.close()

    def _connect(self, client: socket.socket) -> None:
        store = socket.create_connection(("127.0.0.1", self._target))
        threading.Thread(target=self._forward, args=(store, client, False), daemon=True).start()
        self._forward(client, store, True)

    def _forward(self, source: socket.socket, target: socket.socket, from_client: bool) -> None:
        try:
            while data := source.recv(_READ_BYTES):
                if from_client and self._is_slow(data) and not self.go_on.is_set():
                    self.delayed += 1
                    self.go_on.wait(self._delay_s)
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            source.close()
            target.close()

    def _is_slow(self, data: bytes) -> bool:
        method, _, rest = data.partition(b" ")
        return method == b"PUT" and rest.partition(b" ")[0].partition(b"?")[0].endswith(self._suffix.encode())

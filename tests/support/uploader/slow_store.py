"""A proxy in front of a store that delays uploads."""

import socket
import threading

_READ_BYTES = 65536


class SlowStore:
    """Forwards connections to `port`; each PUT of an object named `*{suffix}` waits `delay_s` first.

    None waits while `go_on` is set. `delayed` counts those that have waited, or do so now.
    """

    def __init__(self, port: int, suffix: str, delay_s: float):
        self._target, self._suffix, self._delay_s = port, suffix, delay_s
        self.go_on = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.endpoint_url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.delayed = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self.go_on.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            store = socket.create_connection(("127.0.0.1", self._target))
            threading.Thread(target=self._forward, args=(client, store, True), daemon=True).start()
            threading.Thread(target=self._forward, args=(store, client, False), daemon=True).start()

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

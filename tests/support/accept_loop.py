"""Listens on the loopback interface and handles each connection in a thread of its own."""

import contextlib
import socket
import threading
from collections.abc import Callable


class AcceptLoop:
    """A listening socket whose connections go to `handle`.

    The socket stays in the network namespace in which it was made. Connections are handled in the namespace
    of the thread that calls `start`.
    """

    def __init__(self, handle: Callable[[socket.socket], None]):
        self._handle = handle
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def start(self) -> None:
        threading.Thread(target=self._accept, name="accept loop", daemon=True).start()

    def close(self) -> None:
        """Stops accepting connections. Connections that are being handled go on."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:  # closed
                return
            threading.Thread(target=self._handle, args=(client,), daemon=True).start()

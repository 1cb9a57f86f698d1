"""A way to a server on which an answer and the end of the connection arrive together."""

import contextlib
import socket
import threading
from collections.abc import Iterator

_CHUNK_BYTES = 65536


@contextlib.contextmanager
def late_answers(target: str, delay_s: float = 0.3) -> Iterator[str]:
    """The address of a relay to `target` (both host:port), as a client that is slow sees the server.

    Whatever the server says arrives `delay_s` later, and in one packet with the end when it hangs up within
    that time.
    """
    host, _, port = target.partition(":")
    listener = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=_accept, args=(listener, (host, int(port)), delay_s), daemon=True).start()
    try:
        yield f"127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.close()


def _accept(listener: socket.socket, target: tuple[str, int], delay_s: float) -> None:
    with contextlib.suppress(OSError):  # closed
        while True:
            client, _ = listener.accept()
            server = socket.create_connection(target)
            threading.Thread(target=_questions, args=(client, server), daemon=True).start()
            threading.Thread(target=_answers, args=(client, server, delay_s), daemon=True).start()


def _questions(client: socket.socket, server: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := client.recv(_CHUNK_BYTES):
            server.sendall(data)
        server.shutdown(socket.SHUT_WR)


def _answers(client: socket.socket, server: socket.socket, delay_s: float) -> None:
    with contextlib.suppress(OSError), client, server:
        while data := server.recv(_CHUNK_BYTES):
            server.settimeout(delay_s)
            ended = False
            with contextlib.suppress(TimeoutError):
                while more := server.recv(_CHUNK_BYTES):
                    data += more
                ended = True
            server.settimeout(None)
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)
            client.sendall(data)
            if ended:
                client.shutdown(socket.SHUT_WR)
                return
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 0)

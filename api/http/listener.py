"""The socket that the api answers on, which lets in as many connections as there may be."""

import asyncio
import errno
import logging
import os
import resource
import socket
from contextlib import suppress
from ipaddress import ip_address

from api.http.connections import Connections, Place
from api.http.refusal import plain_problem
from common.observability.repeats import Repeats
from common.settings.schema import ApiSettings

log = logging.getLogger(__name__)

_BACKLOG = 2048
# What the kernel takes unsent of an answer: whoever does not read is noticed by the next one.
_UNSENT_BYTES = 4 * 1024
# In one turn of the event loop: a connection cannot make room before the next one.
_ACCEPTED_AT_ONCE = 64
# Kafka's connections, the view's file, logs; and those that are let in while others are still being closed.
_OTHER_DESCRIPTORS = 128
_OUT_OF_RESOURCES = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_RETRY_AFTER_S = 5
_TOO_MANY = plain_problem(
    503, "Too many connections are open; please try again", retry_after_s=_RETRY_AFTER_S
)


class Listener(socket.socket):
    """A listening socket for one event loop. `connections` decides who is let in, if it is there."""

    connections: Connections | None = None

    def prepare(self, connections: Connections) -> None:
        self.connections = connections
        self._repeats, self._accepted = Repeats(), 0
        self._spare = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)

    def accept(self) -> tuple[socket.socket, tuple]:
        """Raises BlockingIOError where nobody waits, or nobody can be let in before others are closed."""
        if self.connections is None:
            return super().accept()
        while True:
            if self._accepted >= _ACCEPTED_AT_ONCE:
                raise BlockingIOError(errno.EAGAIN, "the others come in the next turn")
            if self.connections.open >= self.connections.most + _ACCEPTED_AT_ONCE:
                raise BlockingIOError(errno.EAGAIN, "connections are still being closed")
            accepted, peer = self._accept_or_drop()
            self._count()
            place = self.connections.enter(peer)
            if place is not None:
                return _Accepted(accepted, peer, place, self.connections), peer
            _refuse(accepted)

    def close(self) -> None:
        if self.connections is not None and self.fileno() >= 0:
            os.close(self._spare)
        super().close()

    def _count(self) -> None:
        if not self._accepted:
            asyncio.get_running_loop().call_soon(self._begin_turn)
        self._accepted += 1

    def _begin_turn(self) -> None:
        self._accepted = 0

    def _accept_or_drop(self) -> tuple[socket.socket, tuple]:
        """Where no descriptor is left, another connection gives its own, or who waits is dropped: an error
        that is left as it is would come again at once, and keep the loop busy."""
        try:
            return super().accept()
        except OSError as error:
            if error.errno not in _OUT_OF_RESOURCES:
                raise
            if self._repeats.is_news(error.errno):
                log.warning("connections cannot be accepted: %s", error.strerror)
        if not self.connections.give_up_one():
            self._drop()
        raise BlockingIOError(errno.EAGAIN, "no descriptor is left in this turn")

    def _drop(self) -> None:
        """With the spare descriptor."""
        os.close(self._spare)
        try:
            with suppress(OSError):
                super().accept()[0].close()
        finally:
            self._spare = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)


class _Accepted(socket.socket):
    """A connection, which gives its place back when it is closed."""

    def __init__(self, accepted: socket.socket, peer: tuple, place: Place, connections: Connections):
        super().__init__(accepted.family, accepted.type, accepted.proto, fileno=accepted.detach())
        self._leave = lambda: connections.leave(peer, place)

    def close(self) -> None:
        super().close()
        self._leave()


def _refuse(accepted: socket.socket) -> None:
    """Says why, if the client has room for it, and closes. What it has sent is read first: else it gets a
    reset in place of the answer."""
    with accepted, suppress(OSError):
        accepted.setblocking(False)
        with suppress(BlockingIOError):
            accepted.recv(64 * 1024)
        accepted.send(_TOO_MANY)


def listen(settings: ApiSettings) -> Listener:
    """Raises OSError, such as for a port that is taken: before anything else has been started."""
    address = (settings.api_host, settings.api_port)
    family = socket.getaddrinfo(*address, type=socket.SOCK_STREAM)[0][0]
    created = socket.create_server(address, family=family, backlog=_BACKLOG)
    listener = Listener(fileno=created.detach())
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _UNSENT_BYTES)
    # Its connections inherit this. asyncio sets it only where a socket names its protocol, as this one does
    # not; without it each answer's body waits 40 ms for the client to acknowledge the headers.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def most_connections(settings: ApiSettings) -> int:
    """MAX_CONNECTIONS, or as many as the process may have descriptors for: raised as far as is allowed."""
    wanted = settings.max_connections + _ACCEPTED_AT_ONCE + _OTHER_DESCRIPTORS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        if soft < wanted:
            most = max(1, soft - _ACCEPTED_AT_ONCE - _OTHER_DESCRIPTORS)
            log.warning(
                "MAX_CONNECTIONS is %d, for which the process needs %d descriptors and may have %d "
                "(ulimit -n): %d connections are let in at once",
                settings.max_connections,
                wanted,
                soft,
                most,
            )
            return most
    return settings.max_connections


def warn_of_default_credentials(settings: ApiSettings, host: str) -> None:
    """`host` is the IP address that is listened on; in a container others reach it where it is published."""
    default = ApiSettings.model_fields["basic_auth_password"].default
    reached = settings.api_published_host or ip_address(host)
    # with a file of users the default alone opens nothing, see `api.auth.basic_auth`
    given = settings.basic_auth_users_file is None or "basic_auth_password" in settings.model_fields_set
    if given and settings.basic_auth_password == default and not reached.is_loopback:
        log.warning(
            "BASIC_AUTH_PASSWORD is the well-known default, and others can reach %s: set one of your own",
            reached,
        )

"""The socket on which the api listens. It accepts only as many connections as the limits allow."""

import asyncio
import errno
import logging
import os
import resource
import select
import socket
from contextlib import suppress
from functools import partial
from ipaddress import ip_address

from api.http.connections import Connections, Peer, Place
from api.http.refusal import plain_problem
from common.observability.repeats import Repeats
from common.settings.schema import ApiSettings

log = logging.getLogger(__name__)

_BACKLOG = 2048
# How much of an unsent answer the kernel holds: little, so that a client that does not read is noticed soon.
_UNSENT_BYTES = 4 * 1024
# Connections that are accepted in one turn of the event loop. None of them can make room before the next
# turn.
_ACCEPTED_AT_ONCE = 64
# For Kafka's connections, the view's file and logs, and for new connections while others are being closed.
_OTHER_DESCRIPTORS = 128
_OUT_OF_RESOURCES = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_RETRY_AFTER_S = 5
_TOO_MANY = plain_problem(
    503, "Too many connections are open; please try again", retry_after_s=_RETRY_AFTER_S
)


class _SpareDescriptor:
    """A file descriptor that is kept for the moment when no other is left.

    While it is given back, another thread may open something in its place. Then it is missing until `take`
    finds a free one again.
    """

    def __init__(self) -> None:
        self._number: int | None = None
        self.take()

    def take(self) -> None:
        if self._number is None:
            with suppress(OSError):
                self._number = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)

    def give_back(self) -> None:
        if self._number is not None:
            # First, so that no number of somebody else's descriptor is ever kept and closed.
            number, self._number = self._number, None
            os.close(number)


class Listener(socket.socket):
    """A listening socket for one event loop. `connections`, if it is set, decides who is let in."""

    connections: Connections | None = None

    def prepare(self, connections: Connections) -> None:
        self.connections = connections
        self._repeats, self._accepted = Repeats(), 0
        self._spare = _SpareDescriptor()

    def accept(self) -> tuple[socket.socket, Peer]:
        """Accept a connection. Raise BlockingIOError while none waits, or none can be let in."""
        connections = self.connections
        if connections is None:
            return super().accept()
        while True:
            if self._accepted >= _ACCEPTED_AT_ONCE:
                raise BlockingIOError(errno.EAGAIN, "the others come in the next turn")
            if connections.open >= connections.most + _ACCEPTED_AT_ONCE:
                raise BlockingIOError(errno.EAGAIN, "connections are still being closed")
            accepted, peer = self._accept_or_make_room(connections)
            self._count()
            place = connections.enter(peer)
            if place is not None:
                return _Accepted(accepted, peer, place, connections), peer
            _refuse(accepted)

    def close(self) -> None:
        if self.connections is not None and self.fileno() >= 0:
            self._spare.give_back()
        super().close()

    def _count(self) -> None:
        if not self._accepted:
            asyncio.get_running_loop().call_soon(self._begin_turn)
        self._accepted += 1

    def _begin_turn(self) -> None:
        self._accepted = 0

    def _accept_or_make_room(self, connections: Connections) -> tuple[socket.socket, Peer]:
        """Accept a connection. Where no file descriptor is left, end another connection or drop the new one.

        Otherwise the same error would come again at once, and keep the event loop busy.
        """
        self._spare.take()
        try:
            return super().accept()
        except OSError as error:
            if error.errno not in _OUT_OF_RESOURCES:
                raise
            if not self._somebody_waits():
                raise BlockingIOError(errno.EAGAIN, "nobody waits") from None
            if self._repeats.is_news(error.errno):
                log.warning("connections cannot be accepted: %s", error.strerror)
        if not connections.give_up_one():
            self._drop()
        raise BlockingIOError(errno.EAGAIN, "no descriptor is left in this turn")

    def _somebody_waits(self) -> bool:
        """Whether a connection can be accepted.

        Linux takes a descriptor before it looks, so `accept` tells that none is left also where nobody waits.
        Then the connection that got the last descriptor must stay.
        """
        waiting = select.poll()
        waiting.register(self, select.POLLIN)
        return bool(waiting.poll(0))

    def _drop(self) -> None:
        """Accept and close a connection, with the spare file descriptor."""
        self._spare.give_back()
        with suppress(OSError):
            super().accept()[0].close()
        self._spare.take()


class _Accepted(socket.socket):
    """A connection that gives its place back when it is closed."""

    def __init__(self, accepted: socket.socket, peer: Peer, place: Place, connections: Connections):
        super().__init__(accepted.family, accepted.type, accepted.proto, fileno=accepted.detach())
        self._leave = partial(connections.leave, peer, place)

    def close(self) -> None:
        super().close()
        self._leave()


def _refuse(accepted: socket.socket) -> None:
    """Answer with the reason, if the client has room for it, and close.

    What the client has sent is read first: otherwise it would get a reset instead of the answer.
    """
    with accepted, suppress(OSError):
        accepted.setblocking(False)
        with suppress(BlockingIOError):
            accepted.recv(64 * 1024)
        accepted.send(_TOO_MANY)


def listen(settings: ApiSettings) -> Listener:
    """Open the listening socket. Raise OSError, such as for a port that is in use."""
    address = (settings.api_host, settings.api_port)
    family = socket.getaddrinfo(*address, type=socket.SOCK_STREAM)[0][0]
    created = socket.create_server(address, family=family, backlog=_BACKLOG)
    listener = Listener(fileno=created.detach())
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _UNSENT_BYTES)
    # Connections inherit this. Without it each body would wait 40 ms until the client acknowledges the
    # headers. asyncio sets it only on sockets that name their protocol, which this one does not.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def most_connections(settings: ApiSettings) -> int:
    """Return MAX_CONNECTIONS, or fewer if the process may not have enough file descriptors.

    The process's own limit of descriptors is raised as far as it is allowed to be.
    """
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
    """Warn if others can reach the api with the default password.

    `host` is the IP address on which the api listens. In a container API_PUBLISHED_HOST is where others reach
    it.
    """
    default = ApiSettings.model_fields["basic_auth_password"].default
    reached = settings.api_published_host or ip_address(host)
    # With a file of users the default password is not valid, see `api.auth.basic_auth`.
    given = settings.basic_auth_users_file is None or "basic_auth_password" in settings.model_fields_set
    if given and settings.basic_auth_password == default and not reached.is_loopback:
        log.warning(
            "BASIC_AUTH_PASSWORD is the well-known default, and others can reach %s: set one of your own",
            reached,
        )

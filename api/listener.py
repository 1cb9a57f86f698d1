"""The socket that the api answers on."""

import logging
import socket
from ipaddress import ip_address

from common.settings import ApiSettings

log = logging.getLogger(__name__)

_BACKLOG = 2048


def listen(settings: ApiSettings) -> socket.socket:
    """Raises OSError, such as for a port that is taken: before anything else has been started."""
    address = (settings.api_host, settings.api_port)
    family = socket.getaddrinfo(*address, type=socket.SOCK_STREAM)[0][0]
    listener = socket.create_server(address, family=family, backlog=_BACKLOG)
    # Its connections inherit this. asyncio sets it only where a socket names its protocol, as this one does
    # not; without it each answer's body waits 40 ms for the client to acknowledge the headers.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def warn_of_default_credentials(settings: ApiSettings, host: str) -> None:
    """`host` is the IP address that is listened on; in a container others reach it where it is published."""
    default = ApiSettings.model_fields["basic_auth_password"].default
    reached = settings.api_published_host or ip_address(host)
    # with a file of users the default alone opens nothing, see `api.auth`
    given = settings.basic_auth_users_file is None or "basic_auth_password" in settings.model_fields_set
    if given and settings.basic_auth_password == default and not reached.is_loopback:
        log.warning(
            "BASIC_AUTH_PASSWORD is the well-known default, and others can reach %s: set one of your own",
            reached,
        )

"""The types of settings: which text each takes, and the value that it becomes."""

import re
import ssl
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, FilePath
from pydantic_settings import NoDecode

from common.errors import JobError
from common.outbound.addresses import parse_origin

Origins = Annotated[tuple[str, ...], NoDecode]
Ports = Annotated[tuple[Annotated[int, Field(ge=1, le=65535)], ...], NoDecode]
Delays = Annotated[tuple[Annotated[int, Field(gt=0)], ...], NoDecode, Field(min_length=1)]
Names = Annotated[tuple[str, ...], NoDecode]
MODEL_NAME = r"^[A-Za-z0-9][A-Za-z0-9._ ()&+-]*$"
# As many as a processor can announce.
ModelNames = Annotated[
    tuple[Annotated[str, Field(pattern=MODEL_NAME, max_length=200)], ...], NoDecode, Field(max_length=499)
]
Port = Annotated[int, Field(ge=0, le=65535)]
Positive = Annotated[int, Field(gt=0)]
# No clock and no client of ours can wait for an infinite time.
PositiveFloat = Annotated[float, Field(gt=0, allow_inf_nan=False)]
# As Kafka names topics; those of lanes and retries are longer, and 249 characters are allowed.
Topic = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-][A-Za-z0-9._-]*$", max_length=200)]
# The most that fit: the committed metadata names each running job, and brokers allow it 4096 bytes.
Slots = Annotated[int, Field(gt=0, le=128)]


def split(value: object) -> object:
    """Splits a text at its commas into a tuple. Returns any other value as it is."""
    if not isinstance(value, str):
        return value
    return tuple(part.strip() for part in value.split(",") if part.strip())


def checked_public_keys(value: tuple[str, ...]) -> tuple[str, ...]:
    """Returns public keys of Standard Webhooks as they are. Raises ValueError."""
    for key in value:
        if not re.fullmatch(r"whpk_[A-Za-z0-9+/]{43}=", key):
            raise ValueError("expected whpk_ and 32 bytes in base64, as make-signing-key prints them")
    return value


def checked_hosts(value: tuple[str, ...]) -> tuple[str, ...]:
    """Returns the host names in lower case and without a final dot. Raises ValueError."""
    return tuple(map(_checked_host, value))


def _checked_host(given: str) -> str:
    try:
        host = given if given.isascii() else given.encode("idna").decode()
    except UnicodeError:
        host = ""
    host = host.lower().removesuffix(".")
    if not re.fullmatch(r"\*|(\*\.)?[a-z0-9_-]+(\.[a-z0-9_-]+)*|\[[0-9a-f:.]+\]", host):
        wanted = "host names without scheme and port, such as uvr.example.com or *.example.com"
        raise ValueError(f"expected {wanted}, got {given!r}")
    return host


def checked_proxies(value: str) -> str:
    """Returns `*`, or addresses and networks with a comma between them. Raises ValueError.

    uvicorn takes anything, and silently believes no proxy by what is neither.
    """
    parts = [part.strip() for part in value.split(",") if part.strip()]
    if parts != ["*"]:
        for part in parts:
            _check_proxy(part)
    return ",".join(parts)


def _check_proxy(given: str) -> None:
    try:
        ip_network(given) if "/" in given else ip_address(given)
    except ValueError:
        wanted = "* alone, or IP addresses and networks such as 10.0.0.5,172.18.0.0/16"
        raise ValueError(f"expected {wanted}, got {given!r}{_network_of(given)}") from None


def _network_of(given: str) -> str:
    try:
        return f": its network is {ip_network(given, strict=False)}"
    except ValueError:
        return ""


def checked_authorities(path: Path) -> Path:
    """Returns `path` if the file holds certificates in PEM format. Raises ValueError."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except OSError as error:  # SSLError among them
        raise ValueError(
            f"expected a file of certificates in PEM format, got {path}: {error.strerror}"
        ) from None
    return path


def checked_origins(value: tuple[str, ...]) -> tuple[str, ...]:
    """Returns the origins in lower case and without a slash at the end. Raises ValueError."""
    for origin in value:
        if not re.fullmatch(r"https?://(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.-]+)(:\d{1,5})?/?", origin):
            raise ValueError(f"expected origins such as http://127.0.0.1:9000, got {origin!r}")
        try:
            parse_origin(origin)
        except JobError as error:
            raise ValueError(f"{origin!r}: {error}") from None
    return tuple(origin.rstrip("/").lower() for origin in value)


Authorities = Annotated[FilePath, AfterValidator(checked_authorities)]

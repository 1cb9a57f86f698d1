"""The settings of the api."""

import os
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, IPvAnyAddress, SecretStr, field_validator, model_validator

from common.settings.schema.addresses import AddressSettings
from common.settings.schema.kafka import TransactionSettings
from common.settings.schema.uploads import UploadSettings
from common.settings.types import (
    Names,
    Origins,
    Port,
    Positive,
    checked_hosts,
    checked_origins,
    checked_proxies,
    checked_public_keys,
    split,
)


class ApiSettings(TransactionSettings, AddressSettings, UploadSettings):
    """The settings of an api process."""

    basic_auth_username: str = "admin"
    """The name of the user whom the api knows without a file of users."""
    basic_auth_password: SecretStr = SecretStr("password")
    """That user's password. With BASIC_AUTH_USERS_FILE the user exists only if a password is set."""
    basic_auth_password_file: Path | None = None
    """A file with that password, in place of BASIC_AUTH_PASSWORD."""
    basic_auth_users_file: Path | None = None
    """A file of further users with the hashes of their passwords, see api.auth.users."""
    session_key: SecretStr | None = Field(None, min_length=32)
    """The key that signs sessions of the console. Unset: a random one, in a file beside VIEW_FILE."""
    session_key_file: Path | None = None
    """A file with that key, in place of SESSION_KEY."""
    demo_song_url: str = ""
    """The address of a song that the console offers to users without tasks. Empty: none."""
    demo_song_label: str = Field("", max_length=200)
    """The label of that task: the song's name, with what its licence wants to be said."""
    api_keys_file: Path | None = None
    """A file of keys for programs, see api.auth.keys. It need not be there yet. Unset: there are no keys."""
    user_limits_file: Path | None = None
    """A TOML file of what each user may do, see api.auth.rules. Unset: users have no limits of their own."""
    admin_usernames: Names = ()
    """Users who see, cancel and redeliver everybody's tasks, and replay dead letters."""
    api_docs: bool = True
    """Whether /docs and /openapi.json are served."""
    api_metrics: bool = True
    """Whether /metrics is served."""
    api_host: str = "127.0.0.1"
    """The address that the api listens on."""
    api_port: Port = 8000
    """The port that the api listens on. 0 takes a free one."""
    api_published_host: IPvAnyAddress | None = None
    """In docker compose: the host's address on which the container's port is published."""
    kafka_ack_timeout_s: Annotated[float, Field(ge=1, allow_inf_nan=False)] = 10.0
    """How long a request waits for Kafka to confirm its record, in seconds."""
    max_body_bytes: Positive = 64 * 1024
    """The largest request body that is read, in bytes."""
    max_batch_body_bytes: Positive = 4 * 1024 * 1024
    """The largest body of a batch that is read, in bytes."""
    max_upload_bytes_per_user: Annotated[int, Field(ge=0)] = 20 * 1024**3
    """How many bytes a user's uploads may hold at once, in all. 0 sets no limit."""
    min_upload_bytes_per_s: Annotated[int, Field(ge=0)] = 8192
    """A song that comes through the api slower than this over a minute is refused. 0 allows any rate."""
    max_connections: Positive = 4000
    """How many connections the api holds at once, event streams among them."""
    max_connections_per_address: Positive = 1200
    """How many of them come from one address. Proxies in FORWARDED_ALLOW_IPS are exempt."""
    auth_failures_per_minute: Positive = 20
    """How many wrong sign-ins an address has a minute before it must wait."""
    redeliveries_per_minute: Positive = 60
    """How many redeliveries a user may ask for each minute. api.routes.redelivery limits them for a task."""
    webhook_public_keys: Names = ()
    """The public keys of WEBHOOK_SIGNING_KEY, whpk_…, with commas between them, for receivers."""
    max_queued_tasks: Annotated[int, Field(ge=0)] = 0
    """How many tasks may wait before a submission is refused. 0 sets no limit."""
    max_queued_tasks_per_user: Annotated[int, Field(ge=0)] = 0
    """How many tasks of one user may wait, for their callback too. 0 sets no limit."""
    forwarded_allow_ips: str = ""
    """The addresses and networks of proxies whose X-Forwarded-For is believed, or *. Empty: none is."""
    allowed_hosts: Names = ()
    """The host names that requests may use. Unset: only localhost on a loopback address, else every name."""
    cors_origins: Origins = ()
    """Origins of web pages that may use the api."""
    view_file: Path = Path("temp/view.sqlite3")
    """The SQLite file of tasks. Each api has its own, which can be deleted at any time."""

    _split_lists = field_validator(
        "admin_usernames", "allowed_hosts", "cors_origins", "webhook_public_keys", mode="before"
    )(split)
    _hosts = field_validator("allowed_hosts")(checked_hosts)
    _proxies = field_validator("forwarded_allow_ips")(checked_proxies)
    _public_keys = field_validator("webhook_public_keys")(checked_public_keys)
    _cors_origins = field_validator("cors_origins")(checked_origins)

    @field_validator("api_published_host", mode="before")
    @classmethod
    def _without_brackets(cls, value: object) -> object:
        # docker compose wants an IPv6 address in brackets
        return value.removeprefix("[").removesuffix("]") if isinstance(value, str) else value

    @field_validator("basic_auth_username", "basic_auth_password")
    @classmethod
    def _ascii(cls, value: str | SecretStr) -> str | SecretStr:
        text = value.get_secret_value() if isinstance(value, SecretStr) else value
        if not text or not text.isascii() or not text.isprintable():
            raise ValueError("expected printable ASCII, not empty")
        return value

    @model_validator(mode="before")
    @classmethod
    def _empty_is_not_default(cls, values: dict[str, Any]) -> dict[str, Any]:
        # Elsewhere an empty variable counts as unset; here that would mean the well-known default.
        for name in ("BASIC_AUTH_USERNAME", "BASIC_AUTH_PASSWORD"):
            if os.environ.get(name) == "":
                raise ValueError(f"{name} is empty: expected printable ASCII")
        return values

    @field_validator("basic_auth_username")
    @classmethod
    def _no_colon(cls, value: str) -> str:
        if ":" in value:
            raise ValueError("expected no colon: HTTP Basic ends the name at the first one")
        return value

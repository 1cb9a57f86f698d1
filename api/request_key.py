"""Keeps the id of a request's key for the log's line about the request."""

from starlette.requests import Request
from starlette.types import Scope

_NAME = "key_id"


def begin_state(scope: Scope) -> None:
    """Make the request's state, which all copies of `scope` then share."""
    scope.setdefault("state", {})


def note_key(request: Request, key_id: str) -> None:
    request.state.key_id = key_id


def key_id_of(scope: Scope) -> str | None:
    """Return the id of the key that the request had; None without a key, and for a key that nobody has."""
    key_id: str | None = scope["state"].get(_NAME)
    return key_id

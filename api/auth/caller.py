"""Says who sends a request, and what the request may do."""

from dataclasses import dataclass
from enum import StrEnum

_READS = ("GET", "HEAD")


class Scope(StrEnum):
    """Names what a key or a user may do. `ADMIN` alone makes nobody an administrator: see ADMIN_USERNAMES."""

    SUBMIT = "submit"
    """Submit, upload, cancel, delete, redeliver: every request that changes something."""
    READ = "read"
    """Every request that changes nothing."""
    ADMIN = "admin"
    """Use the rights of an administrator, if the user is one."""


ALL_SCOPES = frozenset(Scope)


@dataclass(frozen=True)
class Caller:
    """The user of a request, its scopes, and the id of its key. A password and a session have no key."""

    user: str
    scopes: frozenset[Scope] = ALL_SCOPES
    key_id: str | None = None


def scope_for(method: str) -> Scope:
    """Return the scope that a request with this HTTP method needs."""
    return Scope.READ if method in _READS else Scope.SUBMIT

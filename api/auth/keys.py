"""Keys for programs: `uvr_ID_SECRET`. The file of keys holds a digest of each, never the key.

A secret has 192 random bits. Nobody can guess that many, so one round of SHA-256 is enough. The slow hashes
of passwords would only slow the api down.
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from api.auth.caller import Scope
from api.auth.users import check_name

PREFIX = "uvr_"
_ID_BYTES, _SECRET_BYTES = 6, 24
_ID = "[0-9a-f]{12}"
_KEY = re.compile(rf"{PREFIX}({_ID})_[0-9a-f]{{48}}")
MAX_KEYS = 10_000
# Compared with a key whose id nobody has, so that an unknown id takes as long as a known one.
_NOBODYS_DIGEST = "0" * 64

Moment = Annotated[float, Field(ge=0, le=253_402_300_799, allow_inf_nan=False)]


def _checked_name(name: str) -> str:
    check_name(name)
    return name


class ApiKey(BaseModel):
    """An entry of the file: all that is kept of a key. Points in time are in seconds since the epoch."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: Annotated[str, Field(pattern=f"^{_ID}$")]
    user: Annotated[str, AfterValidator(_checked_name)]
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    scopes: Annotated[tuple[Scope, ...], Field(min_length=1)]
    created_at: Moment
    expires_at: Moment | None = None
    revoked_at: Moment | None = None
    name: Annotated[str, Field(max_length=100)] = ""


class KeysFile(BaseModel):
    """The file of keys, as JSON."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Annotated[int, Field(ge=1, le=1, strict=True)] = 1
    keys: Annotated[tuple[ApiKey, ...], Field(max_length=MAX_KEYS)] = ()


@dataclass(frozen=True)
class KeyRing:
    """The keys by their ids."""

    by_id: dict[str, ApiKey]

    @classmethod
    def of(cls, keys: Iterable[ApiKey]) -> "KeyRing":
        return cls({key.id: key for key in keys})

    def find(self, text: str) -> ApiKey | None:
        """Return the key that `text` is, though it may be expired or revoked; None for any other text."""
        match = _KEY.fullmatch(text)
        known = self.by_id.get(match[1]) if match else None
        is_same = hmac.compare_digest(digest(text), known.sha256 if known else _NOBODYS_DIGEST)
        return known if is_same else None


def parse_keys(text: bytes) -> KeysFile:
    """Return the keys in a file's text. Raise ValueError, which quotes nothing of the file."""
    try:
        found = KeysFile.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise ValueError(f"{where}: {first['msg']}" if where else first["msg"]) from None
    if len({key.id for key in found.keys}) != len(found.keys):
        raise ValueError("an id occurs twice")
    return found


def read_ring(text: bytes) -> KeyRing:
    """Return the keys in a file's text. Raise ValueError."""
    return KeyRing.of(parse_keys(text).keys)


def new_key(
    user: str, scopes: Iterable[Scope], now_s: float, expires_at: float | None, name: str = ""
) -> tuple[str, ApiKey]:
    """Return a new key's text, which is kept nowhere, and what the file keeps of the key.

    Raise ValueError for a user's name that cannot be.
    """
    key_id = secrets.token_hex(_ID_BYTES)
    text = f"{PREFIX}{key_id}_{secrets.token_hex(_SECRET_BYTES)}"
    check_name(user)
    key = ApiKey(
        id=key_id,
        user=user,
        sha256=digest(text),
        scopes=tuple(sorted(set(scopes))),
        created_at=now_s,
        expires_at=expires_at,
        name=name,
    )
    return text, key


def digest(text: str) -> str:
    """Return the SHA-256 of the whole key in hexadecimal."""
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()

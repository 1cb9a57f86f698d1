"""USER_LIMITS_FILE, in TOML: the rules of all users in `[default]`, and of one in `[users.NAME]`."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from api.auth.caller import ALL_SCOPES, Scope
from api.auth.reloaded_file import ReloadedFile
from api.auth.users import check_name
from common.settings.schema import ApiSettings

_MAX_PRIORITY = 5
_Count = Annotated[int, Field(ge=0, le=10**15, strict=True)]
# TOML has no null: this takes a default's limit away again.
_Limit = _Count | Literal["unlimited"] | None


class _Table(BaseModel):
    """A table of the file. A rule that it leaves out is the default's."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_priority: Annotated[int, Field(ge=1, le=_MAX_PRIORITY, strict=True)] | None = None
    max_running: _Limit = None
    max_audio_s_per_day: _Limit = None
    scopes: tuple[Scope, ...] | None = None


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    default: _Table = _Table()
    users: dict[str, _Table] = {}


@dataclass(frozen=True)
class Rules:
    """The rules of one user. None sets no limit.

    `max_running` limits the tasks that are queued or being worked on. `max_audio_s_per_day` limits the
    seconds of audio in the songs that were submitted since midnight UTC.
    """

    max_priority: int = _MAX_PRIORITY
    max_running: int | None = None
    max_audio_s_per_day: int | None = None
    scopes: frozenset[Scope] = ALL_SCOPES


@dataclass(frozen=True)
class UserRules:
    """The rules of all users."""

    default: Rules
    users: Mapping[str, Rules]

    def of(self, user: str) -> Rules:
        return self.users.get(user, self.default)


_NO_RULES = UserRules(Rules(), {})


class RulesFile:
    """The rules of USER_LIMITS_FILE, which count from the next request on when the file has changed."""

    def __init__(self, settings: ApiSettings):
        """Raise ValueError for a file that cannot be used."""
        path = settings.user_limits_file
        self._file = path and ReloadedFile("USER_LIMITS_FILE", path, parse_rules)

    def of(self, user: str) -> Rules:
        """Return the user's rules. Without a file there are no limits."""
        return (self._file.content() if self._file else _NO_RULES).of(user)


def parse_rules(text: bytes) -> UserRules:
    """Return the rules in a file's text. Raise ValueError."""
    try:
        found = _File.model_validate(tomllib.loads(text.decode()))
    except UnicodeDecodeError:
        raise ValueError("it is not UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"not TOML: {error}") from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ValueError(f"{where}: {first['msg']}") from None
    for name in found.users:
        check_name(name)
    default = _merged(Rules(), found.default)
    return UserRules(default, {name: _merged(default, table) for name, table in found.users.items()})


def _merged(under: Rules, table: _Table) -> Rules:
    """Return the rules of `table`, and those of `under` where the table says nothing."""
    said: dict[str, Any] = {}
    if table.max_priority is not None:
        said["max_priority"] = table.max_priority
    if table.scopes is not None:
        said["scopes"] = frozenset(table.scopes)
    for name, limit in (
        ("max_running", table.max_running),
        ("max_audio_s_per_day", table.max_audio_s_per_day),
    ):
        if limit is not None:
            said[name] = None if limit == "unlimited" else limit
    return Rules(**{**under.__dict__, **said})

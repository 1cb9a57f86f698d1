"""Loads the api's address, and the key or the user name and password: from flags, the environment, a file."""

import os
import stat
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path

DEFAULT_URL = "http://127.0.0.1:8000"
_ENVIRONMENT = {
    "url": "UVR_URL",
    "username": "UVR_USERNAME",
    "password": "UVR_PASSWORD",
    "key": "UVR_API_KEY",
}


class BadSettings(Exception):
    """A setting is missing or wrong."""


@dataclass(frozen=True)
class Given:
    """The settings that one source gives; None for each that the source does not give."""

    url: str | None = None
    username: str | None = None
    password: str | None = None
    key: str | None = None

    def __repr__(self) -> str:  # without the password and the key, which must not appear in a traceback
        return f"Given({self.url!r}, {self.username!r})"


@dataclass(frozen=True, repr=False)
class Settings:
    """Complete settings. No repr: neither the password nor the key must appear in a traceback.

    With a `key` the other two are empty, and without one `key` is None.
    """

    url: str
    username: str
    password: str
    key: str | None = None


def load(
    flags: Given, environment: Mapping[str, str], file: Path | None, warn: Callable[[str], None]
) -> Settings:
    """Loads the settings. `file` must exist if given; without it the default file is read if it exists.

    `warn` gets a line when the file holds a password that everyone can read. Raises BadSettings, which says
    what is missing or wrong and where to set it. The first source that has a key, a user name or a password
    decides between the two ways to sign in.
    """
    path = file or default_file(environment)
    sources = [flags, _of_environment(environment), _of_file(path, file is not None, warn)]
    found: dict[str, str] = {}
    for name in _ENVIRONMENT:
        values = (getattr(source, name) for source in sources)
        found[name] = next((value for value in values if value is not None), "")
    if _by_key(sources):
        return Settings(found["url"] or DEFAULT_URL, "", "", found["key"])
    for name in ("username", "password"):
        if not found[name]:
            where = f"set {_ENVIRONMENT[name]}, or {name} in {path}"
            raise BadSettings(f"the {name} is missing: {where}; or set a key")
    return Settings(found["url"] or DEFAULT_URL, found["username"], found["password"])


def _by_key(sources: Iterable[Given]) -> bool:
    """Return whether the key counts. Raises BadSettings for a source with both a key and a password."""
    for source in sources:
        if source.key and source.password:
            raise BadSettings("a key and a password are set in the same place: set one of them")
        if source.key or source.username or source.password:
            return bool(source.key)
    return False


def default_file(environment: Mapping[str, str]) -> Path:
    """Returns the path of config.toml in the user's configuration directory."""
    base = environment.get("XDG_CONFIG_HOME") or ""
    # The XDG base directory specification says to ignore a relative path.
    # For a user without a home directory `~` stays in the path, and no file is found.
    directory = Path(base if os.path.isabs(base) else os.path.expanduser("~/.config"))
    return directory / "uvr" / "config.toml"


def _of_environment(environment: Mapping[str, str]) -> Given:
    # An empty variable counts as not set.
    return Given(**{name: environment.get(variable) or None for name, variable in _ENVIRONMENT.items()})


def _of_file(path: Path, must_be_there: bool, warn: Callable[[str], None]) -> Given:
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            content = tomllib.load(file)
    except FileNotFoundError:
        if must_be_there:
            raise BadSettings(f"{path}: there is no such file") from None
        return Given()
    except OSError as error:
        raise BadSettings(f"{path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadSettings(f"{path}: not TOML: {error}") from None
    names = [field.name for field in fields(Given)]
    for name, value in content.items():
        if name not in names:
            raise BadSettings(f"{path}: {name} is not known: expected {', '.join(names)}")
        if not isinstance(value, str):
            raise BadSettings(f"{path}: {name}: expected text in quotes")
    secret = "key" if content.get("key") else "password"
    if content.get(secret) and mode & stat.S_IROTH:
        warn(f"{path} holds a {secret} and can be read by everyone: chmod 600 {path}")
    return Given(**content)
